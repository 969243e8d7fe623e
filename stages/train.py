"""Stage train@<loss>: make models/trained/<loss>. Started by `accelerate launch`."""

import argparse

from goemotions import config
from goemotions.errors import reported

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    with reported(interrupted="interrupted; the same command resumes from the last checkpoint"):
        settings = config.load()
        from goemotions.training.fit import train

        train(settings, settings.loss)
