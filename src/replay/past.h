/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last day as weir-maild keeps it (gate/history.h), a message a line in
 * JSON, the oldest first:
 *
 *	{"at": 1767261600000, "source": "alice", "policy": "default",
 *	 "user": "alice", "from": "alice@example.org", "helo": "pc",
 *	 "client": "192.0.2.1", "local": false, "by_command": false,
 *	 "front_end": false, "recipients": [{"address": "bob@example.com",
 *	 "known": true, "exempt": false, "waited": false, "put_off": false}]}
 *
 * What is false or empty may be left out. Read line by line, checked and
 * bounded. Pure.
 */
#ifndef REPLAY_PAST_H
#define REPLAY_PAST_H

#include "gate/policy.h"

#define PAST_MAILS_MAX 5000000
#define PAST_RECIPIENTS_MAX 4096 /* of a message */

struct past_recipient {
	struct str address;
	bool known, exempt, waited;
};

struct past_mail {
	int64_t at; /* ms since the first */
	struct str source, policy;
	struct gate_facts facts;
	struct past_recipient *recipients;
	uint32_t count;
	bool put_off;
	char *texts; /* what the slices point into */
};

struct past {
	struct past_mail *mails;
	uint32_t count, cap;
	int64_t began; /* wall ms, of the first */
};

/* False: what is wrong with the line in why. lines_fn. */
MUST_CHECK bool past_add_line(
    void *past, struct str line, char *why, size_t cap);
void past_clear(struct past *p);

#endif
