# SPDX-License-Identifier: BSD-3-Clause
"""Real Redis servers on loopback, each with a directory of its own."""
import os
import pathlib
import signal
import socket
import subprocess

from harness import free_port, until


class Redis:
    def __init__(self, directory, *options, port=None, tls=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.options = options
        self.tls = tls  # PEM file with certificate and key
        self.process = None
        self.is_paused = False
        self.config = None

    @property
    def socket_path(self):
        return self.dir / "redis.sock"

    @property
    def url(self):
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}"

    def start(self):
        args = ["redis-server", *([str(self.config)] if self.config else []),
                "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--dir", str(self.dir),
                "--unixsocket", str(self.socket_path), *self.options]
        if self.tls:
            args += ["--port", "0", "--tls-port", str(self.port),
                     "--tls-cert-file", str(self.tls),
                     "--tls-key-file", str(self.tls),
                     "--tls-auth-clients", "no"]
        else:
            args += ["--port", str(self.port)]
        with open(self.dir / "redis.log", "ab") as log:
            self.process = subprocess.Popen(args, stdout=log, stderr=log)
        until(self.answers, "redis-server to start")
        return self

    def sentinel(self, *lines, name="mymaster"):
        """A sentinel of its own that watches it, not started yet."""
        s = Redis(self.dir / "sentinel", "--sentinel", tls=self.tls)
        s.config = s.dir / "sentinel.conf"
        s.config.write_text("\n".join((
            f"sentinel monitor {name} 127.0.0.1 {self.port} 1",
            f"sentinel down-after-milliseconds {name} 1000",
            f"sentinel failover-timeout {name} 5000", *lines, "")))
        return s

    def answers(self):
        try:
            return self.call("PING") in (b"+PONG", b"-NOAUTH")
        except OSError:
            return False

    def call(self, *words):
        """The first word of a simple answer, or a bulk string."""
        text = f"*{len(words)}\r\n".encode() + b"".join(
            b"$%d\r\n%s\r\n" % (len(w), w)
            for w in (str(x).encode() for x in words))
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.socket_path))
            s.sendall(text)
            got = s.makefile("rb")
            line = got.readline().rstrip()
            if line.startswith(b"$") and line != b"$-1":
                return got.read(int(line[1:]))
            return line.split(b" ")[0]

    def pause(self):
        self.is_paused = True
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        self.is_paused = False
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
