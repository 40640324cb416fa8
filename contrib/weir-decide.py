#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Asks weir whether a source of an application may reach destinations, as a
program would that sends instant messages or short messages, or has a contact
form. The standard library is all that it needs.

usage: weir-decide.py URL TOKEN-FILE APPLICATION SOURCE DESTINATION...

A line for each destination: the destination, pass, hold or refuse, and for
hold after how many seconds to ask again. Exit status 0: all pass, 75: some have
to wait, 77: some are refused, 1: weir could not be asked.
"""
import json
import sys
import urllib.error
import urllib.request
import uuid


def decide(url, token, application, source, destinations):
    """The answer of POST /api/v1/decide. The key makes it safe to ask once
    more when no answer came."""
    request = urllib.request.Request(
        url.rstrip("/") + "/api/v1/decide",
        data=json.dumps({"application": application, "source": source,
                         "destinations": destinations}).encode(),
        headers={"Authorization": "Bearer " + token,
                 "Content-Type": "application/json",
                 "Idempotency-Key": str(uuid.uuid4())})
    for last in (False, True):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 429:  # all of them are refused
                return json.load(error)
            raise
        except OSError:
            if last:
                raise


def main():
    if len(sys.argv) < 6:
        print(__doc__, file=sys.stderr)
        return 2
    url, token_file, application, source, *destinations = sys.argv[1:]
    try:
        with open(token_file, encoding="ascii") as f:
            token = f.read().strip()
        answer = decide(url, token, application, source, destinations)
    except OSError as error:
        print(f"weir-decide: {error}", file=sys.stderr)
        return 1
    verdicts = set()
    for row in answer["destinations"]:
        verdicts.add(row["verdict"])
        retry = row["retry_after_s"]
        print(row["destination"], row["verdict"],
              *([retry] if retry is not None else []))
    return 77 if "refuse" in verdicts else 75 if "hold" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
