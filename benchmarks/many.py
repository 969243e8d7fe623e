"""A clone with very many experiments, to see what `goemotions compare`, git and DVC make of them.

`python -m benchmarks.many FOLDER --experiments 1000` clones this project into FOLDER, runs one
experiment on a sample whose test split has as many rows as GoEmotions', and writes others that
differ from it in seed, loss and noise on the logits: commits, references and objects of DVC's
cache, as `dvc exp run` leaves them. Then it times a user's commands, each in its own process.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from goemotions.comparison import measures, predictions
from goemotions.errors import reported
from goemotions.sweeps.combinations import PREFIX, plan

SMALL = (
    "dataset=sample", "model=deberta-v3-tiny",
    "datasets.sample.rows={train: 160, val: 120, test: 5427}",
    "models.deberta-v3-tiny.hidden_size=16", "models.deberta-v3-tiny.intermediate_size=16",
    "recipes.deberta-v3-tiny.epochs=1",
)  # fmt: skip
MEASURED = ("macro_f1", "micro_f1", "average_precision")
LOSSES = ("bce", "asl", "combined_70", "combined_50", "combined_30")


class Clone:
    """The clone, and its DVC cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / ".dvc/cache/files/md5"
        self.env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
        }

    def run(self, *command: str, text: str | None = None) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, input=text, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def store(self, content: bytes) -> str:
        """Put a file into DVC's cache; its digest."""
        md5 = hashlib.md5(content).hexdigest()
        path = self.cache / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    def object(self, md5: str) -> bytes:
        return (self.cache / md5[:2] / md5[2:]).read_bytes()


def noisy(predictions: bytes, number: int) -> bytes:
    """A predictions.parquet with other logits."""
    table = pq.read_table(io.BytesIO(predictions))
    column = table.schema.get_field_index("logits")
    logits = np.array(table["logits"].to_pylist())
    logits += np.random.default_rng(number).normal(scale=0.2, size=logits.shape)
    changed = pa.array(logits.tolist(), type=table.schema.field(column).type)
    out = io.BytesIO()
    pq.write_table(table.set_column(column, table.schema.field(column), changed), out)
    return out.getvalue()


def multiply(clone: Clone, name: str, names: dict[tuple[str, int], str]) -> None:
    """Write experiments like the one called `name`, under the name of each loss and seed."""
    (reference,) = [
        line for line in clone.run("git", "for-each-ref", "--format=%(refname)").splitlines()
        if line.endswith(f"/{name}")
    ]  # fmt: skip
    lock = yaml.safe_load(clone.run("git", "show", f"{reference}:dvc.lock"))
    stages = lock["stages"]
    outs = {out["path"]: out for out in stages["evaluate"]["outs"]}
    first = clone.object(outs["metrics/predictions.parquet"]["md5"])
    scores = json.loads(clone.run("git", "show", f"{reference}:metrics/evaluation.json"))
    trained = stages.pop("train@bce")
    head = clone.run("git", "rev-parse", f"{reference}^").strip()
    params = clone.run("git", "show", f"{reference}:params.yaml")
    text = yaml.safe_dump(trained)
    stream = []
    for one, (loss, seed) in enumerate(names):
        run = yaml.safe_load(re.sub(r"\bbce\b", loss, text))
        settings = run["params"]["params.yaml"]
        settings["train"]["seed"] = seed
        stages[f"train@{loss}"] = run
        evaluate = yaml.safe_load(
            yaml.safe_dump(stages["evaluate"]).replace("trained/bce", f"trained/{loss}")
        )
        evaluate["params"]["params.yaml"]["loss"] = loss
        for out in evaluate["outs"]:
            if out["path"] == "metrics/predictions.parquet":
                content = noisy(first, one)
                out["md5"], out["size"] = clone.store(content), len(content)
        written = yaml.safe_dump(
            {"schema": "2.0", "stages": {**stages, "evaluate": evaluate}}, sort_keys=False
        )
        del stages[f"train@{loss}"]
        target = f"{reference.rpartition('/')[0]}/{names[loss, seed]}"
        scored = predictions.parse(content, target)
        chosen = re.sub(r"^loss: \w+", f"loss: {loss}", params, flags=re.MULTILINE).encode()
        scores |= {measured: measures.measure(measured, scored).value for measured in MEASURED}
        evaluation = json.dumps(scores)
        stream.append(
            f"commit {target}\ncommitter many <many@example.com> {1700000000 + one} +0000\n"
            f"data 0\nfrom {reference}\nM 100644 inline dvc.lock\n"
            f"data {len(written.encode())}\n{written}\n"
            f"M 100644 inline metrics/evaluation.json\ndata {len(evaluation)}\n{evaluation}\n"
            f"M 100644 inline params.yaml\ndata {len(chosen)}\n{chosen.decode()}\n"
        )
    clone.run("git", "fast-import", "--quiet", "--force", text="".join(stream))
    # Each is to be a child of the commit that it is of.
    for line in clone.run(
        "git", "for-each-ref", "--format=%(refname) %(tree)", "refs/exps"
    ).splitlines():
        target, tree = line.split()
        if f"/{PREFIX}" in target:
            commit = clone.run("git", "commit-tree", tree, "-p", head, "-m", "many").strip()
            clone.run("git", "update-ref", target, commit)


