/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was sent, out of logs: every submission by a login, by a client in our
 * networks or by a program of the machine, at its own time; and mail from
 * elsewhere to us, which teaches. They become a trace whose numbers are names.
 */
#ifndef REPLAY_SUBMISSIONS_H
#define REPLAY_SUBMISSIONS_H

#include "gate/locals.h"
#include "replay/join.h"
#include "replay/trace.h"

struct submission {
	int64_t at;
	uint64_t key;
	uint32_t user, sender; /* names; 0: none, or null */
	struct ip client;
	struct join_place place;
	uint32_t first, count; /* recipients */
	bool has_client, is_local, has_sender;
	bool comes_in;
};

struct submissions_stats {
	uint64_t requests, incoming;
	uint64_t passing; /* from elsewhere to elsewhere: not ours */
	uint64_t doubles; /* in two files */
	uint64_t full;    /* past what a trace may hold */
};

struct submissions {
	struct names *names;
	struct submission *v;
	uint32_t *recipients;
	uint32_t count, recipient_count, cap, recipient_cap;
	struct submissions_stats stats;
	int64_t start; /* wall ms of the trace's first second */
	struct trace trace;
	struct trace_nodes nodes;
	uint32_t *of; /* submission of each message of the trace */
};

void submissions_init(struct submissions *s);
void submissions_clear(struct submissions *s);
/* join's on_message. */
void submissions_add(void *submissions, const struct join_message *m);
/* What comes after @ in logins, else in senders from our clients: added where
 * nothing says which domains are local. Returns how many. */
size_t submissions_guess_domains(
    const struct submissions *s, struct locals *locals);
/* Sorts, and makes the trace. Once. */
void submissions_finish(struct submissions *s, const struct locals *locals);

#endif
