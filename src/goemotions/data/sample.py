"""The sample: a small generated corpus with GoEmotions' labels, imbalance and multi-labels.

It exists so that the demo and the tests run the real pipeline in seconds and offline. Word order
matters in it: "I was happy and she was sad" is joy, "she was happy and I was sad" is sadness, so a
bag of words is beaten by a model that reads sentences. Its numbers say nothing about GoEmotions.
"""

import random
from collections.abc import Mapping
from typing import Any

from goemotions.data.splits import SPLITS, Row

# Train counts of GoEmotions by label, in label order: what a row's labels are drawn by.
_WEIGHTS = (
    4130, 2328, 1567, 2470, 2939, 1087, 1368, 2191, 641, 1269, 2022, 793, 303, 853,
    596, 2662, 77, 1452, 2086, 164, 1581, 111, 1110, 153, 545, 1326, 1060, 14219,
)  # fmt: skip
_TWO_LABELS = 0.16  # share of rows with a second label: 7,102 of 43,410 in GoEmotions
_CONTRASTED = 0.8  # share of cues beside another label's, which does not count
_VAGUE = 0.1  # share of cues taken from another label, so that no model can be perfect
_AT_LEAST = 4  # rows per label in every split, so that no label is empty in a small one

_CUES: dict[str, tuple[str, ...]] = {
    "admiration": ("impressed", "in awe", "full of admiration"),
    "amusement": ("amused", "laughing 😂", "entertained"),
    "anger": ("furious", "angry 😡", "outraged"),
    "annoyance": ("annoyed", "irritated", "fed up"),
    "approval": ("in favour", "supportive", "all for it"),
    "caring": ("caring", "protective", "concerned for them"),
    "confusion": ("confused", "puzzled", "lost"),
    "curiosity": ("curious", "intrigued", "wondering"),
    "desire": ("longing", "craving one", "jealous"),
    "disappointment": ("disappointed", "let down", "disillusioned"),
    "disapproval": ("opposed", "critical", "against it"),
    "disgust": ("disgusted 🤢", "sickened", "revolted"),
    "embarrassment": ("embarrassed", "ashamed", "blushing"),
    "excitement": ("excited", "thrilled", "hyped"),
    "fear": ("scared", "afraid", "terrified"),
    "gratitude": ("grateful", "thankful 🙏", "obliged"),
    "grief": ("grieving", "in mourning", "bereaved"),
    "joy": ("happy 😊", "delighted", "cheerful"),
    "love": ("in love ❤️", "fond", "devoted"),
    "nervousness": ("nervous", "anxious", "worried"),
    "optimism": ("hopeful", "optimistic", "confident"),
    "pride": ("proud", "honoured", "pleased with it"),
    "realization": ("aware", "enlightened", "struck by it"),
    "relief": ("relieved", "reassured", "off the hook"),
    "remorse": ("sorry", "guilty", "full of regret"),
    "sadness": ("sad 😢", "heartbroken", "depressed"),
    "surprise": ("surprised", "astonished", "stunned"),
    "neutral": ("fine", "okay", "busy"),
}  # fmt: skip
LABELS = tuple(_CUES)
_DEGREES = ("really", "very", "quite", "so", "a bit")
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
        labels.add(_any_label(rng))
    parts = [_statement(index, labels, rng) for index in sorted(labels)]
    if len(parts) == 1:
        parts.insert(rng.randrange(2), rng.choice(_CONTEXTS))
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice(_JOINS) + part
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    return Row(identity, text, sorted(labels))


def _statement(label: int, labels: set[int], rng: random.Random) -> str:
    """What expresses a label: its cue, alone or in a contrast with another label's.

    The same words stand right before both cues of a contrast, in either order, so neither words nor
    pairs of words say which cue counts.
    """
    cue, degree = _cue(label, rng), rng.choice(_DEGREES)
    other = _any_label(rng)
    if other in labels or rng.random() >= _CONTRASTED:
        return f"I am {degree} {cue}"
    other_cue = _cue(other, rng)
    if rng.random() < 0.5:
        parts = [f"I was {cue}", f"{rng.choice(('she', 'he'))} was {other_cue}"]
        conjunction = " and "
    else:
        parts = [f"{degree} {cue}", f"not {degree} {other_cue}"]
        conjunction = ", "
    return conjunction.join(parts if rng.random() < 0.5 else reversed(parts))


def _any_label(rng: random.Random) -> int:
    return rng.choices(range(len(LABELS)), weights=_WEIGHTS)[0]


def _cue(label: int, rng: random.Random) -> str:
    if rng.random() < _VAGUE:
        label = rng.randrange(len(LABELS))
    return rng.choice(_CUES[LABELS[label]])