def timed(clone: Clone, *command: str) -> None:
    """Print how long a command takes, and its memory at most."""
    before = time.monotonic()
    with subprocess.Popen(
        command, cwd=clone.folder, env=clone.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
    seconds = time.monotonic() - before
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{' '.join(command[:4])}: {seconds:.1f} s, at most {most:.2f} GB until now", flush=True)
    if process.returncode:
        print(output.decode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--experiments", type=int, default=1000)
    options = parser.parse_args()
    seeds = f"train.seed=2..{1 + options.experiments // len(LOSSES)}"
    settings = (*SMALL, f"loss={','.join(LOSSES)}", seeds)
    clone = Clone(options.folder.resolve() / "clone")
    if not clone.folder.exists():
        clone.folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", str(Path.cwd()), str(clone.folder)], check=True)
        storage = str(options.folder.resolve() / "storage")
        clone.run("dvc", "remote", "add", "--default", "storage", storage)
        clone.run("git", "commit", "-qam", "a remote")
        first = [part for one in (*SMALL, "loss=bce") for part in ("-S", one)]
        clone.run("dvc", "exp", "run", "--temp", "-n", "first", *first, "evaluate")
        with contextlib.chdir(clone.folder):
            planned = plan(settings, clone.run("git", "rev-parse", "HEAD").strip())
        multiply(clone, "first", {(one.loss, one.seed): one.name for one in planned})
    bare = str(options.folder.resolve() / "bare.git")
    clone.run("git", "init", "-q", "--bare", bare)
    clone.run("git", "push", "-q", bare, "HEAD:refs/heads/main")
    timed(clone, "git", "push", "-q", bare, "refs/exps/*:refs/exps/*")
    timed(clone, "git", "ls-remote", bare, "refs/exps/*")
    timed(clone, "dvc", "exp", "list", "--name-only")
    timed(clone, "dvc", "exp", "list", bare, "--name-only")
    timed(clone, "goemotions", "compare", "--only", PREFIX)
    # For a sweep in another clone nothing is left to run, so that it needs no cluster.
    shutil.copytree(clone.folder / ".dvc/cache/files", options.folder / "storage/files")
    other = Clone(options.folder.resolve() / "other")
    clone.run("git", "clone", "-q", "-b", "main", bare, str(other.folder))
    parts = [part for one in settings for part in ("-S", one)]
    timed(other, "goemotions", "sweep", "--address", "none", *parts)


if __name__ == "__main__":
    with reported():
        main()
