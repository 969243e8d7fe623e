"""Kill the four stages of a small pipeline at random moments, and compare its final outputs.

Prints how often it killed, a training resumed from a checkpoint, `goemotions verify` had to say
what fixes it, a round ended, and an output was lost; status 1 where any was. A round removes
every output, DVC's cache and lock, and repeats `dvc repro`, killed after a random time with all its
processes, or once in four times without them: then they must end by themselves within two minutes.
When one `dvc repro` ends by itself every output must have the undisturbed run's digest.
With --power the file system loses its power at that moment, too: what had not reached the disk is
gone. That needs Linux and root.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "pipeline"), str(TESTS)]
from conftest import Clone, make_clone  # noqa: E402
from disk import Disk  # noqa: E402

SEED = 0
# Of what the stages make; metrics/training holds the seconds that training took.
COMPARED = ("data/", "models/", "metrics/predictions", "metrics/evaluation", "metrics/per_label")


def outputs(clone: Clone) -> dict[str, str]:
    """The digest of every output by DVC, which must first find that the files still have it."""
    assert clone.dvc("status", "evaluate").strip().endswith("up to date.")
    stages = yaml.safe_load((clone.folder / "dvc.lock").read_text())["stages"]
    return {
        out["path"]: out["md5"]
        for stage in stages.values()
        for out in stage.get("outs", [])
        if out["path"].startswith(COMPARED)
    }


def forget(clone: Clone) -> None:
    """Remove all that the stages made."""
    for name in ("data/sample", "models", "metrics", ".dvc/cache", ".dvc/tmp/goemotions"):
        shutil.rmtree(clone.folder / name, ignore_errors=True)
    (clone.folder / "dvc.lock").unlink(missing_ok=True)


def fix(clone: Clone) -> None:
    """Do what `goemotions verify` says."""
    env = clone.env | {"PATH": f"{clone.folder}/.venv/bin:{clone.env['PATH']}"}
    command = ["goemotions", "verify", "--json"]
    found = subprocess.run(command, cwd=clone.folder, env=env, stdout=subprocess.PIPE, text=True)
    for check in json.loads(found.stdout)["checks"]:
        if not check["ok"]:
            print(f"{check['what']} {check['found']}: {check['remedy']}", flush=True)
            subprocess.run(check["remedy"], shell=True, check=True, cwd=clone.folder, env=env)


def killed(
    clone: Clone, after: float, log: Path, disk: Disk | None, *, alone: bool
) -> tuple[int | None, str]:
    """Run `dvc repro evaluate`, killed after some seconds: its status and what it printed.

    The status is None where it was killed.

    Args:
        alone: kill dvc only, and wait until what it started has ended.
    """
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(clone.folder / ".venv/bin/dvc"), "repro", "evaluate"],
            cwd=clone.folder,
            env=clone.env,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            started = psutil.Process(process.pid).children(recursive=True)
            if disk:
                disk.cut()
            for one in [process] if alone else [process, *started]:
                try:
                    os.kill(one.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.wait()
            _, left = psutil.wait_procs(started, timeout=120)  # which also drops their locks
            assert not left, f"{left} should have ended by themselves"
            if disk:
                disk.restart()
            return None, log.read_text()
    return process.returncode, log.read_text()


def main(wanted: int, place: Path, disk: Disk | None) -> int:
    rng = random.Random(SEED)
    kills = orphaned = resumes = fixes = recoveries = losses = 0
    folder = (disk.folder if disk else place) / "clone"
    folder.mkdir()
    clone = make_clone(folder, folder / ".dvc/cache", place)
    # What DVC knows of files must not outlive them.
    clone.dvc("config", "--local", "core.site_cache_dir", str(folder.parent / "site"))
    clone.params({"train.batch_size": 4, "recipes.deberta-v3-tiny.epochs": 24})
    clone.env["GOEMOTIONS_CHECKPOINT_SECONDS"] = "0"
    start = time.monotonic()
    clone.dvc("repro", "evaluate")
    seconds = time.monotonic() - start
    expected = outputs(clone)
    print(f"undisturbed: {seconds:.0f} s, {len(expected)} outputs", flush=True)
    while kills < wanted:
        forget(clone)
        if disk:
            os.sync()
        in_round, status = 0, None
        while status != 0:
            # What is done stays done, so short lives reach every stage, and training takes several;
            # later and later, so that a round ends on a machine that has become slower.
            after = rng.uniform(0, seconds / 3) * (1 + in_round / 50)
            alone = disk is None and rng.random() < 0.25
            before, life = status, after if kills < wanted else 10 * seconds
            status, text = killed(clone, life, place / "log", disk, alone=alone)
            resumes += "resuming from step" in text
            if status is None:
                kills, in_round, orphaned = kills + 1, in_round + 1, orphaned + alone
            elif status and "is being trained by process" in text:
                time.sleep(5)  # an orphan that was started at the very moment of the kill
                status = None
            elif status:
                assert before is None, text  # it should have been fixed
                fix(clone)
                fixes += 1
        recoveries += in_round > 0
        found = outputs(clone)
        wrong = sorted(path for path in expected if found.get(path) != expected[path])
        losses += len(wrong)
        print(
            f"{kills} kills, {orphaned} of dvc alone, {resumes} resumes, {fixes} fixed by verify, "
            f"{recoveries} recoveries, {losses} lost" + (f": {', '.join(wrong)}" if wrong else ""),
            flush=True,
        )
    return 1 if losses else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--power", action="store_true", help="cut the file system's power, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        disk = Disk(Path(temporary)) if given.power else None
        try:
            sys.exit(main(given.kills, Path(temporary), disk))
        finally:
            if disk:
                disk.close()
