# SPDX-License-Identifier: BSD-3-Clause
"""The clients of the interoperability matrix. Each has send(cells), which
returns when every cell has its reply: from weir itself, or from the mail server
that carries it on to weir."""
import base64
import concurrent.futures
import json
import os
import smtplib
import subprocess

from interop_cells import domain_of

AT_ONCE = 4
PROGRAM_S = 240
NAME = "relay.weir.test"


def each(cells, send):
    """send(cell) returns (taken, reply); some cells at a time."""
    def one(cell):
        taken, cell.reply = send(cell)
        cell.taken = taken

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, cells))


def smtp_send(session, cell):
    options = {"utf8": ["SMTPUTF8", "BODY=8BITMIME"],
               "8-bit": ["BODY=8BITMIME"]}.get(cell.kind, [])
    try:
        refused = session.sendmail(cell.sender, cell.rcpts, cell.text(),
                                   mail_options=options)
    except (smtplib.SMTPException, OSError) as error:
        return False, repr(error)
    return not refused, f"taken, but for {refused}"


class Smtplib:
    def __init__(self, pki):
        self.context = pki.client()

    def send(self, cells):
        each(cells, self.one)

    def one(self, cell):
        with smtplib.SMTP("127.0.0.1", cell.port, "client.test",
                          timeout=PROGRAM_S) as session:
            if cell.tls:
                session._host = NAME
                session.starttls(context=self.context)
            return smtp_send(session, cell)


class Program:
    """One process for each message, which reads it from its input."""

    def __init__(self, pki):
        self.ca = pki.ca

    def send(self, cells):
        each(cells, self.one)

    def one(self, cell):
        done = subprocess.run(
            self.command(cell), input=self.input(cell), capture_output=True,
            timeout=PROGRAM_S)
        return (done.returncode == 0,
                (done.stdout + done.stderr).decode("utf-8", "replace"))

    def input(self, cell):
        return cell.text()


class Msmtp(Program):
    def command(self, cell):
        tls = ["--tls=on", f"--tls-trust-file={self.ca}",
               f"--tls-host-override={NAME}"] if cell.tls else ["--tls=off"]
        return ["msmtp", "--host=127.0.0.1", f"--port={cell.port}", *tls,
                "--domain=client.test", f"--from={cell.sender}", "--",
                *cell.rcpts]

    def input(self, cell):
        return cell.text().replace(b"\r\n", b"\n")


class Swaks(Program):
    def command(self, cell):
        tls = ["--tls", "--tls-verify", "--tls-ca-path", self.ca,
               "--tls-sni", NAME] if cell.tls else []
        return ["swaks", "--server", "127.0.0.1", "--port", str(cell.port),
                "--ehlo", "client.test", "--from", cell.sender, "--to",
                ",".join(cell.rcpts), "--silent", "1", "--no-data-fixup",
                "--data", "-", *tls]

    def input(self, cell):
        return dotted(cell.text()) + b"."


def dotted(text):
    return text.replace(b"\r\n.", b"\r\n..")


NODE = r"""
const nodemailer = require('nodemailer');
const fs = require('fs');
const [ca, name, atOnce] = process.argv.slice(1);
const jobs = fs.readFileSync(0, 'utf8').split('\n').filter(l => l)
    .map(l => JSON.parse(l));

async function one(job) {
    const transport = nodemailer.createTransport({
        host: '127.0.0.1', port: job.port, name: 'client.test',
        requireTLS: job.tls, ignoreTLS: !job.tls,
        tls: {ca: fs.readFileSync(ca), servername: name},
    });
    try {
        const info = await transport.sendMail({
            envelope: {from: job.from, to: job.to},
            raw: Buffer.from(job.text, 'base64'),
        });
        return [info.rejected.length === 0, info.response];
    } catch (error) {
        return [false, `${error.code}: ${error.message}`];
    } finally {
        transport.close();
    }
}

async function worker() {
    for (let job; (job = jobs.shift()) !== undefined;)
        console.log(JSON.stringify([job.key, ...await one(job)]));
}

for (let i = 0; i < Number(atOnce); i++)
    worker();
"""


class Nodemailer:
    def __init__(self, pki):
        self.ca = pki.ca

    def send(self, cells):
        jobs = "".join(json.dumps({
            "key": c.key, "port": c.port, "tls": c.tls, "from": c.sender,
            "to": c.rcpts, "text": base64.b64encode(c.text()).decode(),
        }) + "\n" for c in cells)
        done = subprocess.run(
            ["node", "-e", NODE, "--", str(self.ca), NAME, str(AT_ONCE)],
            input=jobs, capture_output=True, text=True, timeout=PROGRAM_S,
            env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})
        by_key = {c.key: c for c in cells}
        for line in done.stdout.splitlines():
            key, taken, reply = json.loads(line)
            by_key[key].taken, by_key[key].reply = taken, reply
        if done.returncode != 0:
            print(done.stderr)


class Server:
    """A mail server that is given the message by SMTP, and carries it on."""

    def __init__(self, port):
        self.port = port

    def send(self, cells):
        each(cells, self.one)

    def one(self, cell):
        with smtplib.SMTP("127.0.0.1", self.port, "user.test",
                          timeout=PROGRAM_S) as session:
            return smtp_send(session, cell)


def domains(hop, tls):
    return [domain_of(hop, tls, held) for held in (False, True)]
