"""Make data/<dataset> for the dataset that params.yaml selects, and check every row of it."""

from goemotions import config
from goemotions.data.fetch import fetch
from goemotions.errors import stage
from goemotions.io.project import refuse_links_out_of_the_project

if __name__ == "__main__":
    with stage(__doc__):
        refuse_links_out_of_the_project()
        settings = config.load()
        counts = fetch(settings.dataset, settings.datasets[settings.dataset], settings.data_folder)
        print(f"{settings.data_folder}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()))
