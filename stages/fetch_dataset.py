"""Make data/<dataset> for the dataset that params.yaml selects, and check every row of it."""

from goemotions import config
from goemotions.data.fetch import fetch
from goemotions.errors import stage

if __name__ == "__main__":
    with stage(__doc__):
        settings = config.load()
        counts = fetch(settings.dataset, settings.datasets[settings.dataset], settings.data_folder)
        print(f"{settings.data_folder}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()))
