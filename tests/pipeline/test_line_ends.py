"""A clone by a git that is set to convert line ends, as Git for Windows installs it."""


def test_no_byte_of_a_clone_changes_where_git_converts_line_ends(clone, tmp_path):
    copy, convert = tmp_path / "converted", "core.autocrlf=true"
    # With --config the setting stays in the clone, for what is checked out there later.
    command = ("git", "-c", convert, "clone", "-q", "--config", convert, str(clone.folder))
    clone.run(*command, str(copy))
    listed = clone.git("ls-files", "-z").split("\0")[:-1]
    tracked = [name for name in listed if name != ".venv"]  # a link, in these tests
    assert {"stages/run.sh", "params.yaml", "dvc.lock", "metrics/baseline.json"} <= set(tracked)
    changed = [n for n in tracked if (copy / n).read_bytes() != (clone.folder / n).read_bytes()]
    assert changed == []
    assert clone.run("git", "status", "--porcelain", cwd=copy).stdout == ""

    started = clone.run("stages/run.sh", "python", "-c", "print('started')", cwd=copy)
    assert started.stdout == "started\n"
    # DVC checks a temporary experiment's files out by itself.
    clone.dvc("exp", "run", "--temp", "-n", "temporary", "fetch_dataset", cwd=copy)
    assert "temporary" in clone.dvc("exp", "list", "--name-only", cwd=copy)
