"""Stage cache_model: make models/<model>."""

from goemotions import config
from goemotions.errors import reported
from goemotions.io.project import refuse_links_out_of_the_project
from goemotions.models.prepare import cache

if __name__ == "__main__":
    with reported():
        refuse_links_out_of_the_project()
        settings = config.load()
        cache(settings.model, settings.models[settings.model], settings.model_folder)
        size = sum(path.stat().st_size for path in settings.model_folder.iterdir())
        print(f"{settings.model_folder}: {size / 1e6:,.1f} MB")
