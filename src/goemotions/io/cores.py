"""How many cores this process may use, which can be fewer than the machine has.

`python -m goemotions.io.cores` prints it for stages/run.sh, before every stage. It takes a tenth
of a second; joblib.cpu_count, which counts the same, takes half a second to import.
"""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def usable() -> int:
    """The cores of this process's affinity (taskset, cpusets), or fewer by its CPU quota."""
    affinity = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min([affinity, *map(math.ceil, _quotas())]))


def _quotas() -> Iterator[float]:
    """How many cores' time the control groups that hold this process may use (containers, systemd).

    A group may use no more than any group above it. Inside a container the names of its groups are
    those outside, where they lead nowhere, and its own group is the root.
    """
    with suppress(OSError):  # not Linux
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            first_version = "cpu" in controllers.split(",")
            if controllers and not first_version:
                continue
            group = (_GROUPS / "cpu" if first_version else _GROUPS) / name.lstrip("/")
            for folder in (group, *group.parents):
                with suppress(OSError, ValueError):  # no quota there
                    if first_version:
                        quota = int((folder / "cpu.cfs_quota_us").read_text())  # -1: none
                        period = int((folder / "cpu.cfs_period_us").read_text())
                    else:
                        quota, period = map(int, (folder / "cpu.max").read_text().split())
                    if quota > 0:
                        yield quota / period


if __name__ == "__main__":
    print(usable())
