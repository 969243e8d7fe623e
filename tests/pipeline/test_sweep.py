"""`goemotions sweep` on a Ray cluster of two machines, which are processes of this one.

Each has a home folder of its own, and with it a DVC cache. But for two tests, the stages are shell
commands that take a moment, so that what is tested is what becomes of the experiments.
`SWEEP=6 pytest tests/pipeline/test_sweep.py` trains instead, twelve models in each test.
"""

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections import Counter
from pathlib import Path

import pytest
import yaml
from test_sharing import KEYS, s3  # noqa: F401 - a fixture

from conftest import Clone, environment, make_clone
from goemotions.commands import sweep
from goemotions.sweeps.combinations import PREFIX
from goemotions.sweeps.trial import Trial, last_point

# What each training does is to wait, and to write loss and seed.
STAGES = """
stages:
  fetch_dataset:
    cmd: echo rows >data/sample
    params: [dataset]
    outs: [data/sample]
  cache_model:
    cmd: echo weights TOKEN >models/deberta-v3-tiny
    params: [model]
    outs: [models/deberta-v3-tiny]
  train:
    matrix: {loss: ["${loss}"]}
    cmd: >-
      TRACE sleep 2; mkdir -p metrics/training;
      mkdir -p models/trained metrics/training/${item.loss};
      echo ${item.loss} ${train.seed} weights >models/trained/${item.loss}
    params: [train.seed]
    deps: [data/sample, models/deberta-v3-tiny]
    outs: ["models/trained/${item.loss}"]
  evaluate:
    cmd: >-
      cut -d " " -f 1-2 models/trained/${loss} >metrics/predictions.parquet;
      echo "{}" >metrics/evaluation.json
    deps: ["models/trained/${loss}"]
    outs: [metrics/predictions.parquet]
    metrics: [metrics/evaluation.json: {cache: false}]
  baseline:
    cmd: echo "{}" >metrics/baseline.json
    metrics: [metrics/baseline.json: {cache: false}]
"""
REAL, SEEDS = "SWEEP" in os.environ, int(os.environ.get("SWEEP", "2"))
TRIALS = [(loss, str(seed)) for seed in range(1, SEEDS + 1) for loss in ("bce", "asl")]
SWEEP = ("-S", "loss=bce,asl", "-S", f"train.seed=1..{SEEDS}", "--folder", "~/work")
# Ray's processes wait a minute for a head that is away.
IMPATIENT = {"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
# Ray would give way to every other program, on cores that the tests share.
# And it would kill trials because another program takes the memory.
UNDISTURBED = {
    "RAY_worker_niceness": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "GOEMOTIONS_CHECKPOINT_SECONDS": "0",
}
MACHINES = 2
AWS = {key.upper(): value for key, value in KEYS.items()} | {"NO_PROXY": "*"}


class Machines:
    """The cluster; the first machine, where the commands are given, runs no trials."""

    def __init__(self, folder, more=types.MappingProxyType({}), count=MACHINES):
        from ray.cluster_utils import Cluster

        self.folder, self.more, self.names = folder, more, iter("abcdefghijkl")
        self.nodes, self.sweeps = {}, []
        # Ray's own limits, of 30 seconds, are too short for a machine that does much else.
        os.environ.update(RAY_gcs_server_port_wait_time_s="300")
        self.cluster = Cluster()
        self.start("head", num_cpus=0, include_dashboard=False)
        for _ in range(count):
            self.add()

    def add(self):
        name = next(self.names)
        self.nodes[self.folder / name] = self.start(name, num_cpus=1)

    def start(self, name, **arguments):
        home = self.folder / name
        home.mkdir()
        arguments |= {"object_store_memory": 80 * 2**20, "env_vars": self.environment(home)}
        node = self.cluster.add_node(wait=False, **arguments)
        self.cluster.wait_for_nodes(timeout=300)
        return node

    def environment(self, home):
        return environment(self.folder, home) | UNDISTURBED | self.more | AWS

    def kill(self, home):
        self.cluster.remove_node(self.nodes.pop(home), allow_graceful=False)

    def left_behind(self):
        """What trials left on the machines, after a moment for those that were killed."""
        for _ in range(3000):
            left = list(self.folder.glob("*/work/sweep-*"))
            if not left:
                return []
            time.sleep(0.1)
        return left

    def logs(self):
        """What the trials that are running have printed."""
        texts = []
        for path in self.folder.glob("*/work/*.log"):
            with contextlib.suppress(FileNotFoundError):  # a trial has just ended
                texts.append(path.read_text())
        return texts


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Machines(tmp_path_factory.mktemp("machines"))
    yield made
    for command in made.sweeps:
        with command:
            command.kill()  # one still runs only if a test failed
    made.cluster.shutdown()


@pytest.fixture
def machines(cluster):
    while len(cluster.nodes) < MACHINES:  # a test killed one
        cluster.add()
    return cluster


def traces(clone, folder):
    """Make a clone's trainings write loss, seed and machine to a file before they begin."""
    path = clone.folder / "dvc.yaml"
    trace = f"echo ${{item.loss}} ${{train.seed}} $HOME >>{folder / 'runs'}; "
    if REAL:
        text = path.read_text().replace("cmd: exec", f"cmd: {trace}exec")
        assert trace in text
    else:
        text = STAGES.replace("TRACE", trace).replace("TOKEN", folder.name)
        (clone.folder / "dvc.lock").unlink()
    path.write_text(text)


@pytest.fixture
def sweeper(new_clone, tmp_path):
    """A clone with a git remote, and a folder as DVC remote."""
    clone = new_clone("a clone", tmp_path / "cache")
    traces(clone, tmp_path)
    share(clone, tmp_path)
    return clone


@pytest.fixture(scope="module")
def expected(request, tmp_path_factory):
    """The digest of what each of TRIALS trains without `goemotions sweep`, one after another."""
    if not REAL:
        text = "{} {} weights\n"
        return {one: hashlib.md5(text.format(*one).encode()).hexdigest() for one in TRIALS}
    folder = tmp_path_factory.mktemp("alone")
    (folder / "clone").mkdir()
    clone = make_clone(folder / "clone", request.getfixturevalue("shared_cache"), folder)
    for loss, seed in TRIALS:
        settings = ("-S", f"loss={loss}", "-S", f"train.seed={seed}")
        clone.dvc("exp", "run", "--temp", "-n", f"{PREFIX}{loss}-{seed}-00000000", *settings)
    return results(clone)


def share(clone, folder):
    clone.git("init", "-q", "--bare", "-b", "main", str(folder / "origin.git"))
    clone.git("remote", "add", "origin", str(folder / "origin.git"))
    clone.dvc("remote", "add", "--default", "storage", str(folder / "storage"))
    clone.git("add", "-A")
    clone.git("commit", "-qm", "shared")
    clone.git("push", "-q", "-u", "origin", "main")


def colleague(clone, folder):
    """A new clone of what `clone` shares, with a DVC cache of its own."""
    clone.git("clone", "-q", str(folder / "origin.git"), str(folder / "other"))
    other = Clone(folder / "other", clone.env)
    other.dvc("cache", "dir", "--local", str(folder / "other cache"))
    return other


def start(clone, machines, *arguments):
    """A sweep that runs on, in a session of its own as in a terminal."""
    goemotions = str(clone.folder / ".venv/bin/goemotions")
    process = subprocess.Popen(
        [goemotions, "sweep", "--address", machines.cluster.address, *arguments],
        cwd=clone.folder,
        env=clone.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # A job that a script runs in the background ignores SIGINT, and so would all it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    machines.sweeps.append(process)
    return process


def finish(process, status=0):
    output, _ = process.communicate(timeout=2000)
    assert process.returncode == status, output
    return output


def ran(folder):
    """Which machine trained what: (loss, seed, machine's home), in order."""
    path = folder / "runs"
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, process):
    """What `condition` gives once it holds; the process must be running until then."""
    for _ in range(20000):
        if found := condition():
            return found
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def references(clone):
    """The references of a clone's experiments that a sweep made, by their names."""
    found = clone.git("for-each-ref", "--format=%(refname)", "refs/exps/??/*/*").split()
    names = {line.rpartition("/")[2]: line for line in found}
    assert len(names) == len(found)
    return {name: line for name, line in names.items() if name.startswith(PREFIX)}


def results(clone):
    """The digest of what each loss and seed trained, which is in the clone's own DVC cache."""
    cache = (clone.folder / ".dvc/config.local").read_text().split("dir = ")[1].strip()
    found = {}
    for name, reference in references(clone).items():
        loss, seed, _ = name.removeprefix(PREFIX).rsplit("-", 2)
        lock = yaml.safe_load(clone.git("show", f"{reference}:dvc.lock"))
        digest = weights(lock["stages"][f"train@{loss}"])
        content = Path(cache, "files/md5", digest[:2], digest[2:]).read_bytes()
        assert hashlib.md5(content).hexdigest() == digest.removesuffix(".dir")
        assert (loss, seed) not in found
        found[loss, seed] = digest
    return found


def weights(stage):
    """The digest of what was trained; that of the curves' folder depends on how long it took."""
    return next(out["md5"] for out in stage["outs"] if out["path"].startswith("models/"))


def test_a_machine_dies_and_its_trial_runs_elsewhere(sweeper, machines, tmp_path, expected):
    process = start(sweeper, machines, *SWEEP)
    *_, home = wait_for(lambda: ran(tmp_path), process)[0]
    machines.kill(next(path for path in machines.nodes if str(path) == home))
    finish(process)
    assert results(sweeper) == expected
    again = [run for run, count in Counter(run[:2] for run in ran(tmp_path)).items() if count > 1]
    assert again == [ran(tmp_path)[0][:2]]
    assert machines.left_behind() == []


def test_the_command_dies_and_goes_on_with_what_is_missing(sweeper, machines, tmp_path, expected):
    origin = str(tmp_path / "origin.git")
    pushed = lambda: sweeper.git("ls-remote", origin, "refs/exps/*").splitlines()  # noqa: E731
    for number, stop in enumerate((signal.SIGINT, signal.SIGKILL)):
        process = start(sweeper, machines, *SWEEP, "--at-most", "1")
        wait_for(lambda: len(pushed()) > number, process)  # noqa: B023
        wait_for(lambda: len(ran(tmp_path)) > len(pushed()), process)
        os.killpg(process.pid, stop)
        output, _ = process.communicate(timeout=500)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[stop], output
        assert machines.left_behind() == []
    there = len(pushed())
    output = finish(start(sweeper, machines, *SWEEP))
    assert f"{len(TRIALS) - there} of {len(TRIALS)} trials are left to run" in output
    assert results(sweeper) == expected
    output = finish(start(sweeper, machines, *SWEEP))
    assert f"{len(TRIALS)} of {len(TRIALS)} experiments are in this clone" in output


def test_the_head_dies_and_a_new_cluster_runs_what_is_missing(
    sweeper, machines, tmp_path, expected
):
    origin = str(tmp_path / "origin.git")
    (tmp_path / "first").mkdir()
    first = Machines(tmp_path / "first", IMPATIENT, count=1)
    sweeper.env.update(IMPATIENT)
    process = start(sweeper, first, *SWEEP, "--at-most", "1")
    wait_for(lambda: "refs/exps" in sweeper.git("ls-remote", origin), process)
    wait_for(lambda: len(ran(tmp_path)) > 1, process)
    first.cluster.head_node.kill_gcs_server(check_alive=False)
    first.cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    assert "Failed to connect to GCS" in finish(process, status=1)
    assert first.left_behind() == []
    first.cluster.shutdown()
    there = sweeper.git("ls-remote", origin, "refs/exps/*").count("\n")
    output = finish(start(sweeper, machines, *SWEEP))
    assert f"{len(TRIALS) - there} of {len(TRIALS)} trials are left to run" in output
    assert results(sweeper) == expected


def test_a_git_remote_that_refuses(sweeper, machines, tmp_path, expected):
    hook = tmp_path / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho closed on Sundays >&2\nexit 1\n")
    hook.chmod(0o755)
    output = finish(start(sweeper, machines, *SWEEP, "--check"), status=1)
    assert output.splitlines().count(f"{os.uname().nodename}: remote: closed on Sundays") == 3
    hook.write_text(
        "#!/bin/sh\nread old new name\ncase $name in *asl-2*) echo no asl >&2; exit 1;; esac\n"
    )
    output = finish(start(sweeper, machines, *SWEEP, "--patience", "1"), status=1)
    assert f"{len(TRIALS) - 1} of {len(TRIALS)} experiments are in this clone" in output
    assert output.count("remote: no asl") == 1
    (failed,) = (line for line in output.splitlines() if line.startswith("failed: "))
    assert "; its log: reports/sweep/sweep-asl-2-" in failed
    assert "no asl" in (sweeper.folder / failed.rpartition("its log: ")[2]).read_text()
    assert results(sweeper) == {one: expected[one] for one in TRIALS if one != ("asl", "2")}
    hook.unlink()
    assert f"1 of {len(TRIALS)} trials are left to run" in finish(start(sweeper, machines, *SWEEP))
    assert results(sweeper) == expected
    assert machines.left_behind() == []


def test_two_sweeps_at_once(sweeper, machines, tmp_path, expected):
    other = colleague(sweeper, tmp_path)
    digest = expected["asl", "2"]
    model = tmp_path / "other cache/files/md5" / digest[:2] / digest[2:]
    shared = tmp_path / "shared"
    each = (*SWEEP, "--checkpoints", str(shared))
    commands = [start(sweeper, machines, *each), start(other, machines, *each, "--no-models")]
    for process in commands:
        finish(process)
    assert sorted(run[:2] for run in ran(tmp_path)) == sorted(TRIALS)  # each only once
    assert list(shared.iterdir()) == []
    assert results(sweeper) == expected
    assert references(other) == references(sweeper)
    assert not model.exists()
    other.dvc("exp", "pull", "origin", *references(other))
    assert results(other) == expected
    refs = ("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/??/*/*")
    assert sweeper.git(*refs) == other.git(*refs)
    assert machines.left_behind() == []
    origin = str(tmp_path / "origin.git")
    assert sweeper.git("ls-remote", origin, "refs/goemotions/*") == ""  # of the check
    assert not list((tmp_path / "storage").rglob("check-*"))


class Door:
    """A port in front of another one, which can be closed: connections are then refused."""

    def __init__(self, port):
        self.behind, self.listener = port, None
        self.open()
        self.port = self.listener.getsockname()[1]

    def open(self):
        address = ("127.0.0.1", 0 if self.listener is None else self.port)
        self.listener = socket.create_server(address, backlog=100)
        self.passing = []
        threading.Thread(target=self.admit, args=(self.listener,), daemon=True).start()

    def admit(self, listener):
        with contextlib.suppress(OSError):  # closed
            while True:
                one = listener.accept()[0]
                other = socket.create_connection(("127.0.0.1", self.behind))
                self.passing += [one, other]
                for way in ((one, other), (other, one)):
                    threading.Thread(target=self.forward, args=way, daemon=True).start()

    def forward(self, source, target):
        with contextlib.suppress(OSError):
            while content := source.recv(2**16):
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        for one in (self.listener, *self.passing):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def test_an_s3_server_that_is_away_for_ten_seconds_and_a_corrupted_object(
    sweeper,
    machines,
    tmp_path,
    expected,
    s3,  # noqa: F811
):
    address, client = s3
    door = Door(int(address.rpartition(":")[2]))
    sweeper.env.update(AWS)
    sweeper.dvc("remote", "add", "--force", "--default", "storage", "s3://bucket/goemotions")
    sweeper.dvc("remote", "modify", "storage", "endpointurl", f"http://127.0.0.1:{door.port}")
    sweeper.dvc("remote", "modify", "storage", "verify", "true")
    sweeper.dvc("repro", "fetch_dataset", "cache_model")
    sweeper.dvc("push", "fetch_dataset", "cache_model")
    sweeper.git("add", "-A")
    sweeper.git("commit", "-qm", "inputs")
    sweeper.git("push", "-q")

    prepared = lambda: set(machines.folder.glob("*/work/*.prepared"))  # noqa: E731
    before = prepared()
    process = start(sweeper, machines, *SWEEP, "--patience", "200")
    all_ready = lambda: REAL or len(prepared() - before) == len(machines.nodes)  # noqa: E731
    wait_for(lambda: ran(tmp_path) and all_ready(), process)
    door.close()
    closed = time.monotonic()
    wait_for(lambda: any(text.count("dvc push\n") > 1 for text in machines.logs()), process)
    time.sleep(max(0, closed + 10 - time.monotonic()))
    door.open()
    finish(process)
    assert results(sweeper) == expected
    assert machines.left_behind() == []
    if not REAL:  # of which the machines have kept the inputs since the test before
        lock = yaml.safe_load((sweeper.folder / "dvc.lock").read_text())
        digest = weights(lock["stages"]["cache_model"])
        request = f'"GET /bucket/goemotions/files/md5/{digest[:2]}/{digest[2:]} '
        fetched = (tmp_path / "s3.log").read_text().count(request)
        assert fetched == len({home for *_, home in ran(tmp_path)})  # once for all its trials

    digest = expected["asl", "2"]
    key = f"goemotions/files/md5/{digest[:2]}/{digest[2:]}"
    client.put_object(Bucket="bucket", Key=key, Body=b"something else")
    other = colleague(sweeper, tmp_path)
    output = finish(start(other, machines, *SWEEP), status=1)
    assert "the DVC remote lacks models/trained/asl of sweep-asl-2-" in output
    assert f"delete files/md5/{digest[:2]}/{digest[2:]} there" in output
    client.delete_object(Bucket="bucket", Key=key)
    sweeper.dvc("exp", "push", "origin", *references(sweeper))
    finish(start(other, machines, *SWEEP))
    assert results(other) == expected


def test_on_this_machine_alone_until_the_losses_are_decided(clone, first):
    settings = ("-S", "loss=bce,asl", "-S", "train.seed=1,2")
    sure = ("--until-sure", "--metric", "average_precision")
    output = clone.goemotions("sweep", *settings, *sure)
    decided = "(better than|worse than|equivalent to|unlikely to be told apart from)"
    assert re.search(rf"^asl: {decided} bce by average precision, after 2 seeds$", output, re.M)
    stages = yaml.safe_load((first.folder / "dvc.lock").read_text())["stages"]
    seed = yaml.safe_load((first.folder / "params.yaml").read_text())["train"]["seed"]
    found = results(clone)
    assert set(found) == {(loss, one) for loss in ("bce", "asl") for one in ("1", "2")}
    for loss in ("bce", "asl"):
        assert found[loss, str(seed)] == weights(stages[f"train@{loss}"])
    assert list((clone.folder / ".dvc/tmp/sweep").glob("sweep-*")) == []


def test_a_trial_whose_machine_died_resumes_from_a_shared_checkpoint(clone, machines, tmp_path):
    share(clone, tmp_path)
    longer = ("-S", "loss=bce", "-S", "recipes.deberta-v3-tiny.epochs=60")
    shared = tmp_path / "shared"
    command = ("--folder", "~/work", "--checkpoints", str(shared))
    process = start(clone, machines, *longer, *command)
    wait_for(lambda: list(shared.glob("*/*/complete/digests.json")), process)
    (lock,) = machines.folder.glob("*/work/sweep-*.lock")
    machines.kill(lock.parents[1])
    wait_for(lambda: any("resuming from step" in text for text in machines.logs()), process)
    finish(process)
    assert machines.left_behind() == []
    assert list(shared.iterdir()) == []
    clone.dvc("exp", "run", "--temp", "-n", f"{PREFIX}bce-0-alone", *longer, "train")
    digests = {
        weights(yaml.safe_load(clone.git("show", f"{one}:dvc.lock"))["stages"]["train@bce"])
        for one in references(clone).values()
    }
    assert len(references(clone)) == 2
    assert len(digests) == 1


def test_what_git_warns_of_is_no_experiment(sweeper, monkeypatch, tmp_path):
    job = {
        "name": f"{PREFIX}bce-1-00000000", "commit": "a" * 40, "settings": [], "loss": "bce",
        "inputs": "", "url": str(tmp_path / "origin.git"), "local": False, "folder": str(tmp_path),
        "cache": "", "checkpoints": "", "threads": 1, "patience": 1.0,
        "environment": {"GIT_TRACE": "1"}, "versions": {},
    }  # fmt: skip
    trial = Trial(job)
    assert trial._is_there() is False
    assert "git ls-remote" in trial.log()
    trial.job["commit"] = sweeper.git("rev-parse", "HEAD").strip()
    trial.clone()
    assert f"dir = {tmp_path}/cache" in (trial.copy / ".dvc/config.local").read_text()


def test_a_path_means_the_same_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sweep._absolute("ckpt") == str(tmp_path / "ckpt")
    assert [sweep._absolute(path) for path in ("", "~/a", "/b")] == ["", "~/a", "/b"]


def test_more_than_this_machine_has_is_refused(sweeper):
    sweeper.env["TMPDIR"] = str(sweeper.folder)  # too long a path for Ray's sockets
    said = sweeper.goemotions("sweep", "-S", "loss=bce", "--cpus", "99999", ok=False)
    assert "a trial needs --cpus 99999 and --gpus 0, and no machine has that; this one has " in said


def test_a_curve_that_is_being_written_has_no_last_point(tmp_path):
    curve = tmp_path / "training.csv"
    assert last_point(curve) is None
    for content, point in {
        "": None,
        "step,loss,learning_rate\n": None,
        "step,loss,learning_rate\n1": None,
        "step,loss,learning_rate\n1,0.5,0.1\n2,0.25,0.1\n": (2, 0.25),
    }.items():
        curve.write_text(content)
        assert last_point(curve) == point


WRONG = {
    "loss is 'bcee'; did you mean bce?": ("-S", "loss=bcee"),
    "-S is losss=bce: ": ("-S", "losss=bce"),
    "error: train.seed is '3..1'; the first number must not be above": ("-S", "train.seed=3..1"),
    "train.seed is 'a'; it must be a whole number from 0 to 4294967295": ("-S", "train.seed=a"),
    "train.seed is '4294967296'; it must be": ("-S", "train.seed=4294967296"),
    "-S loss is given twice; separate its values by commas": ("-S", "loss=bce", "-S", "loss=asl"),
    "-S is loss: ": ("-S", "loss"),
    "-S is loss=[1: ": ("-S", "loss=[1"),
    "train.rows is 0": ("-S", "train.rows=0"),
    "--at-most is 0; it must be at least 1": ("--at-most", "0"),
    "--until-sure compares losses with --baseline bce": ("-S", "loss=asl", "--until-sure"),
    "--metric is 'f2'; choose one of: macro_f1,": ("--until-sure", "--metric", "f2"),
    "--margin is 0; it must be above 0": ("--until-sure", "--margin", "0"),
    "--metric has an effect only with --until-sure; add that, or leave --metric out": (
        "--metric",
        "micro_f1",
    ),
    "--remote is 'there'; git has origin": ("--address", "127.0.0.1:9", "--remote", "there"),
}


def test_what_is_wrong_is_said_before_anything_starts(sweeper, in_process):
    for message, arguments in WRONG.items():
        assert message in in_process(sweeper, "sweep", *arguments, ok=False)


def test_a_sweep_needs_a_commit_that_is_pushed_and_ray(sweeper, in_process, monkeypatch):
    cluster = ("--address", "127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert 'a sweep needs Ray: pip install -e ".[sweep]"' in in_process(sweeper, "sweep", ok=False)
    sweeper.params({"train.seed": 5})
    changed = in_process(sweeper, "sweep", *cluster, ok=False)
    assert (
        "params.yaml has uncommitted changes, and a sweep runs the last commit: run `git commit -a`"
        in changed
    )
    sweeper.git("commit", "-qam", "not pushed")
    commit = sweeper.git("rev-parse", "HEAD")[:7]
    unknown = in_process(sweeper, "sweep", *cluster, ok=False)
    assert f"no branch of origin has the commit {commit}" in unknown
    assert "git push origin HEAD" in unknown
    sweeper.git("checkout", "-q", "--detach")
    unknown = in_process(sweeper, "sweep", *cluster, ok=False)
    assert f"git push origin HEAD:refs/heads/sweep-{commit}" in unknown
    sweeper.dvc("remote", "add", "--default", "beside", "../beside")
    sweeper.git("commit", "-qam", "a relative remote")
    sweeper.git("push", "-q", "origin", "HEAD:refs/heads/relative")
    relative = in_process(sweeper, "sweep", *cluster, ok=False)
    assert "the URL of the DVC remote beside is a relative path" in relative
