# SPDX-License-Identifier: BSD-3-Clause
"""A spool as a loss of power leaves it, from the copies of powerloss.c."""
import os
import pathlib
import shlex
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


class PowerLoss:
    def __init__(self, directory, spool):
        self.spool = pathlib.Path(spool)
        self.copies = directory / "synced"
        self.copies.mkdir()
        shim = directory / "powerloss.so"
        subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-shared",
                        "-fPIC", "-O1", "-o", shim, HERE / "powerloss.c",
                        "-ldl"], check=True)
        self.env = {"LD_PRELOAD": str(shim),
                    "POWERLOSS_DIR": str(self.spool),
                    "POWERLOSS_COPY": str(self.copies)}
        self.dropped = 0

    def name_of(self, path):
        out = subprocess.run(["stat", "-c", "%i-%.9W", path], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
        return ("d" if path.is_dir() else "f") + out

    def lose(self):
        """What was not synced is gone. The spool's own directory was synced
        where it stands when it was made."""
        if not self.spool.exists():
            return
        fresh = self.spool.with_name("restored")
        shutil.rmtree(fresh, ignore_errors=True)
        self.rebuild(self.name_of(self.spool), fresh)
        for path in self.spool.rglob("*"):
            there = fresh / path.relative_to(self.spool)
            if path.is_file() and not path.name.endswith("-shm") and (
                    not there.exists()
                    or there.read_bytes() != path.read_bytes()):
                self.dropped += 1
        shutil.rmtree(self.spool)
        names = list(self.copies.iterdir())
        fresh.rename(self.spool)
        # The files are other ones now: what they have is synced.
        for path in names:
            path.unlink()
        self.adopt(self.spool)

    def rebuild(self, name, to):
        to.mkdir(mode=0o700)
        listing = self.copies / name
        if not listing.exists():
            return
        for line in listing.read_text().splitlines():
            file, path = line.split(" ", 1)
            if path.endswith("-shm"):
                continue  # made anew from the log
            if file[0] == "d":
                self.rebuild(file, to / path)
            elif (self.copies / file).exists():
                shutil.copyfile(self.copies / file, to / path)
            else:
                (to / path).touch()

    def adopt(self, directory):
        lines = []
        for path in directory.iterdir():
            name = self.name_of(path)
            lines.append(f"{name} {path.name}\n")
            if path.is_dir():
                self.adopt(path)
            else:
                shutil.copyfile(path, self.copies / name)
        (self.copies / self.name_of(directory)).write_text("".join(lines))
