"""Trials on the machines of a Ray cluster, with a table of what they do."""

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from goemotions.errors import UserError, first_line
from goemotions.io import cores
from goemotions.sweeps import trial
from goemotions.sweeps.trial import Job

MEMORY = 80 * 2**20  # bytes of Ray's object store; only messages go through it
MACHINES_THAT_MAY_DIE = 3  # under one trial, before it counts as failed


class Resources(NamedTuple):
    """What each trial takes, and how many may run at once.

    Attributes:
        cpus: cores, and so many threads.
        gpus: None is one where the cluster has any, and otherwise none.
        at_most: None is as many as there is room for.
    """

    cpus: int
    gpus: float | None
    at_most: int | None


class Answer(NamedTuple):
    """How a trial ended.

    Attributes:
        error: its first line; None where it succeeded.
        log: the end of what a failed trial printed.
        machine: its name.
        seconds: that it took.
    """

    error: str | None
    log: str
    machine: str
    seconds: float


class Cluster:
    """A connection to a Ray cluster; `connected` makes it."""

    def __init__(self, ray: Any, *, local: bool) -> None:
        self._ray, self._local = ray, local
        self._source = Path(trial.__file__).read_text(encoding="utf-8")
        self._board_class, self._task = _remote(ray)

    def check(self, job: Job) -> list[Answer]:
        """Whether a trial could run, from each machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        answers = [
            self._task.options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False),
            ).remote(self._source, {"job": job, "check": True}, None)
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        return [self._answer(answer) for answer in answers]

    def run(
        self, jobs: list[Job], resources: Resources, ended: Callable[[str, Answer], None]
    ) -> None:
        """Run trials until each has succeeded or failed; `ended` is called for each.

        Raises:
            UserError: a trial takes more than this machine, which is alone, has.
        """
        board = self._board_class.remote()
        gpus = resources.gpus
        if gpus is None:
            gpus = 1.0 if self._ray.cluster_resources().get("GPU") else 0.0
        self._say_what_lacks(resources.cpus, gpus)
        start = self._task.options(
            num_cpus=resources.cpus, num_gpus=gpus, max_retries=MACHINES_THAT_MAY_DIE
        )
        waiting = list(reversed(jobs))
        running: dict[Any, str] = {}
        view = View(len(jobs))
        with view.live or nullcontext():
            while waiting or running:
                while waiting and len(running) < (resources.at_most or len(jobs)):
                    job = waiting.pop()
                    task = start.remote(self._source, {"job": job, "check": False}, board)
                    running[task] = job["name"]
                done, _ = self._ray.wait(list(running), timeout=1.0)
                for task in done:
                    name, answer = running.pop(task), self._answer(task)
                    view.ended(name, answer)
                    ended(name, answer)
                view.show(self._ray.get(board.all.remote()))

    def _say_what_lacks(self, cpus: int, gpus: float) -> None:
        """Say so if no machine has what a trial needs; Ray would wait silently."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(one.get("CPU", 0) >= cpus and one.get("GPU", 0) >= gpus for one in machines):
            return
        lacking = f"a trial needs --cpus {cpus} and --gpus {gpus:g}, and no machine has that"
        if self._local:
            (has,) = machines
            there = f"{has.get('CPU', 0):g} CPU cores and {has.get('GPU', 0):g} GPUs"
            raise UserError(f"{lacking}; this one has {there}")
        print(f"{lacking}: waiting for one to join the cluster", file=sys.stderr)

    def _answer(self, task: Any) -> Answer:
        try:
            return Answer(**self._ray.get(task))
        except self._ray.exceptions.RayError as error:
            if isinstance(error, self._ray.exceptions.RayTaskError):
                what = first_line(error.cause)  # its own first line is Ray's
            else:
                died = f"the machine or its worker died {MACHINES_THAT_MAY_DIE + 1} times"
                what = f"{died}: {first_line(error)}"
            return Answer(what, str(error), "", 0.0)


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """A cluster, or with None this machine alone.

    Raises:
        UserError: Ray is not installed, or no cluster answers at the address.
    """
    try:
        import ray
    except ImportError:
        raise UserError('a sweep needs Ray: pip install -e ".[sweep]"') from None
    with _temporary_folder() if address is None else nullcontext() as folder:
        options: dict[str, Any] = {"address": address}
        if address is None:
            options = {
                "address": "local",
                "num_cpus": cores.usable(),
                "object_store_memory": MEMORY,
                "include_dashboard": False,
                "_temp_dir": folder,
            }
        try:
            ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            if address is None:
                raise UserError(f"Ray does not start on this machine: {error}") from None
            raise UserError(
                f"--address is {address!r}: {first_line(error)}; start a cluster with `ray start "
                "--head`, or leave --address out to use this machine alone"
            ) from None
        try:
            yield Cluster(ray, local=address is None)
        finally:
            ray.shutdown()


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder with a short path, as Ray needs it for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    try:
        yield str(folder)
    finally:
        for _ in range(50):  # Ray's processes write there for a moment after they were told to end
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.1)


