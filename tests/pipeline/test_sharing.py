"""Results leave the clone that made them, by docs/sharing.md's commands."""

import contextlib
import hashlib
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request

import boto3
import pytest
import yaml
from test_damage import damage
from test_interrupted import wait_for

from conftest import Clone, environment, files, runs, use


def ran(output):
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture
def colleague(shared, tmp_path):
    """A new clone of it on another machine, whose cache is empty."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    shared.git("clone", "-q", str(tmp_path / "origin.git"), str(home / "clone"))
    colleague = Clone(home / "clone", environment(home / "clone", home))
    use(colleague, str(tmp_path / "storage"))
    return colleague


def test_a_colleague_pulls_and_nothing_is_trained_again(shared, colleague):
    colleague.dvc("pull")
    assert "Data and pipelines are up to date." in colleague.dvc("status")
    assert ran(colleague.dvc("repro")) == []
    assert colleague.goemotions("predict", "thank you").startswith("thank you\n")
    colleague.dvc("exp", "pull", "origin", "mine")
    assert runs(colleague) == runs(shared)
    assert ("mine", "bce") in runs(colleague)
    colleague.dvc("exp", "apply", "mine")
    assert (colleague.folder / "models/trained/bce/model.safetensors").is_file()
    for name in ("evaluation.json", "predictions.parquet"):
        assert (colleague.folder / "metrics" / name).is_file()


def test_an_experiment_older_than_the_remote_is_pushed_to_a_local_one_only(shared, tmp_path):
    shared.dvc("remote", "remove", "--local", "storage")
    shared.git("checkout", "-q", "HEAD~1")
    shared.dvc("exp", "run", "--temp", "-n", "old", "-S", "loss=bce", "evaluate", "baseline")
    shared.git("checkout", "-q", "main")
    pushed = "Pushed experiment old to Git remote 'origin'.\n"
    assert shared.dvc("exp", "push", "origin", "old") == pushed  # and no file
    shared.dvc("remote", "add", "--local", "--default", "storage", str(tmp_path / "other"))
    output = shared.dvc("exp", "push", "origin", "old")
    count = int(re.search(r"(\d+) files uploaded", output)[1])
    assert len(files(tmp_path / "other/files/md5")) == count > 10


def test_dvc_repro_fetches_what_stale_stages_need_or_needs_no_files(shared, colleague):
    assert ran(colleague.dvc("repro", "--allow-missing")) == []
    assert not (colleague.folder / "models/trained/asl").exists()
    colleague.params({"evaluate.seed": 5})
    assert ran(colleague.dvc("repro", "--pull", "evaluate")) == ["evaluate"]
    assert (colleague.folder / "models/trained/asl/model.safetensors").is_file()


def digest(clone, out):
    """By which DVC stores an output's file."""
    lock = yaml.safe_load((clone.folder / "dvc.lock").read_text())
    outs = [one for stage in lock["stages"].values() for one in stage.get("outs", [])]
    return next(one["md5"] for one in outs if one["path"] == out)


FAULTY = ("metrics/per_label.csv", "metrics/confusion.csv")


def names_what_it_could_not_pull(colleague, missing):
    output = colleague.dvc("pull", ok=False)
    assert f"Missing cache files:\nmd5: {missing}\n" in output
    for name in FAULTY:
        assert f"{name}\n" in output
        assert not (colleague.folder / name).exists()


def test_an_object_that_is_missing_or_corrupted_in_a_folder_is_named_and_made_again(
    shared, colleague, tmp_path
):
    missing, corrupted = (digest(shared, name) for name in FAULTY)
    folder = tmp_path / "storage/files/md5"
    (folder / missing[:2] / missing[2:]).unlink()
    damage(folder / corrupted[:2] / corrupted[2:], "flipped")
    names_what_it_could_not_pull(colleague, missing)
    assert ran(colleague.dvc("repro")) == ["evaluate"]
    assert "Data and pipelines are up to date." in colleague.dvc("status")
    # Push sends what the remote lacks, and a corrupted object is there.
    (folder / corrupted[:2] / corrupted[2:]).unlink()
    colleague.dvc("push")
    for one in (missing, corrupted):
        content = (folder / one[:2] / one[2:]).read_bytes()
        assert hashlib.md5(content).hexdigest() == one


KEYS = {"aws_access_key_id": "team", "aws_secret_access_key": "not so secret"}


@pytest.fixture
def s3(tmp_path):
    """The address of an S3 server on this machine, and a client of it; with a bucket."""
    said = tmp_path / "s3.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with said.open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_for(lambda: "Running on" in said.read_text(), server)
            address = re.search("http://[0-9.:]+", said.read_text())[0]
            client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **KEYS)
            client.create_bucket(Bucket="bucket")
            yield address, client
        finally:
            server.kill()


