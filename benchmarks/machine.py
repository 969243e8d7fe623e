"""What the machine can do, and what a model needs of it."""

import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes in the unit of ru_maxrss
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    bf16 = torch.cpu._is_avx512_bf16_supported()  # type: ignore[no-untyped-call]
    return (
        f"CPU, {torch.get_num_threads()} threads, {capability}{' with bf16' if bf16 else ''}, "
        f"torch {torch.__version__}"
    )


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> float:
    """Of this process, in bytes; on a GPU, of what torch allocated there."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    with suppress(OSError):  # Linux; getrusage counts what the parent had before the start, too
        status = Path("/proc/self/status").read_text()
        return 1024.0 * int(status.partition("VmHWM:")[2].split()[0])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS)


def product_rate(precision: str) -> float:
    """The rate of large matrix products at this moment, in operations a second."""
    cuda = torch.cuda.is_available()
    size = 8192 if cuda else 2048
    dtype, device = DTYPES[precision], "cuda" if cuda else "cpu"
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: a @ b, 6))


def copy_rate() -> float:
    """The rate at which memory is read and written, in bytes a second."""
    source = torch.zeros(2**26, device="cuda" if torch.cuda.is_available() else "cpu")
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(seconds(lambda: target.copy_(source), 6))


def seconds(work: Callable[[], Any], times: int) -> list[float]:
    """How long `work` takes, each time."""
    measured = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        synchronize()
        measured.append(time.perf_counter() - start)
    return measured


def operations(config: Any, lengths: NDArray[np.integer]) -> float:
    """Floating-point operations of a forward pass that the task needs, in matrix products.

    Products with weights and between tokens, for real tokens; of the last layer only what the
    first token's output needs. Embeddings, relative positions, norms and activations are left out.

    Args:
        lengths: of each text, in tokens.
    """
    width, inner = config.hidden_size, config.intermediate_size
    tokens = float(lengths.sum())
    weights = (config.num_hidden_layers - 1) * (4 * width + 2 * inner) + 2 * width
    between = (config.num_hidden_layers - 1) * 2 * width * float((lengths**2).sum())
    return float(2 * (weights * width * tokens + between))
