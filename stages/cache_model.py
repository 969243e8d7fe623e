"""Stage cache_model: make models/<model>."""

from goemotions import params
from goemotions.base_model.cache import cache
from goemotions.errors import reported

if __name__ == "__main__":
    with reported():
        settings = params.load()
        cache(settings.model, settings.models[settings.model], settings.model_folder)
        size = sum(path.stat().st_size for path in settings.model_folder.iterdir())
        print(f"{settings.model_folder}: {size / 1e6:,.1f} MB")
