"""One trial of a sweep, in a process of its own on a machine of the cluster.

`goemotions sweep` sends the text of this file to a worker of Ray, which runs it. So it imports
nothing of goemotions: what trains is the code of the trial's commit, in a working copy that is
made here and removed. It reads a `Job` from its standard input and writes messages, one in a line,
to its output: what it does now, and at last the answer. When its input ends, its worker has ended,
by a Ctrl-C or because it was killed: then it ends what it started, removes the copy and ends.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import psutil
from filelock import FileLock, Timeout

LOG = 200_000  # characters of the end of a failed trial's output that are sent back
# Of the packages that determine the weights; without what says for which hardware torch was built.
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "numpy", "scikit-learn", "dvc")

DVC = (sys.executable, "-m", "dvc")
# An error's first line: of the project and git, of a traceback, or of DVC.
CAUSE = re.compile(
    r"^(?:(?:error|ERROR|fatal|remote): |[\w.]*(?:Error|Exception): ).*", re.MULTILINE
)
WRITE_TO_THE_REMOTE = """
import uuid
from dvc.repo import Repo
store = Repo().cloud.get_remote_odb()
path = store.fs.join(store.path, f"check-{uuid.uuid4().hex}")
store.fs.makedirs(store.path, exist_ok=True)
store.fs.pipe_file(path, b"check")
store.fs.cat_file(path)
store.fs.rm(path)
"""


class Job(TypedDict):
    """What a trial needs to know.

    Attributes:
        name: the experiment's.
        commit: that it is an experiment of.
        settings: that it changes, as `dvc exp run -S` takes them.
        loss: the selected one.
        inputs: a digest of the commit and of all settings but the loss and the seed.
        url: of the git remote.
        local: whether `url` is the project's folder on this machine, where no DVC remote is needed.
        folder: where this machine keeps working copies, and its DVC cache unless `cache` is set.
        cache: the DVC cache.
        checkpoints: a folder for checkpoints that outlive the copy; empty for none.
        threads: of the training.
        patience: seconds for which a remote that fails is tried again.
        environment: variables: whom git names as the author of the experiment, and, on this
            machine alone, where the mirror is.
        versions: of Python and PACKAGES, that this machine must have.
    """

    name: str
    commit: str
    settings: list[str]
    loss: str
    inputs: str
    url: str
    local: bool
    folder: str
    cache: str
    checkpoints: str
    threads: int
    patience: float
    environment: dict[str, str]
    versions: dict[str, str]


T = TypeVar("T")


class FailedError(Exception):
    """What a command said when it failed, in one line."""


def versions() -> dict[str, str]:
    """Those of this environment, by name; of a missing package "none"."""
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for package in PACKAGES:
        found[package] = "none"
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package).partition("+")[0]
    return found


class Trial:
    """A working copy, and the commands that run in it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.place = Path(job["folder"]).expanduser()
        self.copy = self.place / f"{job['name']}-{uuid.uuid4().hex[:8]}"
        self.output, self.lock = Path(f"{self.copy}.log"), Path(f"{self.copy}.lock")
        commit = job["commit"]
        self.reference = f"refs/exps/{commit[:2]}/{commit[2:]}/{job['name']}"
        self._may_start = threading.Lock()
        self._environment = {
            **os.environ,
            **job["environment"],
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": str(job["threads"]),
            "GIT_TERMINAL_PROMPT": "0",  # nobody would see it
            "DVC_SITE_CACHE_DIR": f"{self.copy}/.dvc/tmp/site",  # removed with the copy
        }
        if job["checkpoints"]:
            folder = Path(job["checkpoints"]).expanduser() / job["name"]
            self._environment["GOEMOTIONS_CHECKPOINTS"] = str(folder)

    def run(self) -> None:
        """Make the experiment and push it, unless the git remote has it.

        Raises:
            FailedError: a command failed.
        """
        self.check_versions()
        with self._own_checkpoints():
            if self._again(self._is_there):
                return
            self.clone()
            self._prepare()
            targets = ("evaluate", "baseline")
            self._call(*DVC, "exp", "run", "-n", self.job["name"], *self._settings(), *targets)
            # First the files: whoever sees the experiment can have them.
            if not self.job["local"]:
                self._again(lambda: self._call(*DVC, "push"))
            self._again(self._push_reference)

    @contextmanager
    def _own_checkpoints(self) -> Iterator[None]:
        """Have this trial's checkpoints for itself; remove them when the block succeeds.

        Another sweep may run the same trial, and two training runs cannot have one checkpoint. So
        the second waits, and then finds the experiment made.
        """
        if not self.job["checkpoints"]:
            yield
            return
        folder = Path(self._environment["GOEMOTIONS_CHECKPOINTS"])
        lock = FileLock(folder / "trial.lock", fallback_to_soft=False)
        with suppress(OSError):  # a file system without locks
            try:
                lock.acquire(timeout=0)
            except Timeout:
                say(doing="waits for another sweep's run of this trial")
                lock.acquire(poll_interval=1)
        try:
            yield
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()

    def _is_there(self) -> bool:
        listed = self._call("git", "ls-remote", self.job["url"], self.reference)
        # Beside it there may be what ssh or git warn of.
        return any(line.endswith(f"\t{self.reference}") for line in listed.splitlines())

    def _push_reference(self) -> None:
        """What `dvc exp push` does after the files, but by git, which asks the remote's hooks."""
        if not self._is_there():  # another sweep may have pushed it
            reference = f"{self.reference}:{self.reference}"
            self._call("git", "push", "-q", self.job["url"], reference)

    def check(self) -> None:
        """Check that a trial could run here: the environment, and access to both remotes.

        Raises:
            FailedError: says what is wrong.
        """
        self.check_versions()
        self.clone()
        reference = f"refs/goemotions/{uuid.uuid4().hex}"
        self._call("git", "push", "-q", self.job["url"], f"HEAD:{reference}")
        self._call("git", "push", "-q", self.job["url"], f":{reference}")
        if not self.job["local"]:
            self._call(sys.executable, "-c", WRITE_TO_THE_REMOTE)

    def check_versions(self) -> None:
        """Check the environment.

        Raises:
            FailedError: names what is missing or of another version.
        """
        for command in ("git", "goemotions"):
            if not shutil.which(command, path=self._environment["PATH"]):
                raise FailedError(f"{command} is missing: install it in {sys.prefix}")
        here = versions()
        for name, wanted in self.job["versions"].items():
            if here[name] != wanted:
                raise FailedError(
                    f"{name} is {here[name]}, and {wanted} where the sweep was started: make the "
                    f"environment {sys.prefix} from the same requirements.txt"
                )

    def clone(self) -> None:
        """Make the working copy, with this machine's DVC cache."""
        clone = ("git", "clone", "-q", "--no-checkout", self.job["url"], str(self.copy))
        self._again(lambda: self._call(*clone))
        self._call("git", "checkout", "-q", "--detach", self.job["commit"])
        from dvc.config import Config

        own = Path(self.job["url"], ".dvc/config.local")
        if self.job["local"] and own.is_file():
            shutil.copyfile(own, self.copy / ".dvc/config.local")
        cache = self.job["cache"] or str(self.place / "cache")
        with Config(str(self.copy / ".dvc")).edit("local") as config:
            config["cache"]["dir"] = cache

    def end(self) -> None:
        """End the commands and remove the copy; no command can be started afterwards."""
        self._may_start.acquire()
        children = psutil.Process().children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=10)
        shutil.rmtree(self.copy, ignore_errors=True)
        self.output.unlink(missing_ok=True)
        self.lock.unlink(missing_ok=True)

    def log(self) -> str:
        """The end of what the commands printed."""
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return text[-LOG:]

    def _prepare(self) -> None:
        """Have the dataset and the base model in this machine's DVC cache; the first trial does."""
        done = self.place / f"{self.job['inputs']}.prepared"
        with FileLock(self.place / "prepare.lock"):
            if done.exists():
                return
            tracked = self._call("git", "ls-files", "-z", "*.dvc").split("\0")[:-1]
            if tracked and not self.job["local"]:
                self._again(lambda: self._call(*DVC, "fetch", *tracked))
            pull = () if self.job["local"] else ("--pull",)
            inputs = (*self._settings(), "fetch_dataset", "cache_model")
            self._again(lambda: self._call(*DVC, "exp", "run", "-n", "inputs", *pull, *inputs))
            done.touch()

    def _settings(self) -> list[str]:
        return [part for setting in self.job["settings"] for part in ("-S", setting)]

    def _again(self, action: Callable[[], T]) -> T:
        """Do something that needs a remote, again and again for as long as `patience` says."""
        until, wait = time.monotonic() + self.job["patience"], 1.0
        while True:
            try:
                return action()
            except FailedError as error:
                if time.monotonic() + wait > until:
                    raise
                say(doing=f"tries again after: {error}")
            time.sleep(wait)
            wait *= 2

    def _call(self, *command: str) -> str:
        """Run a command; what it printed."""
        folder = self.copy if self.copy.exists() else self.place
        words = [word for word in command if word not in DVC[:2]]
        say(doing=" ".join(words[: 2 if words[0] == "git" else 3]))
        with self.output.open("a") as log:
            print(f"$ {' '.join(command)}", file=log, flush=True)
            start = log.tell()
            with self._may_start:
                process = subprocess.Popen(  # noqa: S603
                    command, cwd=folder, env=self._environment, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT,
                )  # fmt: skip
            curve = self.copy / "metrics/training" / self.job["loss"] / "training.csv"
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                    break
                if last := last_point(curve):
                    say(step=last[0], loss=last[1])
        with self.output.open(errors="replace") as log:
            log.seek(start)
            printed = log.read()
        if process.returncode:
            raise FailedError(cause(printed) or f"{command[0]} ended with {process.returncode}")
        return printed


