"""What several tests share: the project's params, the real mirror and one small cached model."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from disk import Disk

# libgomp reads it once, when torch is imported. The tests' workers share the cores: idle threads
# that spin, as they do unless told to sleep, slow each other's training many times over.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # OpenBLAS spins whatever that says
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# huggingface_hub reads it once, when it is imported: no test asks the real Hub.
os.environ["HF_HUB_OFFLINE"] = "1"
# And none reads the settings that `accelerate config` may have left for this user.
os.environ["HF_HOME"] = tempfile.mkdtemp()

from goemotions import config
from goemotions.data.fetch import fetch_dataset
from goemotions.models import prepare
from tests import small

ROOT = Path(__file__).parents[1]
# Read now, since tests set the variable for themselves.
MIRROR = ROOT / (os.environ.get("GOEMOTIONS_MIRROR") or "../shared/mirror")


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    """The longest tests first, so that at the end no worker waits for another's long one."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)


@pytest.fixture
def raw():
    """A fresh copy of what params.yaml holds, to be corrupted."""
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def settings():
    """The project's own params.yaml."""
    return config.load(ROOT / "params.yaml")


@pytest.fixture
def real_mirror(monkeypatch):
    """GOEMOTIONS_MIRROR set to the folder with the real GoEmotions and DeBERTa-v3 configs."""
    if not MIRROR.is_dir():
        pytest.skip(f"no mirror of the real files: {MIRROR} is no folder")
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(MIRROR))
    return MIRROR


@pytest.fixture
def disk(tmp_path):
    """A file system whose power can be cut."""
    try:
        made = Disk(tmp_path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no power can be cut here: {error}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def file_system(tmp_path_factory):
    """Makes the environment of a process whose file system fails as tests/file_system.c says."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a file system that fails to order needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("file_system") / "file_system.so"
    source = Path(__file__).with_name("file_system.c")
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)

    def environment(**answers):
        failing = {f"FAIL_{call.upper()}": str(error) for call, error in answers.items()}
        return {"LD_PRELOAD": str(library), **failing}

    return environment


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, settings):
    """models/deberta-v3-tiny as cache_model makes it; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "deberta-v3-tiny"
    prepare.cache("deberta-v3-tiny", settings.models["deberta-v3-tiny"], folder)
    return folder


@pytest.fixture(scope="session")
def minilm(tmp_path_factory, settings):
    """models/minilm-l6 as cache_model makes it; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "minilm-l6"
    prepare.cache("minilm-l6", settings.models["minilm-l6"], folder)
    return folder


@pytest.fixture(scope="session")
def mpnet(tmp_path_factory, settings):
    """models/mpnet-base as cache_model makes it; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "mpnet-base"
    prepare.cache("mpnet-base", settings.models["mpnet-base"], folder)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A project folder with the sample, the tiny model and a trained folder; not to be changed."""
    folder = tmp_path_factory.mktemp("project")
    raw = small.settings(epochs=1)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    (folder / "texts" / "sample").mkdir(parents=True)
    p = config.parse(raw)
    from goemotions.training import fit

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fetch_dataset("sample", p.datasets["sample"], p.data_folder)
        prepare.cache("deberta-v3-tiny", p.models["deberta-v3-tiny"], p.model_folder)
        fit.train(p, "bce")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A real browser without a window, which logs its console and its network."""
    driver, binary = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and binary):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "headless", "no-sandbox", "disable-gpu", "disable-background-networking",
        "disable-component-update", "disable-sync", "no-first-run", "disable-dev-shm-usage",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()
