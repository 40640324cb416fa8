#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A stolen account, played: one sender mails many strangers as fast as the
server lets it, one message each, and counts the answers. Loopback only."""
import argparse
import collections
import ipaddress
import smtplib
import sys


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:2525")
    parser.add_argument("--from", dest="sender", default="mallory@example.org")
    parser.add_argument("--strangers", type=int, default=200)
    parser.add_argument("--first", type=int, default=1,
                        help="number of the first stranger")
    args = parser.parse_args()
    args.host, _, port = args.server.rpartition(":")
    args.port = int(port)
    if not ipaddress.ip_address(args.host).is_loopback:
        parser.error("this plays an attack: loopback addresses only")
    return args


def word(text):
    return text.decode("utf-8", "replace").replace("\n", " ")


def kind(code, text):
    if code == 250:
        return "held" if "held" in word(text) else "passed"
    return f"refused with {code}"


def send(smtp, sender, rcpt):
    """The last answer of one message."""
    code, text = smtp.mail(sender)
    if code == 250:
        code, text = smtp.rcpt(rcpt)
    if code != 250:
        smtp.rset()
        return code, text
    return smtp.data(f"From: {sender}\r\nTo: {rcpt}\r\n"
                     "Subject: You have won\r\n\r\nClick here.\r\n")


def main():
    args = arguments()
    counts, last = collections.Counter(), {}
    with smtplib.SMTP(args.host, args.port) as smtp:
        smtp.ehlo("stolen.example.org")
        for i in range(args.first, args.first + args.strangers):
            try:
                code, text = send(smtp, args.sender,
                                  f"stranger{i}@example.com")
            except smtplib.SMTPServerDisconnected:
                smtp.connect(args.host, args.port)
                smtp.ehlo("stolen.example.org")
                code, text = 421, b"connection closed"
            what = kind(code, text)
            counts[what] += 1
            last[what] = word(text)
    for what, n in counts.most_common():
        print(f"{n:6} {what:18} {last[what]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