def last_point(curve: Path) -> tuple[int, float] | None:
    """The last step and its loss; None where a training has not written any, or is writing."""
    with suppress(OSError, ValueError, IndexError):
        step, loss = curve.read_text().splitlines()[-1].split(",")[:2]
        return int(step), float(loss)
    return None


def cause(printed: str) -> str:
    """Why a command failed, in one line: the first that looks like an error, or the last one."""
    if found := CAUSE.search(printed):
        return found[0].strip()
    return next((line.strip() for line in reversed(printed.splitlines()) if line.strip()), "")


def say(**message: Any) -> None:
    """Send a message to the worker of Ray that started this process."""
    with suppress(BrokenPipeError):  # it has ended, which the watching thread notices
        print(json.dumps(message), flush=True)


def remove_stale(place: Path) -> None:
    """Remove the working copies of trials that could not: of a machine that lost its power."""
    for path in place.glob("sweep-*.lock"):
        with suppress(Timeout), FileLock(path, timeout=0):
            copy = str(path).removesuffix(".lock")
            shutil.rmtree(copy, ignore_errors=True)
            Path(f"{copy}.log").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def main() -> None:
    """Run or check what the first line of the input says."""
    if os.fork():  # Ray kills the children of a worker that ends; then this process cleans up.
        os._exit(0)
    order = json.loads(sys.stdin.readline())
    try:
        trial = Trial(order["job"])
    except RuntimeError as error:  # `~` of an unknown user
        say(error=str(error), log="", machine=socket.gethostname(), seconds=0.0)
        return

    def end_with_the_worker() -> None:
        sys.stdin.read()
        trial.end()
        os._exit(1)

    answer: dict[str, Any] = {"error": None, "log": ""}
    started = time.monotonic()
    try:
        trial.place.mkdir(parents=True, exist_ok=True)
        remove_stale(trial.place)
        with FileLock(trial.lock):
            threading.Thread(target=end_with_the_worker, daemon=True).start()
            say(machine=socket.gethostname(), doing="starts")
            try:
                trial.check() if order["check"] else trial.run()
            except Exception as error:  # whatever it is, the user reads it and nothing runs on
                answer = {"error": str(error) or repr(error), "log": trial.log()}
            trial.end()
    except Exception as error:  # its folder cannot be written
        answer = {"error": str(error) or repr(error), "log": ""}
    seconds = time.monotonic() - started
    say(**answer, machine=socket.gethostname(), seconds=seconds)


if __name__ == "__main__":
    main()
