# SPDX-License-Identifier: BSD-3-Clause
"""contrib/Containerfile: built from the release on a Debian of debootstrap's,
and run as an orchestrator would run it: read-only, without capabilities, as a
user that the image does not know, its secret a file. Mail goes through it to a
sink of this machine; its own network is a loopback."""
import json
import os
import resource
import shutil
import subprocess

import pytest

from debian_system import base, must, put_release, run
from debian_system import why_not as no_system
from harness import TOP, FastSink, until

WHAT = "the container image: built, run read-only as any user, stopped"
BUILD_S = 3600
UID, GID = "41234", "51234"
STOP_S = 60

# Podman's processes are in here, and end with it; what they keep outside their
# store, too. A child that ended is not waited for, since nobody is there who
# would.
HOLDER = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for dir in /var/lib/containers /run/crun /run/libpod /run/containers /dev/shm; do
    [ ! -d $dir ] || mount -t tmpfs tmpfs $dir
done
trap '' CHLD
echo
exec sleep infinity
"""

SEND = """
import smtplib, sys
with smtplib.SMTP("127.0.0.1", 2525, timeout=60) as s:
    for i in range(30):
        s.sendmail("alice@example.org", [f"r{i:02}@example.com"],
                   "Subject: hello\\r\\n\\r\\nhello\\r\\n")
"""

# Is taken at its word by a daemon that was told to stop in the meantime.
HALF = """
import socket, sys
s = socket.create_connection(("127.0.0.1", 2525), timeout=60)
f = s.makefile("rw", newline="\\r\\n")
for line in (None, "HELO x", "MAIL FROM:<alice@example.org>",
             "RCPT TO:<r00@example.com>", "DATA"):
    if line:
        print(line, file=f, flush=True)
    print(f.readline().strip(), flush=True)
sys.stdin.readline()
print("Subject: late\\n\\nlate\\n.", file=f, flush=True)
print(f.readline().strip(), flush=True)
"""


def why_not():
    """Why no container can be made here, or None."""
    why = no_system()
    if why is not None:
        return why
    for program in ("buildah", "podman", "crun"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


class Engine:
    """Buildah and podman with a store of their own."""

    def __init__(self, directory):
        self.store = ["--root", directory / "store", "--runroot",
                      directory / "run", "--storage-driver", "vfs"]
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--cgroup", "--fork",
             "--kill-child", "--mount-proc", "--propagation", "private",
             "sh", "-ec", HOLDER], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"\n"
        pid = self.holder.pid
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            self.enter = ["nsenter", "-t", children.read().split()[0], "-m",
                          "-p", "-C"]

    def stop(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def buildah(self, *argv, **kw):
        return must(*self.enter, "buildah", *self.store, *argv, **kw)

    def try_podman(self, *argv, **kw):
        # No timer of a systemd asks for its health.
        env = dict(os.environ, DISABLE_HC_SYSTEMD="true")
        return run(*self.enter, "podman", *self.store, "--cgroup-manager",
                   "cgroupfs", "--events-backend", "file", *argv, env=env,
                   **kw)

    def podman(self, *argv, **kw):
        got = self.try_podman(*argv, **kw)
        assert got.returncode == 0, f"{argv}: {got.stdout[-3000:]}"
        return got.stdout

    # Where root may not raise a limit, no container can have more.
    LIMITS = [f"--ulimit={name}={soft}:{hard}" for name, (soft, hard) in (
        ("nofile", resource.getrlimit(resource.RLIMIT_NOFILE)),
        ("nproc", resource.getrlimit(resource.RLIMIT_NPROC)))]

    def arguments(self, *more):
        """Of `podman run`, all that is to make it hard."""
        return ["run", "--network=none", "--cgroups=disabled", *self.LIMITS,
                "--read-only", "--read-only-tmpfs=false", "--cap-drop=all",
                "--security-opt=no-new-privileges", f"--user={UID}:{GID}",
                "--log-driver=k8s-file", *more]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    why = why_not()
    if why is not None:
        pytest.skip(why)
    archive, why = base()
    if why is not None:
        pytest.skip(why)
    top = tmp_path_factory.mktemp("container")
    made = Engine(top)
    try:
        got = made.try_podman("import", archive, "weir-test-base")
        if got.returncode != 0:
            pytest.skip(f"no images here: {got.stdout[-300:]}")
        got = made.try_podman(*made.arguments("--rm", "weir-test-base",
                                              "true"))
        if got.returncode != 0:
            pytest.skip(f"no containers here: {got.stdout[-300:]}")
        put_release(top / "release")
        made.buildah("build", "--isolation=chroot", "--format=docker",
                     "--build-arg=BASE=localhost/weir-test-base",
                     "--file", top / "release/contrib/Containerfile",
                     "--tag=weir", top / "release", timeout=BUILD_S)
        yield made
    finally:
        made.stop()
        shutil.rmtree(top, ignore_errors=True)


@pytest.mark.long(WHAT)
def test_what_the_image_says(engine):
    [image] = json.loads(engine.podman("image", "inspect", "weir"))
    config = image["Config"]
    user, _, group = config["User"].partition(":")
    assert int(user) > 0 and int(group) > 0
    assert list(config["ExposedPorts"]) == ["2525/tcp"]
    assert set(config["Volumes"]) == {"/var/lib/weir", "/run/weir"}
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert image["Healthcheck"]["Test"] == ["CMD", "weirctl", "status"]


@pytest.mark.long(WHAT)
def test_a_secret_is_a_file(engine, tmp_path):
    """That of an orchestrator, readable to root and one group; not one that
    everybody can read."""
    secret = tmp_path / "secret"
    secret.write_text("weir:secret\n")
    engine.podman("secret", "create", "next_hop", secret)
    conf = tmp_path / "weir.conf"
    text = (TOP / "contrib/weir-container.conf").read_text()
    was = '#next_hop_auth = "/run/secrets/next_hop"'
    assert was in text
    conf.write_text(text.replace(was, was[1:]) + "next_hop_tls = verify\n")

    def check(mode):
        return engine.try_podman(*engine.arguments(
            "--rm", f"--secret=next_hop,uid=0,gid={GID},mode={mode}",
            f"--volume={conf}:/etc/weir/weir.conf:ro", "weir", "-t"))

    got = check("0440")
    assert got.returncode == 0, got.stdout
    got = check("0444")
    assert got.returncode == 78, got.stdout
    assert "/run/secrets/next_hop" in got.stdout


def beside(engine, script, **kw):
    """Command line of a script of this machine with the container's network."""
    pid = engine.podman("inspect", "--format={{.State.Pid}}", "w").strip()
    return [*engine.enter, "nsenter", "-t", pid, "-n", "/usr/bin/python3",
            "-c", script]


