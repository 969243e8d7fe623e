"""params.schema.json, by which editors complete and check params.yaml: `make schema`."""

import json
from pathlib import Path

from goemotions.config import Params

SCHEMA = Path(__file__).parents[1] / "params.schema.json"


def schema() -> str:
    """The JSON schema (draft 2020-12) of params.yaml."""
    return json.dumps(Params.model_json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
