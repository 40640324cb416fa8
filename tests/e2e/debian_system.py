# SPDX-License-Identifier: BSD-3-Clause
"""A Debian system of its own: debootstrap into a directory, packages from where
this machine has its own, then its own systemd as process 1 of new namespaces.
Its network is a loopback and two addresses of nobody's, so that what apt needs
is fetched before. All mounts are in its mount namespace and all its processes in
its PID namespace: the kill of one process ends it whatever happened. Needs root;
the machine itself is not changed."""
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import BUILD, DEADLINE_S, until

SUITE = "bookworm"
INSTALL_S = 1200
BASE_MAX_AGE_S = 86400
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
APT = "apt-get -q -y --no-install-recommends"
OUTSIDE, INSIDE = "192.0.2.25", "192.0.2.1"
NAMESPACES = ["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork",
              "--propagation", "private", "--kill-child"]

# The kernel's own settings and devices are those of the machine around it: it
# may read them alone, but for those of a network of its own.
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
    mount --bind proc/sys/net proc/sys/net
    mount -o remount,bind,rw proc/sys/net
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
# systemd leaves this to whoever made the container; credentials need it.
mount --make-rshared /
exec "$@"
""".format(outside=OUTSIDE, inside=INSIDE)


def run(*command, timeout=DEADLINE_S, **more):
    return subprocess.run([str(word) for word in command],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout, **more)


def must(*command, **more):
    """What it prints, if it succeeds."""
    got = run(*command, **more)
    assert got.returncode == 0, f"{command}\n{got.stdout[-3000:]}"
    return got.stdout


def why_not():
    """Why there is none on this machine, or None."""
    if os.geteuid() != 0:
        return "a Debian system of its own needs root"
    for program in ("debootstrap", "apt-get", "unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    got = run("unshare", "--net", *NAMESPACES, "mount", "-t", "cgroup2",
              "cgroup2", "/sys/fs/cgroup")
    return f"no namespaces here: {got.stdout[-200:]}" if got.returncode \
        else None


def sources(suite=SUITE):
    """Where this machine has the packages of SUITE from, as (suite, address),
    main archive first; empty if it has none. Another suite is taken to be
    beside it."""
    got = run("apt-get", "indextargets", "--format",
              "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    found = dict.fromkeys(tuple(line.split())
                          for line in got.stdout.splitlines())
    return [(suite + part, uri) for part in ("", "-updates", "-security")
            for name, uri in found if name == SUITE + part]


def proxies():
    got = run("apt-config", "dump")
    return "".join(re.findall(r"^Acquire::\w+::Proxy.*\n", got.stdout, re.M))


def write(root, path, text, mode=0o644):
    file = root / path.lstrip("/")
    # What debootstrap copied may be a link out of here.
    file.unlink(missing_ok=True)
    file.write_text(text)
    file.chmod(mode)


def bootstrap_into(root, suite):
    """None, or why the mirror did not give it."""
    places = sources(suite)
    got = run("debootstrap", "--variant=minbase", suite, root,
              *[uri for _, uri in places[:1]], timeout=INSTALL_S)
    if got.returncode != 0:
        return f"debootstrap {suite}: {got.stdout[-300:]}"
    if places:
        write(root, "etc/apt/sources.list", "".join(
            f"deb {uri} {name} main\n" for name, uri in places))
    write(root, "etc/apt/apt.conf.d/90proxy", proxies())
    write(root, "etc/resolv.conf",
          pathlib.Path("/etc/resolv.conf").read_text())
    # Its archive of downloads would be in each copy.
    shutil.rmtree(root / "var/cache/apt/archives")
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    return None


def base(suite=SUITE):
    """(archive, None), a minimal system without an init, made once a day for
    a build directory; or (None, why there is none)."""
    archive = BUILD / f"debian-{suite}.tar"
    with open(BUILD / ".debian.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test files want it, too
        if (archive.exists() and
                time.time() - archive.stat().st_mtime < BASE_MAX_AGE_S):
            return archive, None
        root = pathlib.Path(tempfile.mkdtemp(prefix="weir-base-"))
        try:
            root.chmod(0o755)
            why = bootstrap_into(root, suite)
            if why is None:
                must("tar", "-C", root, "--numeric-owner", "--one-file-system",
                     "-cf", f"{archive}.new", ".", timeout=INSTALL_S)
                os.replace(f"{archive}.new", archive)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return (archive, None) if why is None else (None, why)


def put_release(where):
    """The release, as somebody unpacks it."""
    made = f"release-{os.getpid()}"
    try:
        must("make", "-C", BUILD, "--no-print-directory", "-s", "distdir",
             f"distdir={made}")
        shutil.copytree(BUILD / made, where)
    finally:
        run("chmod", "-R", "u+w", BUILD / made)
        shutil.rmtree(BUILD / made, ignore_errors=True)


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


class DebianSystem:
    def __init__(self, name, suite=SUITE, **environment):
        self.name, self.suite = name, suite
        self.environment = [
            f"PATH={PATH}", "LC_ALL=C", "HOME=/",
            "DEBIAN_FRONTEND=noninteractive",
            *(f"{k}={v}" for k, v in environment.items())]
        self.process, self.init, self.names = None, None, None
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="weir-debian-"))

    def make(self):
        """None, or why the mirror did not give it."""
        archive, why = base(self.suite)
        if why is not None:
            return why
        must("tar", "-C", self.root, "--numeric-owner", "-xpf", archive,
             timeout=INSTALL_S)
        # What is installed by apt after boot() is started; not before.
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        self.write("/etc/hosts", f"127.0.0.1 localhost\n"
                                 f"127.0.1.1 {self.name} "
                                 f"{self.name.split('.')[0]}\n")
        self.write("/etc/hostname", self.name + "\n")
        self.fetch("apt-get -q update")
        return None

    def fetch(self, command, cwd="/", timeout=INSTALL_S):
        """A shell command line inside, before boot(), on the network of this
        machine: what it prints."""
        return must("unshare", *NAMESPACES, "sh", "-ec", ENTER, "sh",
                    self.root, "shared", self.name, "env", "-i",
                    *self.environment, "sh", "-c", 'cd "$1" && eval "$2"',
                    "sh", cwd, command, timeout=timeout)

    def boot(self):
        self.fetch(f"{APT} install systemd-sysv dbus adduser ca-certificates"
                   " debconf-utils")
        self.path("/usr/sbin/policy-rc.d").unlink()
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
                   "-C", "-r", "-w", "env", "-i", *self.environment,
                   *become, "sh", "-c", 'cd "$1" && eval "$2"', "sh", cwd,
                   command, timeout=timeout)

    def must(self, command, **more):
        """What it prints, if it succeeds."""
        got = self.run(command, **more)
        assert got.returncode == 0, f"{command}\n{got.stdout[-3000:]}"
        return got.stdout

    def beside(self, *argv):
        """A program of this machine with the system's network."""
        return must("nsenter", "-t", self.init, "-n", *argv)

    def path(self, path):
        return self.root / str(path).lstrip("/")

    def write(self, path, text, mode=0o644):
        write(self.root, path, text, mode)

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
