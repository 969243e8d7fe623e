"""Which texts are computed together, and what happens to requests that cannot be answered."""

import asyncio
import threading

import numpy as np
import pytest

from goemotions.serving.batcher import MAX_WAITING, SHARE, Batcher, BusyError, GoneError


async def here():
    return False


class Computing:
    """Gives each text its length as its logit, batch by batch, as the test lets it."""

    def __init__(self):
        self.batches, self.may = [], threading.Semaphore(0)

    def __call__(self, texts):
        assert self.may.acquire(timeout=10), "the test did not let this batch begin"
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad")
        return {"a": np.array([[len(text)] for text in texts], dtype=np.float32)}


def with_batcher(scenario):
    async def run():
        computing = Computing()
        batcher = Batcher(computing)
        running = asyncio.create_task(batcher.run())
        try:
            return await asyncio.wait_for(scenario(batcher, computing), 30)
        finally:
            running.cancel()
            computing.may.release(10)  # or asyncio.run waits for the thread that waits for this

    return asyncio.run(run())


async def started(batcher, computing, texts, is_gone=here):
    """A request whose batch has begun."""
    task = asyncio.create_task(batcher.logits(texts, is_gone))
    while batcher._arrived.is_set() is False:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    return task


def test_requests_that_arrive_meanwhile_are_one_batch():
    async def scenario(batcher, computing):
        first = await started(batcher, computing, ["a"])
        others = [
            asyncio.create_task(batcher.logits(texts, here)) for texts in (["bb", "ccc"], ["dddd"])
        ]
        await asyncio.sleep(0.05)
        for _ in range(2):
            computing.may.release()
        found = [await task for task in (first, *others)]
        assert [one["a"].tolist() for one in found] == [[[1]], [[2], [3]], [[4]]]
        assert computing.batches == [["a"], ["bb", "ccc", "dddd"]]

    with_batcher(scenario)


def test_a_long_list_does_not_hold_up_a_short_one():
    async def scenario(batcher, computing):
        texts = ["x" * (1 + i) for i in range(2 * SHARE + 5)]
        long = await started(batcher, computing, texts)
        short = asyncio.create_task(batcher.logits(["short"], here))
        await asyncio.sleep(0.05)
        computing.may.release()
        computing.may.release()
        assert (await short)["a"].tolist() == [[5]]
        assert not long.done()
        computing.may.release()
        assert (await long)["a"][:, 0].tolist() == [len(text) for text in texts]
        assert [len(batch) for batch in computing.batches] == [SHARE, SHARE + 1, 5]

    with_batcher(scenario)


def test_who_hung_up_is_not_computed():
    async def scenario(batcher, computing):
        gone = False

        async def is_gone():
            return gone

        first = await started(batcher, computing, ["a"])
        left = asyncio.create_task(batcher.logits(["left"], is_gone))
        stayed = asyncio.create_task(batcher.logits(["stayed"], here))
        await asyncio.sleep(0.05)
        gone = True
        computing.may.release()
        computing.may.release()
        with pytest.raises(GoneError):
            await left
        assert (await first)["a"].tolist() == [[1]]
        assert (await stayed)["a"].tolist() == [[6]]
        assert computing.batches == [["a"], ["stayed"]]

    with_batcher(scenario)


def test_an_error_is_told_to_its_batch_and_the_next_one_is_computed():
    async def scenario(batcher, computing):
        bad = await started(batcher, computing, ["bad"])
        good = asyncio.create_task(batcher.logits(["good"], here))
        computing.may.release()
        computing.may.release()
        with pytest.raises(ValueError, match="bad"):
            await bad
        assert (await good)["a"].tolist() == [[4]]

    with_batcher(scenario)


def test_too_many_waiting_texts_are_refused():
    async def scenario(batcher, computing):
        many = await started(batcher, computing, ["x"] * (MAX_WAITING - 1))
        one = asyncio.create_task(batcher.logits(["x"], here))
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError, match="20,000 texts are waiting, and at most 20,000 may"):
            await batcher.logits(["x"], here)
        for task in (many, one):
            task.cancel()

    with_batcher(scenario)
