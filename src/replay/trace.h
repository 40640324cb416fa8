/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A trace of mail in its normal form, numbers alone: who sent to whom, and
 * when.
 *
 *	messages	t sender recipient ...	one a line; t in seconds from
 *						the first, never backwards
 *	nodes		id user internal domain	user 1: the trace shows all that
 *						this person sent; internal 1: an
 *						address of the organisation;
 *						domain a number, 0: not known
 *
 * Both are read line by line, checked and bounded. Pure.
 */
#ifndef REPLAY_TRACE_H
#define REPLAY_TRACE_H

#include "base/err.h"
#include "base/str.h"

#define TRACE_SECONDS_MAX 1500000000 /* 47 years */
#define TRACE_ID_MAX 0xffffff
#define TRACE_MESSAGES_MAX 20000000
#define TRACE_RECIPIENTS_MAX 50000000

struct trace_message {
	uint32_t seconds;
	uint32_t sender;
	uint32_t first, count; /* in the trace's recipients */
};

struct trace {
	struct trace_message *messages;
	uint32_t *recipients;
	uint32_t message_count, recipient_count;
	uint32_t message_cap, recipient_cap;
	uint32_t id_max; /* of senders and recipients */
};

struct trace_node {
	bool is_listed, is_user, is_internal;
	uint32_t domain;
};

struct trace_nodes {
	struct trace_node *v; /* by id */
	uint32_t count;       /* above the largest id */
};

/* False: what is wrong with the line in why. lines_fn. */
MUST_CHECK bool trace_add_line(void *trace, struct str line, struct err *why);
MUST_CHECK bool trace_nodes_add_line(
    void *nodes, struct str line, struct err *why);
void trace_clear(struct trace *t);
void trace_nodes_clear(struct trace_nodes *n);
/* One that is not listed is outside, and of no known domain. */
struct trace_node trace_node(const struct trace_nodes *n, uint32_t id);

#endif
