import errno
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from goemotions.io import digests, publish

ROOT = Path(__file__).parents[2]


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def fail_to_publish(target, error):
    with publish.published(target) as draft:
        (draft / "half").write_text("2")
        raise error


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\x00\xff" * 200_000)
    assert digests.sha256(path) == hashlib.sha256(b"\x00\xff" * 200_000).hexdigest()


def test_sha256_of_an_empty_file_is_the_known_constant(tmp_path):
    (tmp_path / "file").touch()
    assert digests.sha256(tmp_path / "file").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_json_keeps_unicode_and_order_and_ends_in_a_newline(tmp_path):
    digests.write_json(tmp_path / "a.json", {"é": "😂", "a": [1]})
    written = (tmp_path / "a.json").read_bytes()
    assert written == '{\n  "é": "😂",\n  "a": [\n    1\n  ]\n}\n'.encode()
    assert json.loads(written) == {"é": "😂", "a": [1]}


def test_a_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "folder"
    with publish.published(target) as draft:
        (draft / "a").write_text("1")
        assert not target.exists()
        assert draft.parent == target.parent
    assert content(target) == {"a": "1"}
    assert list(target.parent.iterdir()) == [target]


def test_a_new_folder_replaces_the_whole_of_the_old_one(tmp_path):
    target = tmp_path / "folder"
    (target / "sub").mkdir(parents=True)
    (target / "sub" / "old").touch()
    with publish.published(target) as draft:
        (draft / "new").write_text("2")
        assert (target / "sub" / "old").is_file()
    assert content(target) == {"new": "2"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_folder_and_no_draft(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("1")
    with pytest.raises(KeyboardInterrupt):
        fail_to_publish(target, KeyboardInterrupt())
    assert content(target) == {"old": "1"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(OSError, match="disk full"):
        fail_to_publish(tmp_path / "folder", OSError("disk full"))
    assert list(tmp_path.iterdir()) == []


def test_a_published_folder_can_be_read_by_others(tmp_path):
    with publish.published(tmp_path / "folder"):
        pass
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


def test_old_files_that_dvc_made_read_only_are_replaced(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch(mode=0o444)
    with publish.published(target) as draft:
        (draft / "new").write_text("2")
    assert content(target) == {"new": "2"}


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "old").touch()
    (tmp_path / "link").symlink_to("disk")
    with publish.published(tmp_path / "link") as draft:
        (draft / "new").write_text("2")
    assert content(tmp_path / "link") == {"new": "2"}
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "link"}


def test_files_replace_those_of_their_names_only(tmp_path):
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "a").write_text("old")
    (folder / "kept").write_text("old")
    with publish.replaced(folder) as draft:
        (draft / "a").write_text("new")
        (draft / "b").write_text("new")
        assert content(folder) == {"a": "old", "kept": "old"}
    assert content(folder) == {"a": "new", "b": "new", "kept": "old"}
    assert list(tmp_path.iterdir()) == [folder]


@pytest.fixture
def old(disk):
    """A folder whose files have reached the disk."""
    (disk.folder / "folder").mkdir()
    for name in ("a", "b"):
        (disk.folder / "folder" / name).write_text("old")
    os.sync()
    return disk.folder / "folder"


def test_a_power_cut_loses_what_is_not_on_the_disk(disk, old):
    (old / "a").write_text("new")
    (old / "c").write_text("new")
    disk.cut()
    disk.restart()
    assert content(old) in ({"a": "old", "b": "old"}, {"a": "", "b": "old"})


@pytest.mark.parametrize("put", [publish.published, publish.replaced])
def test_a_folder_outlives_a_power_cut_right_after_it_was_put(disk, old, put):
    with put(old) as draft:
        for name in ("a", "b"):
            (draft / name).write_text("new")
    disk.cut()
    disk.restart()
    assert content(old) == {"a": "new", "b": "new"}


@pytest.mark.parametrize("put", [publish.published, publish.replaced])
def test_a_power_cut_before_it_was_put_leaves_the_old(disk, old, put):
    def make():
        with put(old) as draft:
            for name in ("a", "b"):
                (draft / name).write_text("new")
            disk.cut()

    with pytest.raises(OSError, match="Input/output error"):
        make()
    disk.restart()
    assert content(old) == {"a": "old", "b": "old"}


def test_a_folder_that_a_killed_process_had_moved_away_is_put_back(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    moved, draft = (tmp_path / f".folder.{ended.pid}.{rest}" for rest in ("old-x", "y"))
    for path, text in ((moved, "old"), (draft, "new")):
        path.mkdir()
        (path / "a").write_text(text)
    with pytest.raises(ZeroDivisionError), publish.published(tmp_path / "folder"):
        1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert content(tmp_path / "folder") == {"a": "old"}


@pytest.mark.parametrize("put", [publish.published, publish.replaced])
def test_the_draft_of_a_killed_process_is_removed_and_that_of_a_live_one_is_not(tmp_path, put):
    code = (
        "import os, sys; from pathlib import Path; from goemotions.io import publish\n"
        f"with publish.{put.__name__}(Path(sys.argv[1])) as draft:\n"
        "    (draft / 'a').touch(); print(draft, flush=True); sys.stdin.read()\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "folder")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    killed, live = (Path(process.stdout.readline().strip()) for process in started)
    started[0].kill()
    started[0].communicate()
    assert (killed / "a").exists()
    with put(tmp_path / "folder"):
        assert not killed.exists()
        assert (live / "a").exists()
    started[1].communicate("")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert content(tmp_path / "folder") == {"a": ""}


def fetch(folder, environment):
    """Run the stage fetch_dataset, on the sample."""
    return subprocess.run(
        [sys.executable, str(ROOT / "stages/fetch_dataset.py")],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def sample(tmp_path):
    """A folder whose params.yaml selects the sample."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text.count("\ndataset: goemotions") == 1
    (tmp_path / "params.yaml").write_text(
        text.replace("\ndataset: goemotions", "\ndataset: sample"), encoding="utf-8"
    )
    return tmp_path


NO_SYNC = (
    "warning: this file system cannot confirm that files have reached the disk, so what was "
    "written just before a power cut may be lost\n"
)


@pytest.mark.parametrize(
    "answers",
    [
        {"fsync_of_folders": errno.EINVAL},
        {"fsync_of_folders": errno.EOPNOTSUPP},
        {"fsync_of_folders": errno.EBADF},
        {"fsync_of_read_only": errno.EACCES},
        {"fsync_of_folders": errno.EINVAL, "fsync_of_files": errno.EINVAL},
    ],
)
def test_a_file_system_that_cannot_sync_costs_one_warning_and_no_output(
    sample, file_system, answers
):
    assert fetch(sample, {}).stderr == ""
    expected = content(sample / "data/sample")
    shutil.rmtree(sample / "data")
    done = fetch(sample, file_system(**answers))
    assert (done.returncode, done.stderr) == (0, NO_SYNC)
    assert content(sample / "data/sample") == expected
    assert [path.name for path in (sample / "data").iterdir()] == ["sample"]


def test_a_file_is_synced_through_a_descriptor_that_may_write(sample, file_system):
    """Where only such descriptors can be synced, which a folder never has, files are safe."""
    code = "import sys; from pathlib import Path; from goemotions.io import publish\n"
    code += "publish.sync(Path(sys.argv[1]))"
    for path, warning in ((sample / "params.yaml", ""), (sample, NO_SYNC)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env=os.environ | file_system(fsync_of_read_only=errno.EACCES),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == warning


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("fsync_of_files", errno.ENOSPC),
        ("fsync_of_files", errno.EIO),
        ("fsync_of_files", errno.EACCES),
        ("fsync_of_folders", errno.ENOSPC),
        ("fsync_of_folders", errno.EIO),
    ],
)
def test_a_full_or_failing_disk_stays_an_error_that_names_the_path(
    sample, file_system, call, error
):
    done = fetch(sample, file_system(**{call: error}))
    assert done.returncode == 1
    named = r"/\w+\.\w+" if call == "fsync_of_files" else ""
    assert re.fullmatch(
        rf"error: \[Errno {error}\] {os.strerror(error)}: '{re.escape(str(sample))}/data/"
        rf"\.sample\.[^/]+{named}'; fix that and run the same command again\n",
        done.stderr,
    )
    assert list((sample / "data").iterdir()) == []


def run_before_a_stage(folder):
    """What stages/run.sh runs first where DVC runs the stage."""
    return subprocess.run(
        [sys.executable, "-m", "goemotions.io.preflight"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["data", "models", "metrics", "models/trained"])
def test_a_link_out_of_the_project_stops_a_stage_that_dvc_runs(sample, name):
    (sample / "disk").mkdir()
    (sample / "project" / name).parent.mkdir(parents=True)
    (sample / "project" / name).symlink_to(sample / "disk")
    done = run_before_a_stage(sample / "project")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {name} is a link to {sample / 'disk'}, outside the project, where DVC records "
        "nothing; make it a folder again and keep DVC's cache on that disk instead: `goemotions "
        "verify` lists the commands\n"
    )


def test_a_link_inside_the_project_stops_nothing(sample):
    (sample / "disk").mkdir()
    (sample / "data").symlink_to("disk")
    done = run_before_a_stage(sample)
    assert (done.returncode, done.stderr) == (0, "")
