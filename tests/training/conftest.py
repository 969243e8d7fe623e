"""A workspace in which training takes seconds."""

import shutil

import pytest

from goemotions import config
from goemotions.data.fetch import fetch_dataset
from goemotions.models.prepare import cache
from tests.small import settings


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """data/sample and models/deberta-v3-tiny, small."""
    folder = tmp_path_factory.mktemp("inputs")
    p = config.parse(settings())
    fetch_dataset("sample", p.datasets["sample"], folder / p.data_folder)
    cache("deberta-v3-tiny", p.models["deberta-v3-tiny"], folder / p.model_folder)
    return folder


@pytest.fixture
def workspace(inputs, tmp_path, monkeypatch):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
