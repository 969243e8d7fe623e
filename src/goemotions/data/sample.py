"""The sample: a small generated corpus with GoEmotions' labels, imbalance and multi-labels.

It exists so that the demo and the tests run the real pipeline in seconds and offline. Its
sentences are built from cue phrases, some of which several labels share, so a model can learn it
but not solve it. Its numbers say nothing about GoEmotions.
"""

import random
from collections.abc import Mapping
from typing import Any

from goemotions.data.splits import SPLITS, Row
from goemotions.labels import LABELS

# Train counts of GoEmotions by label, in label order: what a row's labels are drawn by.
_WEIGHTS = (
    4130, 2328, 1567, 2470, 2939, 1087, 1368, 2191, 641, 1269, 2022, 793, 303, 853,
    596, 2662, 77, 1452, 2086, 164, 1581, 111, 1110, 153, 545, 1326, 1060, 14219,
)  # fmt: skip
_TWO_LABELS = 0.16  # share of rows with a second label: 7,102 of 43,410 in GoEmotions
_VAGUE = 0.15  # share of cues taken from another label, so that no model can be perfect
_AT_LEAST = 4  # rows a label in every split, so that no label is empty in a small one

_CUES: dict[str, tuple[str, ...]] = {
    "admiration": ("what a brilliant piece of work", "so well done", "you are a legend", "wow 👏"),
    "amusement": ("lol that got me", "haha", "hilarious 😂", "I can't stop laughing"),
    "anger": ("this makes me furious", "how dare they", "I am so mad 😡", "what the hell"),
    "annoyance": ("ugh, again", "this is so irritating", "stop doing that", "what the hell"),
    "approval": ("I agree with this", "sounds right to me", "good call", "well done"),
    "caring": ("take care of yourself", "please stay safe", "I hope you feel better", "hang in there"),
    "confusion": ("I don't get it", "wait, what does that mean", "I'm lost here", "huh"),
    "curiosity": ("how does that work?", "I wonder why", "tell me more?", "what happened next?"),
    "desire": ("I really want one", "I wish I had that", "need this in my life", "if only"),
    "disappointment": ("I expected better", "what a letdown", "that fell flat", "oh well, if only"),
    "disapproval": ("I don't agree", "that is not ok", "bad idea", "no, just no"),
    "disgust": ("that is gross", "yuck 🤢", "makes my stomach turn", "so nasty"),
    "embarrassment": ("I felt so awkward", "my face went red", "I cringed", "how embarrassing"),
    "excitement": ("I can't wait!", "so hyped", "this is going to be amazing!", "wow, yes!"),
    "fear": ("I'm scared", "that is terrifying", "I was shaking with fright", "so creepy"),
    "gratitude": ("thank you so much", "thanks a lot", "I appreciate it", "much appreciated 🙏"),
    "grief": ("rest in peace", "I miss her every day since she died", "we lost him", "rip"),
    "joy": ("I'm so happy", "what a wonderful day", "this made me smile 😊", "yay"),
    "love": ("I love this", "my favourite thing ever ❤️", "adore it", "love you all"),
    "nervousness": ("I'm anxious about it", "my hands are sweating", "so worried", "butterflies"),
    "optimism": ("it will get better", "I'm hopeful", "things are looking up", "hang in there"),
    "pride": ("I'm proud of us", "I did it all by myself", "so proud", "we earned it"),
    "realization": ("now I see", "oh, that explains it", "I just noticed", "huh, it turns out"),
    "relief": ("thank goodness it's over", "phew", "what a weight off", "glad that's behind us"),
    "remorse": ("I'm sorry", "my fault, I apologise", "I regret it", "I should not have done that"),
    "sadness": ("this makes me cry", "so sad 😢", "my heart aches", "I feel down"),
    "surprise": ("I did not see that coming", "no way!", "wow", "what a shock"),
    "neutral": ("for the record", "as far as I know", "by the way", "in any case"),
}  # fmt: skip
_CONTEXTS = (
    "the bus leaves at nine", "my brother cooked dinner", "they changed the rules of the game",
    "the second half starts soon", "she moved to another city", "the new season is out",
    "he posted the picture last night", "our team plays on Sunday", "the meeting was moved",
    "[NAME] said it in the interview", "the cat slept on the keyboard", "it rained all week",
    "the price went up twice", "I read the whole thread", "we waited in line for an hour",
    "the teacher called my parents", "somebody parked in front of the door", "the game went to overtime",
    "I tried the recipe with less sugar", "they closed the shop on the corner",
    "my phone died at the station", "the update came out today", "the dog found the ball",
    "nobody answered the phone",
)  # fmt: skip
_JOINS = (". ", ", ", " - ", "... ", "! ", " and ")


def generate(seed: int, counts: Mapping[Any, int]) -> dict[str, list[Row]]:
    """Make the splits.

    Args:
        seed: the same seed gives the same rows, on any machine.
        counts: split -> number of rows.

    Returns:
        split -> rows with unique ids.
    """
    return {
        split: _split(split, random.Random(f"{seed}-{split}"), counts[split]) for split in SPLITS
    }


def _split(split: str, rng: random.Random, count: int) -> list[Row]:
    floor = [label for label in range(len(LABELS)) for _ in range(_AT_LEAST)][:count]
    first = floor + rng.choices(range(len(LABELS)), weights=_WEIGHTS, k=count - len(floor))
    rng.shuffle(first)
    return [_row(f"{split}-{number:06d}", label, rng) for number, label in enumerate(first)]


def _row(identity: str, label: int, rng: random.Random) -> Row:
    labels = {label}
    if rng.random() < _TWO_LABELS:
        labels.add(rng.choices(range(len(LABELS)), weights=_WEIGHTS)[0])
    parts = [_cue(LABELS[index], rng) for index in sorted(labels)]
    parts.insert(rng.randrange(len(parts) + 1), rng.choice(_CONTEXTS))
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice(_JOINS) + part
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    return Row(identity, text, sorted(labels))


def _cue(label: str, rng: random.Random) -> str:
    if rng.random() < _VAGUE:
        label = rng.choice(LABELS)
    return rng.choice(_CUES[label])
