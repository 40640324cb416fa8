# SPDX-License-Identifier: BSD-3-Clause
"""Orders to faultio.c, by which the disk below a spool fails or stands still."""
import mmap
import os
import pathlib
import shlex
import struct
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
STALL, STALL_AFTER_SYNC = 0, -1


def build(directory):
    path = directory / "faultio.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", path,
                    HERE / "faultio.c", "-ldl"], check=True)
    return path


class Faults:
    """The orders of faultio.c: struct control, mapped."""
    NUMBERS = struct.Struct("5q")
    SIZE = 5 * 8 + 64

    def __init__(self, directory, spool, shim):
        path = directory / "faultio.ctl"
        path.write_bytes(bytes(self.SIZE))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), self.SIZE)
        self.env = {"LD_PRELOAD": str(shim), "FAULTIO_DIR": str(spool),
                    "FAULTIO_CTL": str(path)}

    def arm(self, n, error, count=1):
        """The n-th call from now on fails, and count - 1 after it. With STALL
        they wait until disarm() instead; with STALL_AFTER_SYNC it is the
        next sync, when it is done."""
        self.map[:self.SIZE] = self.NUMBERS.pack(
            0, n, n + count - 1, error, 0) + bytes(64)

    def hits(self):
        return self.NUMBERS.unpack(self.map[:self.NUMBERS.size])[4]

    def disarm(self):
        seen, _, _, _, failed = self.NUMBERS.unpack(
            self.map[:self.NUMBERS.size])
        what = self.map[self.NUMBERS.size:self.SIZE].split(b"\0")[0].decode()
        self.arm(0, 0)
        return seen, failed, what
