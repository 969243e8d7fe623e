"""Make data/<dataset> for the dataset that params.yaml selects, and check every row of it."""

import sys

from goemotions import config
from goemotions.data.fetch import fetch_dataset
from goemotions.errors import stage

if __name__ == "__main__":
    with stage(__doc__):
        settings = config.load()
        texts = fetch_dataset(
            settings.dataset, settings.datasets[settings.dataset], settings.data_folder
        )
        counts = ", ".join(f"{len(rows):,} {split}" for split, rows in texts.rows.items())
        kind = texts.labels.task.replace("_", "-")
        print(f"{settings.data_folder}: {counts}; {len(texts.labels)} labels, {kind}")
        for warning in texts.warnings:
            print(f"warning: {warning}", file=sys.stderr)
