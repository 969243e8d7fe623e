"""Make models/<model> for the base model that params.yaml selects, and check that it loads."""

from goemotions import config
from goemotions.errors import stage

if __name__ == "__main__":
    with stage(__doc__):
        settings = config.load()
        from goemotions.models.prepare import cache

        cache(settings.model, settings.models[settings.model], settings.model_folder)
        size = sum(path.stat().st_size for path in settings.model_folder.iterdir())
        print(f"{settings.model_folder}: {size / 1e6:,.1f} MB")
