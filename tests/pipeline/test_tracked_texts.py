"""A user's own files are dependencies of fetch_dataset, and must be tracked by git or DVC."""

import json

import pytest

ROWS = "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40))
ENTRY = {
    "source": "files",
    "files": "texts/mine/all.csv",
    "text": "text",
    "labels": {"column": "label"},
    "split": {"val": 0.25, "test": 0.25},
}


@pytest.fixture
def own(clone, tmp_path):
    """A clone with a dataset whose file git does not track yet, and with a cache of its own.

    In a shared cache `dvc repro` could find what another test's stage made from the same file and
    settings, and would not run the stage at all.
    """
    clone.dvc("cache", "dir", "--local", str(tmp_path / "cache"))
    clone.params({"datasets.mine": ENTRY, "dataset": "mine", "loss": "cross_entropy"})
    folder = clone.folder / "texts" / "mine"
    folder.mkdir()
    (folder / "all.csv").write_text(ROWS)
    return clone


def train_rows(clone):
    return json.loads((clone.folder / "data/mine/metadata.json").read_text())["rows"]["train"]


def test_a_file_that_nothing_tracks_is_refused_with_the_command_that_fixes_it(own):
    out = own.dvc("repro", "fetch_dataset", ok=False)
    assert "datasets.mine: neither git nor DVC tracks texts/mine/all.csv" in out
    assert "git add texts/mine/all.csv" in out
    assert not (own.folder / "data" / "mine").exists()
    assert "FAIL texts/mine/all.csv: is tracked by neither git nor DVC" in own.goemotions(
        "verify", ok=False
    )
    own.git("add", "texts/mine/all.csv")
    assert "20 train, 10 val, 10 test; 2 labels, single-label" in own.dvc("repro", "fetch_dataset")


def test_a_changed_row_makes_stale_what_depends_on_it_and_a_wrong_one_changes_nothing(own):
    own.git("add", "texts/mine/all.csv")
    own.dvc("repro", "fetch_dataset")
    assert train_rows(own) == 20
    file = own.folder / "texts" / "mine" / "all.csv"
    file.write_text(ROWS + "one more,a\n" * 4)
    assert "texts/mine" in own.dvc("status", "fetch_dataset")
    own.dvc("repro", "fetch_dataset")
    assert train_rows(own) == 22
    before = {p.name: p.read_bytes() for p in (own.folder / "data" / "mine").iterdir()}
    file.write_text(ROWS + "one more\n")
    assert "all.csv, row 41 (line 42): has 1 field" in own.dvc("repro", "fetch_dataset", ok=False)
    own.dvc("checkout", "data/mine")  # DVC removes an output before it runs the stage
    assert {p.name: p.read_bytes() for p in (own.folder / "data" / "mine").iterdir()} == before


@pytest.mark.parametrize("tracked_by", ["git", "dvc"])
def test_a_temporary_experiment_has_the_files(own, tracked_by):
    if tracked_by == "dvc":
        own.dvc("add", "texts/mine/all.csv")
    own.git("add", "-A")
    own.git("commit", "-qm", "mine")
    own.dvc("exp", "run", "--temp", "-n", "mine", "fetch_dataset")
    reference = own.git("for-each-ref", "--format=%(refname)", "refs/exps").split()[0]
    assert reference.endswith("/mine")
    assert "path: data/mine" in own.git("show", f"{reference}:dvc.lock")


def test_a_loss_for_other_data_is_refused_before_anything_is_read(own):
    own.params({"loss": "asl"})
    out = own.dvc("repro", ok=False)
    assert "losses.asl is for multi-label data; mine is single-label: choose one of: cross_" in out
    assert not (own.folder / "models" / "trained").exists()


def test_files_behind_a_link_are_refused_since_git_tracks_only_the_link(own, tmp_path):
    folder = own.folder / "texts" / "mine"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    own.git("add", "texts/mine")
    why = "is not in the project's repository, since texts/mine is a link or a git submodule"
    assert f"texts/mine/all.csv {why}" in own.dvc("repro", "fetch_dataset", ok=False)
    report = own.goemotions("verify", ok=False)
    assert f"FAIL texts/mine/all.csv: {why}" in report
    assert "is tracked by neither" not in report
    folder.unlink()
    folder.mkdir()
    (folder / "all.csv").symlink_to(tmp_path / "elsewhere/all.csv")
    own.git("add", "texts/mine")
    why = why.replace("texts/mine is", "texts/mine/all.csv is")
    assert f"texts/mine/all.csv {why}" in own.dvc("repro", "fetch_dataset", ok=False)
