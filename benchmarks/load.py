"""Requests per second and latency of `goemotions serve`, and of the pipeline behind its server."""

import asyncio
import contextlib
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import machine, models
from goemotions.config import Params
from goemotions.data import splits
from goemotions.errors import UserError

CLIENTS = (1, 8, 64)
WARM, SECONDS = 2.0, 8.0  # of each measurement: not counted, counted
OURS, BF16 = "goemotions serve", "goemotions serve --precision bf16"
PIPELINE = "pipeline, one by one"
SERVERS = (OURS, BF16, PIPELINE)


def run(settings: Params, data: Path, rounds: int, trained: Path | None) -> None:
    """Print a table; clients send one text at a time, each the next when it has its answer.

    Args:
        trained: a trained folder; None takes an untrained classifier on MiniLM.
    """
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        if trained is None:
            split = models.some(data, 512)
            trained = models.trained(models.folder("minilm-l6", settings, here), split, here / "t")
        texts = splits.read(data.with_name("test.jsonl")).texts
        found: dict[tuple[str, int], list[list[float]]] = {}
        for turn, name in itertools.product(range(rounds), SERVERS):
            with _served(name, trained) as port:
                for clients in CLIENTS:
                    latencies = asyncio.run(_measure(port, clients, texts, turn))
                    found.setdefault((name, clients), []).append(latencies)
            Console(stderr=True).print(f"{name}, round {turn + 1} of {rounds}: done")
    _show(found, rounds)


def _show(found: dict[tuple[str, int], list[list[float]]], rounds: int) -> None:
    rate = {
        key: statistics.median(len(one) / SECONDS for one in runs) for key, runs in found.items()
    }
    table = Table(
        "clients", "", "requests/s", "times the pipeline's", "p50, ms", "p99, ms", "p99/p50"
    )
    for clients, name in itertools.product(CLIENTS, SERVERS):
        low, high = (
            statistics.median(float(np.quantile(one, share)) for one in found[name, clients])
            for share in (0.5, 0.99)
        )
        ratio = rate[name, clients] / rate[PIPELINE, clients]
        cells = [rate[name, clients], ratio, 1000 * low, 1000 * high, high / low]
        forms = (".0f", ".1f", ".1f", ".1f", ".1f")
        table.add_row(str(clients), name, *(f"{x:{f}}" for x, f in zip(cells, forms, strict=True)))
    Console(width=110).print(table)
    print(f"{machine.name()}; the clients ran on it, too; medians of {rounds} rounds")


@contextlib.contextmanager
def _served(name: str, folder: Path) -> Iterator[int]:
    """A server in a process of its own; its port."""
    command = [sys.executable, "-m", "benchmarks.load", name, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise UserError(f"the server of {name} did not start")
        try:
            yield int(line)
        finally:
            process.terminate()


async def _measure(port: int, clients: int, texts: list[str], seed: int) -> list[float]:
    """The seconds that each request took, of those that ended in time."""
    latencies: list[float] = []
    start = time.perf_counter() + WARM

    async def client(number: int) -> None:
        chosen = random.Random(f"{seed} {number}")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (sent := time.perf_counter()) < start + SECONDS:
            body = json.dumps({"texts": [chosen.choice(texts)]}).encode()
            head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise UserError(f"the server said {answer.splitlines()[0].decode()}")
            length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if start <= (done := time.perf_counter()) <= start + SECONDS:
                latencies.append(done - sent)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return latencies


def _serve(name: str, folder: Path) -> None:
    import uvicorn

    from goemotions.commands import serve
    from goemotions.evaluation.trained import Classifier
    from goemotions.serving import app

    of_folder = app.Models(
        {"model": Classifier.load(folder, "bf16" if name == BF16 else "fp32")}, Path("data/none")
    )
    if name == PIPELINE:
        of_folder.compute = _one_by_one(folder, of_folder.labels)
    built = app.build(of_folder, hosts=["localhost"], comparison=Path("none"))
    with serve.listen("127.0.0.1", 0) as listener:
        print(listener.getsockname()[1], flush=True)
        settings = uvicorn.Config(built, log_level="warning", access_log=False)
        uvicorn.Server(settings).run(sockets=[listener])


def _one_by_one(folder: Path, labels: list[str]) -> Any:
    """Logits by transformers' pipeline, which gets one text at a time."""
    from transformers import pipeline

    usual = pipeline("text-classification", str(folder), top_k=None, function_to_apply="none")

    def compute(texts: list[str]) -> dict[str, NDArray[np.float32]]:
        rows = []
        for text in texts:
            by_label = {one["label"]: one["score"] for one in usual([text], truncation=True)[0]}
            rows.append([by_label[label] for label in labels])
        return {"model": np.array(rows, dtype=np.float32)}

    return compute


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