@pytest.mark.long(WHAT)
def test_mail_passes_and_waits(engine, tmp_path):
    tmp_path.chmod(0o755)
    where = tmp_path / "sink"
    where.mkdir(mode=0o755)
    sink = FastSink(address=f"unix:{where / 'socket'}")
    (where / "socket").chmod(0o666)
    conf = tmp_path / "weir.conf"
    text = (TOP / "contrib/weir-container.conf").read_text()
    assert text.count('next_hop = {"mail:25"}') == 1
    conf.write_text(text.replace('"mail:25"', '"unix:/sink/socket"'))
    try:
        engine.podman(*engine.arguments(
            "--detach", "--name=w", "--volume=spool:/var/lib/weir",
            f"--volume={where}:/sink",
            f"--volume={conf}:/etc/weir/weir.conf:ro", "weir"))
        until(lambda: engine.try_podman("healthcheck", "run", "w").returncode
              == 0, "its health", pause_s=0.3)
        assert engine.podman("exec", "w", "id", "-u").strip() == UID
        for path in ("/x", "/etc/weir/x", "/tmp/x"):
            assert engine.try_podman("exec", "w", "touch",
                                     path).returncode != 0
        must(*beside(engine, SEND))

        def held():
            return json.loads(engine.podman("exec", "w", "weirctl", "--json",
                                            "queue"))

        passed = sink.wait_for(30 - len(held()))
        assert 10 <= len(passed) <= 12

        # A session that is in the middle of a message ends it.
        with subprocess.Popen(beside(engine, HALF), text=True,
                              stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as client:
            for code in ("220", "250", "250", "250", "354"):
                assert client.stdout.readline().startswith(code)
            engine.podman("kill", "--signal=TERM", "w")
            until(lambda: "maild drain" in engine.podman("logs", "w"),
                  "the signal to be seen", pause_s=0.2)
            assert client.communicate("\n")[0].startswith("250")
        assert engine.podman("wait", "w", timeout=STOP_S).strip() == "0"
        log = engine.podman("logs", "w")
        assert "maild stop status=0" in log, log

        # What was held is there again.
        engine.podman("start", "w")
        until(lambda: engine.try_podman("healthcheck", "run", "w").returncode
              == 0, "its health", pause_s=0.3)
        assert 18 <= len(held()) <= 20
        engine.podman("stop", f"--time={STOP_S}", "w", timeout=STOP_S)
        state = json.loads(engine.podman("inspect", "w"))[0]["State"]
        assert state["ExitCode"] == 0, engine.podman("logs", "w")
    finally:
        engine.try_podman("rm", "--force", "--time=0", "w")
        sink.stop()
