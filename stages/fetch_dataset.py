"""Stage fetch_dataset: make data/<dataset>."""

from goemotions import config
from goemotions.data.fetch import fetch
from goemotions.errors import reported

if __name__ == "__main__":
    with reported():
        settings = config.load()
        counts = fetch(settings.dataset, settings.datasets[settings.dataset], settings.data_folder)
        print(f"{settings.data_folder}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()))
