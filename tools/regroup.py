"""GoEmotions as somebody's own texts, to try that path on real data.

    dvc repro fetch_dataset && python tools/regroup.py

writes texts/ekman (CSV: the seven labels of the paper's Ekman level) and texts/single (parquet:
the rows that have exactly one of the 28 labels), and prints the entries that read them.
"""

import csv
from pathlib import Path

import pyarrow
from pyarrow import parquet

from goemotions.data import splits

ENTRIES = """\
  ekman:
    source: files
    files: {train: texts/ekman/train.csv, val: texts/ekman/val.csv, test: texts/ekman/test.csv}
    id: id
    text: text
    labels: {column: labels, separator: ","}
  single:
    source: files
    files:
      train: texts/single/train.parquet
      val: texts/single/val.parquet
      test: texts/single/test.parquet
    id: id
    text: text
    labels: {column: label, cell: one}
"""


def main() -> None:
    read = splits.load(Path("data", "goemotions"), *splits.SPLITS)
    for name, split in read.items():
        names = split.labels.names
        rows = [
            (identity, text, [names[label] for label in targets.nonzero()[0]])
            for identity, text, targets in zip(split.ids, split.texts, split.targets, strict=True)
        ]
        group_of = {
            label: group
            for group, labels in split.labels.groupings["ekman"].items()
            for label in labels
        }
        path = Path("texts", "ekman", f"{name}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text", "labels"])
            for identity, text, labels in rows:
                groups = dict.fromkeys(group_of[label] for label in labels)
                writer.writerow([identity, text, ",".join(groups)])
        one = [(identity, text, labels[0]) for identity, text, labels in rows if len(labels) == 1]
        path = Path("texts", "single", f"{name}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = dict(zip(("id", "text", "label"), zip(*one, strict=True), strict=True))
        parquet.write_table(
            pyarrow.table({key: list(cells) for key, cells in columns.items()}), path
        )
    print(ENTRIES, end="")


if __name__ == "__main__":
    main()
