"""Results leave the clone that made them, by docs/sharing.md's commands."""

import contextlib
import hashlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import pytest
import yaml
from test_damage import damage

from conftest import Clone, environment

COMMIT = ("commit", "-qam", "trained")


def ran(output):
    return re.findall(r"Running stage '([^']+)'", output)


def runs(clone):
    found = json.loads(clone.goemotions("compare", "--json"))["runs"]
    return {(run["name"], run["loss"]): run["macro_f1"] for run in found}


@pytest.fixture
def shared(clone, tmp_path):
    """A clone whose workspace (asl) and experiment (bce) are pushed, and where to."""
    clone.git("init", "-q", "--bare", "-b", "main", str(tmp_path / "origin.git"))
    clone.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    clone.dvc("remote", "add", "--default", "storage", str(tmp_path / "storage"))
    clone.dvc("remote", "modify", "storage", "verify", "true")
    clone.git("add", ".dvc/config")
    clone.dvc("repro")
    clone.git("add", "-A")
    clone.git(*COMMIT)
    clone.dvc("exp", "run", "--temp", "-n", "mine", "-S", "loss=bce", "evaluate", "baseline")
    clone.git("push", "-q", "-u", "origin", "main")
    clone.dvc("push")
    clone.dvc("exp", "push", "origin", "mine")
    return clone


@pytest.fixture
def colleague(shared, tmp_path):
    """A new clone of it on another machine, whose cache is empty."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    shared.git("clone", "-q", str(tmp_path / "origin.git"), str(home / "clone"))
    return Clone(home / "clone", environment(home / "clone", home))


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "s3.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **KEYS)
    for _ in range(300):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        time.sleep(0.1)
    client.create_bucket(Bucket="bucket")
    yield address, client
    server.kill()
    server.wait()


def test_results_go_to_an_s3_server_and_come_back(shared, colleague, s3):
    address, client = s3
    for clone in (shared, colleague):
        clone.env.update({key.upper(): value for key, value in KEYS.items()}, NO_PROXY="*")
        clone.dvc("remote", "add", "--force", "--default", "storage", "s3://bucket/goemotions")
        clone.dvc("remote", "modify", "storage", "endpointurl", address)
        clone.dvc("remote", "modify", "storage", "verify", "true")
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
    colleague.dvc("remote", "modify", "storage", "endpointurl", "http://127.0.0.1:9")
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9/' in colleague.dvc(
        "pull", ok=False
    )
    after = {path: path.stat().st_size for path in before if path.name not in ("config", "index")}
    assert after == {path: before[path] for path in after}  # nothing was lost


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