def use_s3(clone, address):
    clone.env.update({key.upper(): value for key, value in KEYS.items()}, NO_PROXY="*")
    use(clone, "s3://bucket/goemotions")
    clone.dvc("remote", "modify", "--local", "storage", "endpointurl", address)


def test_results_go_to_an_s3_server_and_come_back(shared, colleague, s3):
    address, client = s3
    for clone in (shared, colleague):
        use_s3(clone, address)
    assert "files pushed" in shared.dvc("push")
    shared.dvc("exp", "remove", "-g", "origin", "mine")
    shared.dvc("exp", "push", "origin", "mine")
    missing, corrupted = (digest(shared, name) for name in FAULTY)
    keys = [f"goemotions/files/md5/{one[:2]}/{one[2:]}" for one in (missing, corrupted)]
    contents = [client.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys]
    client.delete_object(Bucket="bucket", Key=keys[0])
    client.put_object(Bucket="bucket", Key=keys[1], Body=contents[1][:-1] + b"#")
    names_what_it_could_not_pull(colleague, missing)
    for key, content in zip(keys, contents, strict=True):
        client.put_object(Bucket="bucket", Key=key, Body=content)
    colleague.dvc("pull")
    assert "Data and pipelines are up to date." in colleague.dvc("status")
    colleague.dvc("exp", "pull", "origin", "mine")
    assert runs(colleague) == runs(shared)
    # From here on the server knows no keys.
    strict = urllib.request.Request(
        f"{address}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(strict, timeout=30).close()
    (colleague.folder / ".dvc/cache").rename(colleague.folder / ".dvc/away")
    before = {path: path.stat().st_size for path in colleague.folder.rglob("*") if path.is_file()}
    assert "failed to connect to s3 (bucket/goemotions/files/md5) - Forbidden" in colleague.dvc(
        "pull", ok=False
    )
    colleague.dvc("remote", "modify", "--local", "storage", "endpointurl", "http://127.0.0.1:9")
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9/' in colleague.dvc(
        "pull", ok=False
    )
    changing = ("config.local", "index", "lock")  # the last has the number of dvc's process
    after = {path: path.stat().st_size for path in before if path.name not in changing}
    assert after == {path: before[path] for path in after}  # nothing was lost


LARGE = 50_000  # bytes; every model has more

# dvc, which is killed when it has copied half of a large file.
KILLED_WHILE_COPYING = f"""
import errno, os, pathlib, signal, sys
from dvc.cli import main
from dvc_objects.fs import local

def no_reflink(*_):
    raise OSError(errno.ENOTSUP, "no reflinks, so that files are copied")

def copyfile(source, target, **_):
    content = pathlib.Path(source).read_bytes()
    large = len(content) > {LARGE}
    pathlib.Path(target).write_bytes(content[: len(content) // 2] if large else content)
    if large:
        os.kill(os.getpid(), signal.SIGKILL)

local.copyfile, local.FsspecLocalFileSystem.reflink = copyfile, no_reflink
sys.exit(main(sys.argv[1:]))
"""


def interrupted_in_a_folder(clone, *command):
    """Run a command of dvc until it is in the middle of a large file, and kill it there."""
    python = str(clone.folder / ".venv/bin/python")
    done = clone.run(python, "-c", KILLED_WHILE_COPYING, *command, ok=False)
    assert done.returncode == -signal.SIGKILL


