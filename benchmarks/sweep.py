"""Short trials on one to three machines, by DVC's queue and one after another.

`python -m benchmarks.sweep` makes a clone whose training waits for some seconds, as for a GPU, so
that what is measured is what carries a trial. The machines are processes of this one, each with a
home folder and a DVC cache of its own; git and DVC remote are folders. Times are printed as ratios
to `dvc exp run --temp` one after another, which is measured in the same session.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goemotions.errors import reported
from goemotions.sweeps.cluster import MEMORY

STAGES = """
stages:
  fetch_dataset: {cmd: echo rows >data/sample, params: [dataset], outs: [data/sample]}
  cache_model: {cmd: echo weights >models/tiny, params: [model], outs: [models/tiny]}
  train:
    matrix: {loss: ["${loss}"]}
    cmd: >-
      sleep SECONDS; mkdir -p models/trained; echo ${item.loss} ${train.seed} TOKEN
      >models/trained/${item.loss}
    params: [train.seed]
    deps: [data/sample, models/tiny]
    outs: ["models/trained/${item.loss}"]
  evaluate:
    cmd: echo "{}" >metrics/evaluation.json
    deps: ["models/trained/${loss}"]
    metrics: [metrics/evaluation.json: {cache: false}]
  baseline:
    cmd: echo "{}" >metrics/baseline.json
    metrics: [metrics/baseline.json: {cache: false}]
"""
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}


class Project:
    """A clone with its remotes, in which a training only waits."""

    def __init__(self, place: Path, seconds: float) -> None:
        self.folder, self.place = place / "clone", place
        environment = Path(sys.executable).parent
        self.env = CLEAN | {"PATH": f"{environment}:{os.environ['PATH']}"}
        self.run("git", "clone", "-q", str(Path.cwd()), str(self.folder), cwd=place)
        stages = STAGES.replace("SECONDS", str(seconds)).replace("TOKEN", place.name)
        (self.folder / "dvc.yaml").write_text(stages)
        (self.folder / "dvc.lock").unlink()
        self.run("git", "init", "-q", "--bare", str(place / "origin.git"))
        self.run("git", "remote", "set-url", "origin", str(place / "origin.git"))
        self.run("dvc", "remote", "add", "--default", "storage", str(place / "storage"))
        self.run("git", "commit", "-qam", "waits")
        self.run("git", "push", "-q", "origin", "HEAD:refs/heads/main")

    def run(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=self.env, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def one_after_another(project: Project, trials: int) -> None:
    for seed in range(trials):
        settings = ("-S", "loss=bce", "-S", f"train.seed={seed}")
        project.run("dvc", "exp", "run", "--temp", *settings, "evaluate", "baseline")


def queue(project: Project, trials: int, jobs: int) -> None:
    """DVC's queue, until no task is queued or running."""
    seeds = ",".join(map(str, range(trials)))
    settings = ("-S", "loss=bce", "-S", f"train.seed={seeds}")
    project.run("dvc", "exp", "run", "--queue", *settings, "evaluate", "baseline")
    project.run("dvc", "queue", "start", "-j", str(jobs))
    while True:
        status = project.run("dvc", "queue", "status")
        # A task that moves between DVC's lists is for a moment in none of them.
        if status.count("Success") + status.count("Failed") >= trials:
            break
        time.sleep(1)
    if status.count("Success") != trials:
        raise SystemExit(status)


@contextmanager
def machines(number: int, place: Path) -> Iterator[str]:
    """The address of a Ray cluster of so many machines with a core each, and one to command."""
    from ray.cluster_utils import Cluster

    def node(name: str) -> dict[str, object]:
        home = place / name
        home.mkdir()
        return {
            "env_vars": {"HOME": str(home)},
            "object_store_memory": MEMORY,
            "include_dashboard": False,
        }

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node("head")})
    try:
        for one in range(number):
            cluster.add_node(num_cpus=1, **node(str(one)))
        yield cluster.address
    finally:
        cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=5, help="that a training waits")
    parser.add_argument("--most", type=int, default=3, help="machines, and jobs of the queue")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="sweeps"))
    results: dict[str, float] = {}

    def measure(name: str, action) -> None:
        folder = place / str(len(results))
        folder.mkdir()
        project = Project(folder, options.seconds)
        started = time.monotonic()
        action(project)
        results[name] = time.monotonic() - started
        print(f"{name}: {results[name]:.0f} s", file=sys.stderr, flush=True)

    measure("one after another", lambda project: one_after_another(project, options.trials))
    for number in range(1, options.most + 1):
        measure(f"dvc queue -j {number}", lambda p, n=number: queue(p, options.trials, n))
        homes = place / f"homes {number}"
        homes.mkdir()
        with machines(number, homes) as address:
            seeds = f"train.seed=0..{options.trials - 1}"
            command = ("goemotions", "sweep", "-S", "loss=bce", "-S", seeds, "--address", address)
            measure(f"goemotions sweep, {number} machine(s)", lambda p, c=command: p.run(*c))
    shutil.rmtree(place)
    print(f"| {options.trials} trials of {options.seconds:g} s | time | overhead of a trial |")
    print("| --- | --- | --- |")
    for name, seconds in results.items():
        ratio = seconds / results["one after another"]
        side = int(found[0]) if (found := re.findall(r"\d+", name)) else 1
        overhead = seconds * side / options.trials - options.seconds
        print(f"| {name} | {ratio:.2f} | {overhead:.1f} s |")


if __name__ == "__main__":
    with reported():
        main()
