import hashlib
import re

import pytest

from goemotions.errors import UserError
from goemotions.io import hub, project

REVISION = "0123456789abcdef0123456789abcdef01234567"
BODY = '{"model_type": "é"}'.encode()
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with a.json and sub/b.json of the model own/model."""
    folder = tmp_path / "mirror" / "models" / "own" / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.json").write_bytes(BODY)
    (folder / "sub" / "b.json").write_bytes(b"b")
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(tmp_path / "mirror"))
    return folder


def from_mirror(files, **options):
    return hub.from_hub("model", "own/model", REVISION, files, **options)


def test_a_mirrors_files_are_found_by_their_paths(mirror):
    files = {"a.json": DIGEST, "sub/b.json": hashlib.sha256(b"b").hexdigest()}
    assert from_mirror(files) == {
        "a.json": mirror / "a.json",
        "sub/b.json": mirror / "sub" / "b.json",
    }


def test_datasets_and_models_lie_apart_in_a_mirror(mirror):
    message = f"the mirror {mirror.parents[2] / 'datasets' / 'own' / 'model'} is missing a.json"
    with pytest.raises(UserError, match=re.escape(message)):
        hub.from_hub("dataset", "own/model", REVISION, {"a.json": DIGEST})


def test_every_file_that_a_mirror_lacks_is_listed_at_once(mirror):
    message = (
        f"the mirror {mirror} is missing x.bin, y.bin; put revision {REVISION} of own/model there"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        from_mirror({"x.bin": None, "a.json": DIGEST, "y.bin": "0" * 64})


def test_every_wrong_digest_is_listed_beside_the_pinned_one(mirror):
    with pytest.raises(UserError) as error:
        from_mirror({"a.json": "0" * 64, "sub/b.json": "1" * 64})
    actual = hashlib.sha256(b"b").hexdigest()
    assert f"own/model at {REVISION} is not what params.yaml pins" in str(error.value)
    assert f"a.json is {DIGEST}, pinned {'0' * 64}" in str(error.value)
    assert f"sub/b.json is {actual}, pinned {'1' * 64}" in str(error.value)


def test_a_file_that_matches_its_pin_is_not_listed(mirror):
    with pytest.raises(UserError) as error:
        from_mirror({"a.json": DIGEST, "sub/b.json": "1" * 64})
    assert "a.json" not in str(error.value)


def test_a_mirrors_file_without_a_pin_is_refused_since_nothing_verifies_it(mirror):
    message = "params.yaml pins no SHA-256 for sub/b.json of own/model, so a mirror's copy cannot"
    with pytest.raises(UserError, match=re.escape(message)):
        from_mirror({"a.json": DIGEST, "sub/b.json": None})


def test_a_mirrors_dataset_needs_no_pins_of_files_since_its_rows_are_pinned(mirror):
    folder = mirror.parents[2] / "datasets/own/rows"
    folder.mkdir(parents=True)
    (folder / "a.json").write_bytes(b"any")
    found = hub.from_hub("dataset", "own/rows", REVISION, {"a.json": None})
    assert found == {"a.json": folder / "a.json"}


def test_a_folder_in_a_files_place_is_missing(mirror):
    (mirror / "c.json").mkdir()
    with pytest.raises(UserError, match=re.escape("is missing c.json")):
        from_mirror({"c.json": DIGEST})


def test_no_mirror_is_used_unless_the_variable_names_one(monkeypatch):
    monkeypatch.delenv("GOEMOTIONS_MIRROR", raising=False)
    assert hub.mirror() is None
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "")
    assert hub.mirror() is None


def test_a_mirror_that_is_not_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "gone")
    message = (
        f"GOEMOTIONS_MIRROR is 'gone': {tmp_path / 'gone'} is not a folder. Name a folder that"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        hub.mirror()


def test_a_mirror_in_an_unknown_users_home_is_an_error_for_the_user(monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "~nobody-of-this-name/x")
    with pytest.raises(UserError, match=r"is '~nobody-of-this-name/x': .*home.* Name a folder"):
        hub.mirror()


@pytest.mark.parametrize("inside", [".", ".dvc/tmp/exps/x", ".dvc/tmp/exps/standalone/tmpabc/src"])
def test_a_relative_mirror_is_relative_to_the_project_also_in_dvcs_copies(
    tmp_path, monkeypatch, inside
):
    (tmp_path / "project" / inside).mkdir(parents=True)
    (tmp_path / "mirror").mkdir()
    monkeypatch.chdir(tmp_path / "project" / inside)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "../mirror")
    assert project.project_folder() == tmp_path / "project"
    assert hub.mirror().resolve() == tmp_path / "mirror"


def test_a_parent_folder_may_be_named_dvc(tmp_path, monkeypatch):
    folder = tmp_path / ".dvc" / "project"
    for inside in (folder, folder / ".dvc/tmp/exps/standalone/tmpabc"):
        inside.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(inside)
        assert project.project_folder() == folder
    monkeypatch.chdir(tmp_path / ".dvc")
    assert project.project_folder() == tmp_path / ".dvc"


def test_the_mirror_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GOEMOTIONS_MIRROR", "~/hub")
    assert hub.mirror() == tmp_path / "hub"
