"""Export a trained model with ONNX files and a model card, into export/<loss>."""

import argparse
from pathlib import Path

from goemotions import config
from goemotions.errors import reported
from goemotions.io.project import refuse_links_out_of_the_project

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loss", help="whose trained model is exported, models/trained/<loss>")
    loss = parser.parse_args().loss
    with reported():
        refuse_links_out_of_the_project()
        settings = config.load()
        from goemotions.commands.export import export

        export(settings, loss, Path("export", loss))
