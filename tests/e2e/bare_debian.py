# SPDX-License-Identifier: BSD-3-Clause
"""A Debian 12 with nothing on it, as a machine of its own: debootstrap into a
directory, then its own systemd as process 1 of new namespaces. Its network is a
loopback and two addresses of nobody's; packages are installed before, from
where this machine has its own. All mounts are in its mount namespace and all
its processes in its PID namespace, so that the kill of one process ends it
whatever happened. Needs root."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from harness import DEADLINE_S, until

SUITE = "bookworm"
INSTALL_S = 400
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTSIDE, INSIDE = "192.0.2.25", "192.0.2.1"
NAMESPACES = ["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork",
              "--propagation", "private", "--kill-child"]

# The kernel's own settings and devices are those of the machine around it: it
# may read them alone.
ENTER = """
root=$1 net=$2 name=$3
shift 3
mount --bind "$root" "$root"
cd "$root"
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for node in null zero full random urandom tty; do
    touch dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
hostname "$name"
if [ "$net" = own ]; then
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    ip link set lo up
    ip address add {outside}/32 dev lo
    ip address add {inside}/32 dev lo
fi
mkdir -p .old
pivot_root . .old
umount -l .old
rmdir .old
exec "$@"
""".format(outside=OUTSIDE, inside=INSIDE)


def why_not():
    """Why there is none on this machine, or None."""
    if os.geteuid() != 0:
        return "it needs root"
    for program in ("debootstrap", "apt-get", "nsenter", "ip"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def run(*command, timeout=DEADLINE_S, **more):
    return subprocess.run([str(word) for word in command],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout, **more)


def mirrors():
    """Where this machine has its packages from; the address that debootstrap
    knows by itself where it has none."""
    got = run("apt-get", "indextargets", "--format",
              "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    return [line.split()[1] for line in got.stdout.splitlines()
            if line.startswith(SUITE + " ")][:1]


def proxies():
    got = run("apt-config", "dump")
    return "".join(re.findall(r"^Acquire::\w+::Proxy.*\n", got.stdout, re.M))


# The machine's name server, which knows no name: without any each of a scanner's
# questions would wait for its time-out.
NO_NAMES = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
while True:
    q, peer = s.recvfrom(4096)
    end = q.find(b"\\0", 12) + 5
    s.sendto(q[:2] + b"\\x81\\x83\\0\\1" + bytes(6) + q[12:end], peer)
"""


class BareDebian:
    def __init__(self, name):
        self.name, self.process, self.init = name, None, None
        self.names = None
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="weir-debian-"))

    def make(self):
        self.root.chmod(0o755)
        got = run("debootstrap", "--variant=minbase",
                  "--include=systemd-sysv,ca-certificates,adduser", SUITE,
                  self.root, *mirrors(), timeout=INSTALL_S)
        assert got.returncode == 0, got.stdout[-2000:]
        self.write("/etc/apt/apt.conf.d/90proxy", proxies())
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        self.write("/etc/hosts", f"127.0.0.1 localhost\n"
                                 f"127.0.1.1 {self.name} "
                                 f"{self.name.split('.')[0]}\n")
        self.write("/etc/hostname", self.name + "\n")

    def install(self, command, answers=""):
        """An apt-get command line, on the network of this machine."""
        script = ('apt-get update && echo "$1" | debconf-set-selections &&'
                  ' eval "$2"')
        got = run("unshare", *NAMESPACES, "sh", "-ec", ENTER, "sh", self.root,
                  "shared", self.name, "env", "-i", f"PATH={PATH}", "LC_ALL=C",
                  "DEBIAN_FRONTEND=noninteractive", "sh", "-c", script, "sh",
                  answers, command, timeout=INSTALL_S)
        assert got.returncode == 0, (command, got.stdout[-3000:])

    def boot(self):
        (self.root / "usr/sbin/policy-rc.d").unlink()
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.process = subprocess.Popen(
            ["unshare", "--net", *NAMESPACES, "sh", "-ec", ENTER, "sh",
             str(self.root), "own", self.name, "env", "-i",
             "container=weir-test", f"PATH={PATH}", "/sbin/init",
             "--log-target=journal"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")

        def is_up():
            if self.process.poll() is not None:
                words = self.process.stderr.read().decode(errors="replace")
                raise AssertionError(f"no machine of its own: {words}")
            self.init = (children.read_text().split() or [None])[0]
            if self.init is None:
                return False
            state = self.run("systemctl is-system-running").stdout.strip()
            return state in ("running", "degraded")

        until(is_up, "systemd", pause_s=0.2)
        self.names = subprocess.Popen(
            ["nsenter", "-t", self.init, "-n", sys.executable, "-c", NO_NAMES],
            stdin=subprocess.DEVNULL)

    def run(self, command, user="root", cwd="/", timeout=DEADLINE_S):
        """A shell command line inside."""
        become = [] if user == "root" else [
            "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return run("nsenter", "-t", self.init, "-m", "-n", "-u", "-i", "-p",
                   "-C", "-r", "-w", "env", "-i", f"PATH={PATH}", "LC_ALL=C",
                   "DEBIAN_FRONTEND=noninteractive", f"MAKEFLAGS=-j{os.cpu_count()}", "CFLAGS=-O1",
                   "HOME=/",
                   *become, "sh", "-c", 'cd "$1" && eval "$2"', "sh", cwd,
                   command, timeout=timeout)

    def must(self, command, **more):
        got = self.run(command, **more)
        assert got.returncode == 0, f"{command}\n{got.stdout[-3000:]}"
        return got.stdout

    def path(self, path):
        return self.root / str(path).lstrip("/")

    def write(self, path, text, mode=0o644):
        file = self.path(path)
        # What debootstrap copied may be a link out of here.
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def read(self, path):
        file = self.path(path)
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self):
        if self.names is not None:
            self.names.kill()
            self.names.wait(DEADLINE_S)
        if self.process is not None:
            # unshare(1) looks away from anything milder; what it started dies
            # with it.
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(DEADLINE_S)
            self.process.stderr.close()
            if self.init is not None:
                until(lambda: not os.path.exists(f"/proc/{self.init}"),
                      "the machine to be gone")
        shutil.rmtree(self.root, ignore_errors=True)
