"""From DeBERTa-v3's SentencePiece model to a fast tokenizer that gives the same ids.

transformers 5's own DebertaV2Tokenizer drops the normalisation that spm.model carries (NFKC
ellipses, ligatures, full-width letters) and so gives other ids than the model was pretrained
with; its older converter keeps it. What is written here names the generic class, because
DebertaV2Tokenizer would drop it again on loading; and it names it as transformers 4 does, since
version 5 knows that name, too, but 4 does not know the name that 5 writes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from goemotions.errors import UserError

# Texts on which the two must agree before a folder is published: what is odd in comments.
PROBES = (
    "Thanks, that was really kind!", "I love this 😂😂 ❤️ 👩‍👩‍👧‍👦", "[NAME] said… “no way”™", "x",
    "ﬁne ①②③ Ａｂｃ ½", "zero\u200bwidth\u200djoiner", "نص عربي", "日本語のテキスト",
    "e\u0301 é İstanbul ß", "a\u2028b\u00a0c\td\ne", "  leading  and   double  spaces  ",
    "▁under_score ¯\\_(ツ)_/¯",
)  # fmt: skip


def convert(folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json for the spm.model in `folder`.

    tokenizer_config.json is read first, for `do_lower_case` and `split_by_punct`.

    Raises:
        UserError: spm.model cannot be read, or the fast tokenizer's ids differ from its own.
    """
    import google.protobuf  # noqa: F401  # DebertaV2Converter needs it, or falls back to tiktoken
    import sentencepiece
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import DebertaV2Converter

    spm, config_file = folder / "spm.model", folder / "tokenizer_config.json"
    try:
        slow = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{spm.name} is not a SentencePiece model: {error}") from None
    try:
        config = json.loads(config_file.read_text(encoding="utf-8")) if config_file.exists() else {}
        config = dict(config)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{config_file.name} is not a JSON object: {error}") from None
    converter = DebertaV2Converter(
        SimpleNamespace(
            vocab_file=str(spm),
            do_lower_case=config.get("do_lower_case", False),
            split_by_punct=config.get("split_by_punct", False),
            convert_tokens_to_ids=slow.piece_to_id,
        )
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=converter.converted(),
        cls_token="[CLS]",
        bos_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        unk_token="[UNK]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        model_max_length=512,
    )
    fast.save_pretrained(folder)
    use_shared_name(folder)
    if not config.get("do_lower_case") and (different := disagreements(folder, PROBES)):
        raise UserError(
            f"the fast tokenizer disagrees with {spm.name} on {different[0]!r}: this version of "
            "transformers converts it differently; install the pinned one with `make setup`"
        )


def use_shared_name(folder: Path) -> None:
    """Where tokenizer_config.json names transformers 5's generic class, name it as 4 does."""
    path = folder / "tokenizer_config.json"
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"TokenizersBackend"', b'"PreTrainedTokenizerFast"'))


def disagreements(folder: Path, texts: Sequence[str]) -> list[str]:
    """The texts whose ids differ between tokenizer.json and spm.model in `folder`.

    Where two segmentations have the same score, either may be chosen: SentencePiece adds scores
    in float32 and the fast tokenizer in float64, so they can break such a tie differently. Ties
    are not reported.
    """
    import sentencepiece
    from transformers import AutoTokenizer

    slow = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    fast = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    fast_ids = fast(list(texts), add_special_tokens=False)["input_ids"]
    unknown = slow.unk_id()

    def score(ids: list[int]) -> tuple[float, int]:
        known = [i for i in ids if i != unknown]
        return sum(slow.get_score(i) for i in known), len(ids) - len(known)

    different = []
    for text, theirs, ours in zip(texts, slow.encode(list(texts)), fast_ids, strict=True):
        if theirs != ours:
            (a, unknown_a), (b, unknown_b) = score(theirs), score(ours)
            if unknown_a != unknown_b or abs(a - b) > 1e-3:
                different.append(text)
    return different
