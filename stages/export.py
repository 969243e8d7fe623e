"""Export a trained model with ONNX files and a model card, into export/<loss>."""

import os
from pathlib import Path

from goemotions import config
from goemotions.errors import stage

if __name__ == "__main__":
    with stage(__doc__):
        settings = config.load()
        # DVC runs it as `export@<loss>`; in the command, the setting would reach a shell.
        loss = os.environ.get("DVC_STAGE", "").partition("@")[2] or settings.loss
        from goemotions.commands import export

        export.run(settings, loss, Path("export", loss), compared=False)