def _remote(ray: Any) -> tuple[Any, Any]:
    """What runs on the cluster: the board, and the task that runs sweeps/trial.py.

    Both are defined inside a function, so that Ray sends their code to the workers, whose own
    goemotions may be of another version.
    """

    class Board:
        """What each trial said last."""

        def __init__(self) -> None:
            self.said: dict[str, dict[str, Any]] = {}

        def put(self, name: str, message: dict[str, Any]) -> None:
            self.said[name] = {**self.said.get(name, {}), **message}

        def all(self) -> dict[str, dict[str, Any]]:
            return self.said

    def task(source: str, order: dict[str, Any], board: Any) -> dict[str, Any]:
        import json
        import subprocess
        import sys

        command = [sys.executable, "-P", "-c", source]
        pipe = subprocess.PIPE
        # In a session of its own, which outlives this worker for as long as it takes to clean up.
        with subprocess.Popen(  # noqa: S603
            command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        ) as process:
            print(json.dumps(order), file=process.stdin, flush=True)
            for line in process.stdout or ():
                message: dict[str, Any] = json.loads(line)
                if "error" in message:
                    return message
                if board is not None:
                    board.put.remote(order["job"]["name"], message)
        raise RuntimeError("the trial was killed, perhaps because the machine's memory was full")

    board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Board)
    return board, ray.remote(task)


class View:
    """What the trials do: a live table in a terminal, and otherwise a line for each that ended."""

    def __init__(self, trials: int) -> None:
        self._trials, self._started = trials, time.monotonic()
        self._ended: dict[str, Answer] = {}
        console = Console(file=sys.stderr, markup=False)  # errors may have square brackets
        self.live = Live(console=console, refresh_per_second=2) if console.is_terminal else None

    def ended(self, name: str, answer: Answer) -> None:
        """Show that a trial ended."""
        self._ended[name] = answer
        took = f"done on {answer.machine} in {answer.seconds:.0f} s"
        line = f"[{len(self._ended)}/{self._trials}] {name}: {answer.error or took}"
        print(line, file=sys.stderr, flush=True)

    def show(self, board: Mapping[str, Mapping[str, Any]]) -> None:
        """Show what each running trial does.

        Args:
            board: what it said last, by its name.
        """
        if not self.live:
            return
        running = {name: said for name, said in board.items() if name not in self._ended}
        failed = sum(answer.error is not None for answer in self._ended.values())
        left = self._trials - len(self._ended)
        title = (
            f"{len(self._ended) - failed} done, {len(running)} running, {failed} failed, "
            f"{left - len(running)} waiting"
        )
        if self._ended:
            minutes = (time.monotonic() - self._started) / len(self._ended) * left / 60
            title += f"; about {minutes:.0f} min left"
        table = Table("trial", "machine", "step", "loss", "doing", title=title)
        for name, said in running.items():
            shown = (str(said.get(key, "")) for key in ("machine", "step", "loss", "doing"))
            table.add_row(name, *shown)
        self.live.update(table)
