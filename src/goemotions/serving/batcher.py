"""Texts of several requests, classified together.

While one batch is computed, requests that arrive wait; the next batch takes some of each. So a
batch is as large as the load makes it, nobody waits for a timer, and a long list of texts does not
hold up a short one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SHARE = 64  # texts of one request in a batch, at most
BATCH = 64 * SHARE  # texts of all requests in a batch, at most
MAX_WAITING = 20_000  # texts of all requests

Logits = dict[str, NDArray[np.float32]]  # of each model, [texts, labels]


class BusyError(Exception):
    """Too many texts are waiting."""


class GoneError(Exception):
    """The client did not wait for the answer."""


@dataclass(eq=False)
class _Job:
    texts: list[str]
    is_gone: Callable[[], Awaitable[bool]]
    answer: asyncio.Future[Logits]
    done: list[Logits] = field(default_factory=list)
    count: int = 0  # of texts that are done


class Batcher:
    """Classifies the texts of all requests that wait, batch after batch.

    Args:
        compute: from texts to each model's logits; runs in a thread, one batch at a time.
    """

    def __init__(self, compute: Callable[[list[str]], Logits]) -> None:
        self._compute = compute
        self._jobs: list[_Job] = []
        self._arrived = asyncio.Event()

    async def logits(self, texts: list[str], is_gone: Callable[[], Awaitable[bool]]) -> Logits:
        """Each model's logits for the texts of one request.

        Args:
            texts: at least one.
            is_gone: whether the client has hung up; its remaining texts are then left out.

        Raises:
            BusyError: with these, more than MAX_WAITING texts would wait.
            GoneError: the client has hung up.
        """
        waiting = sum(len(job.texts) - job.count for job in self._jobs)
        if waiting + len(texts) > MAX_WAITING:
            raise BusyError(f"{waiting:,} texts are waiting, and at most {MAX_WAITING:,} may")
        job = _Job(texts, is_gone, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._arrived.set()
        return await job.answer

    async def run(self) -> None:
        """Answer requests until cancelled."""
        while True:
            await self._arrived.wait()
            for job in self._jobs:
                if not job.answer.done() and await job.is_gone():
                    job.answer.set_exception(GoneError())
            self._jobs = [job for job in self._jobs if not job.answer.done()]
            if self._jobs:
                await self._batch()
            else:
                self._arrived.clear()

    async def _batch(self) -> None:
        """Compute the next texts of the requests that have waited longest, and put these last."""
        chosen = self._jobs[: BATCH // SHARE]
        parts = [job.texts[job.count :][:SHARE] for job in chosen]
        try:
            found = await asyncio.to_thread(
                self._compute, [text for part in parts for text in part]
            )
        except Exception as error:  # the next batch may be computed
            for job in chosen:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        start = 0
        for job, part in zip(chosen, parts, strict=True):
            end = start + len(part)
            job.done.append({name: logits[start:end] for name, logits in found.items()})
            job.count, start = job.count + len(part), end
            if job.count == len(job.texts) and not job.answer.done():
                whole = {name: np.concatenate([one[name] for one in job.done]) for name in found}
                job.answer.set_result(whole)
        self._jobs = [*(job for job in self._jobs if job not in chosen), *chosen]
