"""Single-label data: the sample's rows, each with the first of its labels."""

from goemotions.data import splits
from goemotions.data.labels import Labels


def make(folder, names=None):
    """Rewrite data/sample as single-label data, without the rows that have no label."""
    read = {name: splits.read(folder / f"{name}.jsonl") for name in splits.SPLITS}
    contents, counts = {}, {}
    for name, split in read.items():
        rows = [
            splits.Row(id, text, [int(target.argmax())])
            for id, text, target in zip(split.ids, split.texts, split.targets, strict=True)
            if target.any()
        ]
        contents[name], counts[name] = splits.encode(rows), len(rows)
    groups = {"tone": {"good": ("joy", "love", "gratitude"), "bad": ("anger", "fear")}}
    labels = Labels(names or read["train"].labels.names, "single_label", groups)
    splits.write(folder, contents, counts, labels)
    return labels
