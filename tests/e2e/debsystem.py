# SPDX-License-Identifier: BSD-3-Clause
"""A Debian system of its own, made by debootstrap and run by its own systemd
in namespaces, in which packages are installed as an administrator would. It
has no network but loopback: what apt needs is fetched before. Needs root; the
machine itself is not changed."""
import os
import pathlib
import shutil
import subprocess

from harness import until

MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
APT = ["apt-get", "-q", "-y", "--no-install-recommends"]
NAMESPACES = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]

# Around its system manager, as containers have it.
BOOT = """
cd "$1"
ip link set lo up
hostname weir.test
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    touch dev/$name
    mount --bind /dev/$name dev/$name
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
# systemd leaves this to who made the container; credentials need it.
mount --make-rshared /
exec env -i container=weirtest PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /lib/systemd/systemd --system systemd.unit=multi-user.target
"""

# Before that, with this machine's network.
FETCH = """
cd "$1"
mount -t proc proc proc
mount --bind /dev dev
shift
exec chroot . "$@"
"""


def run(argv, check=True, timeout_s=900, **kw):
    p = subprocess.run([str(a) for a in argv], text=True, timeout=timeout_s,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, **kw)
    assert not check or p.returncode == 0, f"{argv}: {p.stdout[-3000:]}"
    return p


def codename():
    """Of this machine, or None where it is not Debian."""
    words = dict(line.split("=", 1) for line in
                 pathlib.Path("/etc/os-release").read_text().splitlines()
                 if "=" in line)
    return words.get("VERSION_CODENAME") if words["ID"] == "debian" else None


def why_not():
    """None, or why there can be no such system here."""
    if codename() is None:
        return "this machine is not Debian"
    if os.geteuid() != 0:
        return "it needs root for a system of its own"
    for tool in ("debootstrap", "unshare", "nsenter", "ip"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    p = run(["unshare", *NAMESPACES, "--fork", "mount", "-t", "cgroup2",
             "cgroup2", "/sys/fs/cgroup"], check=False)
    return f"no namespaces here: {p.stdout[-200:]}" if p.returncode else None


class System:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.boss = None

    def make(self):
        """None, or why the mirror did not give it."""
        p = run(["debootstrap", "--variant=minbase", codename(), self.root,
                 MIRROR], check=False, timeout_s=1800)
        if p.returncode != 0:
            return f"debootstrap: {p.stdout[-300:]}"
        (self.root / "etc/apt/sources.list").write_text(
            f"deb {MIRROR} {codename()} main\n"
            f"deb {MIRROR} {codename()}-updates main\n"
            f"deb {SECURITY} {codename()}-security main\n")
        # What is installed by apt after this is started; not before.
        policy = self.root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        self.fetch("apt-get", "-q", "update")
        self.fetch(*APT, "install", "systemd-sysv", "dbus", "debconf-utils")
        policy.unlink()
        return None

    def fetch(self, *argv):
        return run(["unshare", "--mount", "--pid", "--fork", "sh", "-ec",
                    FETCH, "sh", self.root, *argv],
                   env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))

    def boot(self):
        self.boss = subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-ec",
             BOOT, "sh", str(self.root)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self("systemctl", "is-system-running",
                           check=False).stdout.strip() in ("running",
                                                           "degraded"),
              "the system's own systemd", pause_s=0.2)

    def init(self):
        """The process that is 1 inside, as this machine numbers it."""
        assert self.boss.poll() is None, "the system is gone"
        return until(pathlib.Path(
            f"/proc/{self.boss.pid}/task/{self.boss.pid}/children"
        ).read_text, "its first process").split()[0]

    def __call__(self, *argv, **kw):
        """Runs a program inside."""
        return run(["nsenter", "-t", self.init(), "-a", "-r", "-w",
                    "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                    "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8",
                    *argv], **kw)

    def beside(self, *argv, **kw):
        """Runs a program of this machine with the system's network."""
        return run(["nsenter", "-t", self.init(), "-n", *argv], **kw)

    def stop(self):
        if self.boss is not None:
            self.boss.kill()
            self.boss.wait()
            self.boss = None
