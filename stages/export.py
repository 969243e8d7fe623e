"""Export a trained model with ONNX files and a model card, into export/<loss>."""

import argparse
import os
from pathlib import Path

from goemotions import config
from goemotions.config.messages import choose
from goemotions.errors import UserError, reported
from goemotions.io.project import refuse_links_out_of_the_project

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loss", help="whose trained model is exported, models/trained/<loss>")
    loss = parser.parse_args().loss
    with reported():
        refuse_links_out_of_the_project()
        settings = config.load()
        # Of `export@<loss>`: in the command, a setting would reach the shell.
        loss = loss or os.environ.get("DVC_STAGE", "").partition("@")[2] or settings.loss
        if loss not in settings.losses:
            raise UserError(f"export has {loss!r}; {choose(loss, settings.losses)}")
        from goemotions.commands.export import export

        export(settings, loss, Path("export", loss))
