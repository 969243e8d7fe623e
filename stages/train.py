"""Stage train@<loss>: make models/trained/<loss>. Started by `accelerate launch`."""

from goemotions import config
from goemotions.errors import reported

if __name__ == "__main__":
    with reported(interrupted="interrupted; the same command resumes from the last checkpoint"):
        settings = config.load()
        from goemotions.training.fit import train

        train(settings, settings.loss)
