"""A file system whose power can be cut: what had not reached the disk by then is gone.

ext4's own shutdown, without writing its journal out, is what file systems are tested with for power
cuts (`EXT4_IOC_SHUTDOWN` in Linux' include/uapi/linux/ext4.h). It needs root and loop devices.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
WITHOUT_JOURNAL = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH


class Disk:
    """An ext4 file system in a file, mounted at `folder`.

    Args:
        place: an empty folder for the file and the mount point.
        gigabytes: its size; the file is sparse.

    Raises:
        OSError, subprocess.CalledProcessError: this user or kernel cannot mount one.
    """

    def __init__(self, place: Path, gigabytes: float = 1) -> None:
        make = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if make is None or os.geteuid() != 0:
            raise OSError("cutting the power of a file system needs mkfs.ext4 and root")
        self._image, self.folder = place / "disk", place / "mounted"
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(int(gigabytes * 2**30))
        _run(make, "-q", "-F", self._image)
        _run("mount", "-o", "loop", self._image, self.folder)

    def cut(self) -> None:
        """Cut the power; nothing can be read or written until `restart`."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_JOURNAL)
        finally:
            os.close(descriptor)

    def restart(self) -> None:
        """Mount again, from what is on the disk; every process that used it must have ended."""
        self.close()
        _run("mount", "-o", "loop", self._image, self.folder)

    def close(self) -> None:
        """Unmount; busy for up to ten seconds while killed processes end."""
        for wait in (0.1, 0.9, 3, 6, 0):
            done = subprocess.run(["umount", str(self.folder)], capture_output=True, text=True)
            if done.returncode == 0:
                return
            time.sleep(wait)
        raise OSError(done.stderr)


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
