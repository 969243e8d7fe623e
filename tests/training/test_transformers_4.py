"""A trained folder in transformers 4, installed for this test, answers as in transformers 5."""

import json
import os
import subprocess
import sys
from pathlib import Path

import plain
import pytest

from goemotions import config
from goemotions.data.fetch import fetch_dataset
from goemotions.models.prepare import cache
from goemotions.models.tokenizer import PROBES
from goemotions.training import fit
from tests.small import settings
from tests.weights import needs_mpnet

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")

VERSION_4 = ("transformers==4.57.3", "tokenizers==0.22.1", "huggingface_hub==0.36.0")
MODELS = (
    "deberta-v3-tiny",  # SentencePiece, converted
    "minilm-l6",  # WordPiece, of a package
    pytest.param("mpnet-base", marks=needs_mpnet),
)
TEXTS = [*PROBES, "", "Thank YOU so much!", "[MASK] </s> café CAFÉ", "don't , can ' t . no"]


@pytest.fixture(scope="module")
def version_4(tmp_path_factory):
    """A folder for PYTHONPATH with transformers 4; its other packages are this environment's."""
    folder = tmp_path_factory.mktemp("transformers-4")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--retries", "1", "--no-deps", "--target", str(folder), *VERSION_4]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{VERSION_4[0]} cannot be installed: {done.stderr.splitlines()[-1]}")
    return folder


@pytest.fixture(scope="module", params=MODELS)
def trained(request, tmp_path_factory):
    """A folder that training wrote, of each kind of model."""
    name, raw = request.param, settings()
    raw["model"] = name
    raw["datasets"]["sample"]["rows"] = {"train": 32, "val": 32, "test": 32}
    raw["recipes"][name]["epochs"] = 1
    p = config.parse(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp(name))
        fetch_dataset("sample", p.datasets["sample"], p.data_folder)
        cache(name, p.models[name], p.model_folder)
        fit.train(p, "bce")
        return str(Path("models/trained/bce").resolve())


@pytest.fixture(scope="module")
def by_4(version_4, trained):
    """What transformers 4 makes of that folder."""
    command = [sys.executable, plain.__file__, trained]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(version_4)},
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert f"transformers=={answer['version']}" == VERSION_4[0]
    return answer["found"][trained]


def test_a_trained_folder_gives_the_same_ids_logits_and_scores_in_transformers_4(trained, by_4):
    old, new = by_4, plain.answers(trained, TEXTS)
    assert len(old["labels"]) == 28
    for same in ("ids", "labels", "problem type", "dtype", "longest", "special tokens"):
        assert old[same] == new[same], same
    for text, theirs, ours in zip(TEXTS, old["logits"], new["logits"], strict=True):
        assert theirs == pytest.approx(ours, abs=1e-6), text
    for text, theirs, ours in zip(TEXTS, old["pipeline"], new["pipeline"], strict=True):
        assert theirs == pytest.approx(ours, abs=1e-6), text
