"""Stage train@<loss>: make models/trained/<loss>. Started by `accelerate launch`."""

from goemotions import config
from goemotions.errors import stage

INTERRUPTED = "interrupted; the same command resumes from the last checkpoint"

if __name__ == "__main__":
    with stage(__doc__, interrupted=INTERRUPTED):
        settings = config.load()
        from goemotions.training.fit import train

        train(settings, settings.loss)
