"""Stage train@<loss>: make models/trained/<loss>. Started by `accelerate launch`."""

import argparse

from goemotions import config
from goemotions.errors import reported

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loss", help="an entry of params.yaml's `losses`; its `loss` by default")
    loss = parser.parse_args().loss
    with reported(interrupted="interrupted; the same command resumes from the last checkpoint"):
        settings = config.load()
        from goemotions.training.fit import train

        train(settings, loss or settings.loss)
