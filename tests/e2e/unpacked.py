# SPDX-License-Identifier: BSD-3-Clause
"""Mail servers whose Debian packages cannot be installed beside Postfix: the
packages are unpacked into the build directory, and the programs run in a mount
namespace of their own, where the users and paths are that were compiled into
them. Needs root; the machine itself is not changed."""
import fcntl
import os
import pathlib
import shutil
import subprocess

from harness import BUILD, DEADLINE_S

FIRST_ID = 61180  # of a range that Debian gives to nobody


def unpack(name, packages):
    """A sentence that says why they are not there, or None. Their files are
    in root_of(name)."""
    with open(BUILD / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test files want it, too
        return unpack_alone(root_of(name), packages)


def unpack_alone(root, packages):
    done = root / "done"
    if done.exists() and done.read_text().split() == packages:
        return None
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    got = subprocess.run(["apt-get", "download", *packages], cwd=root,
                         capture_output=True, text=True, timeout=120)
    debs = list(root.glob("*.deb"))
    if got.returncode != 0 or len(debs) < len(packages):
        return (f"apt-get download {' '.join(packages)} failed: "
                f"{got.stderr[-300:]}")
    for deb in debs:
        subprocess.run(["dpkg", "-x", deb, root], check=True,
                       timeout=DEADLINE_S)
    done.write_text("\n".join(packages))
    return None


def root_of(name):
    return BUILD / name


def namespaces():
    """Why there are none for this process, or None."""
    if os.geteuid() != 0:
        return "it needs root for a mount namespace"
    got = subprocess.run(["unshare", *UNSHARE, "true"], capture_output=True,
                         text=True, timeout=DEADLINE_S)
    return got.stderr.strip() or None if got.returncode else None


UNSHARE = ["--mount", "--uts", "--propagation", "private"]

# The machine's name gets a domain, which mail servers wait for otherwise.
SCRIPT = """
hostname "$1"
shift
while [ "$1" != -- ]; do
    mount --bind "$1" "$2"
    shift 2
done
shift
exec "$@"
"""


def in_namespace(command, binds, hostname="mta.test"):
    """The command line that runs another with paths put over the machine's
    own: binds is [(what, where)]."""
    pairs = [str(p) for pair in binds for p in pair]
    return ["unshare", *UNSHARE, "sh", "-ec", SCRIPT, "sh", hostname, *pairs,
            "--", *map(str, command)]


def accounts(directory, names):
    """Binds that add users with a group of the same name; {name: uid}."""
    directory = pathlib.Path(directory)
    ids = {name: FIRST_ID + i for i, name in enumerate(names)}
    lines = {
        "passwd": [f"{n}:x:{i}:{i}::/nonexistent:/usr/sbin/nologin\n"
                   for n, i in ids.items()],
        "group": [f"{n}:x:{i}:\n" for n, i in ids.items()],
    }
    binds = []
    for file, more in lines.items():
        path = directory / file
        path.write_text(pathlib.Path("/etc", file).read_text() +
                        "".join(more))
        path.chmod(0o644)
        binds.append((path, pathlib.Path("/etc", file)))
    return binds, ids