@contextlib.contextmanager
def stalling(address):
    """A server that passes on all bytes between its clients and the one at `address`, but stalls
    for ever in the middle of a large file.

    Yields:
        its address, and an event that is set when it stalls.
    """
    upstream = tuple(address.removeprefix("http://").split(":"))
    stalled, over = threading.Event(), threading.Event()

    def pass_on(source, target):
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                passed += len(data)
                if passed > LARGE / 2:
                    stalled.set()
                    over.wait()
                    break
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Connection(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(upstream) as server:
                threading.Thread(target=pass_on, args=(self.request, server), daemon=True).start()
                pass_on(server, self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", stalled
        finally:
            over.set()
            server.shutdown()


def arriving(cache):
    """The files that dvc is writing; Path.rglob would raise where one of its folders vanishes."""
    return [name for *_, names in os.walk(cache) for name in names if name.endswith(".tmp")]


def interrupted_at_a_server(clone, address, *command):
    """The same with a server whose connection stalls in the middle of a large file."""
    with stalling(address) as (slow, stalled):
        clone.dvc("remote", "modify", "--local", "storage", "endpointurl", slow)
        dvc = str(clone.folder / ".venv/bin/dvc")
        process = subprocess.Popen([dvc, *command], cwd=clone.folder, env=clone.env)
        assert stalled.wait(timeout=200)
        if "pull" in command:  # and until dvc has begun to write what arrived
            wait_for(lambda: arriving(clone.folder / ".dvc/cache"), process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    clone.dvc("remote", "modify", "--local", "storage", "endpointurl", address)


def half_written(objects):
    """The names among a remote's or a cache's objects that their content does not have."""
    return {
        name
        for name, content in objects.items()
        if hashlib.md5(content).hexdigest() != name.replace("/", "").removesuffix(".dir")
    }


def completed_by_the_same_command(commands, interrupt, remote, shared, colleague):
    """Interrupt the push and the pull of each command, and give it again.

    Args:
        interrupt: runs a clone's command of dvc and kills it.
        remote: reads the remote's objects.

    Returns:
        what the pushes left half-written, and the pulls.
    """
    for command in commands:
        push = [word.format("push") for word in command]
        interrupt(shared, *push)
        pushed, arrived = half_written(remote()), set(remote())
        # The remote lacks something, and nobody takes the half for it.
        assert "failed to pull" in colleague.dvc("pull", ok=False)
        assert not (colleague.folder / "models/trained/asl").exists()
        shared.dvc(*push)
        assert arrived < set(remote())
    cache = colleague.folder / ".dvc/cache/files/md5"
    for command in commands:
        pull = [word.format("pull") for word in command]
        before = set(files(cache))
        interrupt(colleague, *pull)
        pulled = half_written(files(cache))
        colleague.dvc(*pull)
        assert before < set(files(cache))
    assert half_written(remote()) == pushed
    assert "Data and pipelines are up to date." in colleague.dvc("status")
    return pushed, pulled


def test_a_push_or_pull_that_was_killed_is_completed_by_the_same_command(
    shared, colleague, tmp_path
):
    for clone in (shared, colleague):
        use(clone, str(tmp_path / "other"))
    shared.dvc("exp", "remove", "-g", "origin", "mine")
    pushed, pulled = completed_by_the_same_command(
        (["exp", "{}", "origin", "mine"], ["{}"]),
        interrupted_in_a_folder,
        lambda: files(tmp_path / "other/files/md5"),
        shared,
        colleague,
    )
    assert runs(colleague) == runs(shared)
    assert ("mine", "bce") in runs(colleague)
    # What was being written has no object's name, and nothing reads it.
    for names in (pushed, pulled):
        assert len(names) == 2
        assert all(re.fullmatch(r"[0-9a-f]{2}/\..+\.tmp", name) for name in names)


def test_a_push_to_s3_or_a_pull_that_was_killed_is_completed_by_the_same_command(
    shared, colleague, s3
):
    address, client = s3
    for clone in (shared, colleague):
        use_s3(clone, address)

    def remote():
        bucket = client.list_objects_v2(Bucket="bucket").get("Contents", [])
        return {
            one["Key"].removeprefix("goemotions/files/md5/"): client.get_object(
                Bucket="bucket", Key=one["Key"]
            )["Body"].read()
            for one in bucket
        }

    pushed, pulled = completed_by_the_same_command(
        [["{}"]],
        lambda clone, *command: interrupted_at_a_server(clone, address, *command),
        remote, shared, colleague,
    )  # fmt: skip
    assert pushed == set()
    assert all(name.endswith(".tmp") for name in pulled)
    assert pulled


def test_an_exported_folder_is_tracked_and_fetched(shared, colleague):
    assert "export" not in shared.dvc("stage", "list")
    exported = shared.folder / "export/asl"
    shared.dvc("exp", "run", "-S", "export=[asl]")
    assert {"README.md", "model.safetensors"} < {path.name for path in exported.iterdir()}
    assert "To make it again" in (exported / "README.md").read_text()
    shared.git("commit", "-qam", "asl, exported")
    assert shared.git("status", "--porcelain") == ""
    assert "Data and pipelines are up to date." in shared.dvc("status")
    shared.dvc("push")
    shared.git("push", "-q")
    colleague.git("pull", "-q")
    colleague.dvc("pull", "export@asl")
    assert files(colleague.folder / "export/asl") == files(exported)
    # What older code exported is stale.
    (shared.folder / "src/goemotions/publishing/model_card.py").write_text("")
    assert "export@asl" in shared.dvc("status")


def test_a_model_is_fetched_by_its_name_and_version(shared, tmp_path):
    shared.git("tag", "-a", "classifier@v1.0.0", "-m", "first")
    shared.git("push", "-q", "origin", "classifier@v1.0.0")
    elsewhere = tmp_path / "no project"
    elsewhere.mkdir()
    for version in ((), ("--rev", "v1.0.0")):
        folder = f"classifier{len(version)}"
        origin = str(tmp_path / "origin.git")
        shared.dvc("artifacts", "get", origin, "classifier", *version, "-o", folder, cwd=elsewhere)
        trained = shared.folder / "models/trained/asl"
        names = {path.name for path in trained.iterdir()}
        assert {path.name for path in (elsewhere / folder).iterdir()} == names
        for name in names:
            assert (elsewhere / folder / name).read_bytes() == (trained / name).read_bytes()
