/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rig's transactions: asking, storing what is held as a front would, and
 * delivering what was released. See gate_rig.h.
 */
#include "gate_rig.h"

#define RCPTS_MAX 4096

static void
on_answer(void *arg, const struct gate_answer *answer)
{
	struct rig *r = arg;

	r->answers++;
	r->verdict = answer->verdict;
	r->observed = answer->observed;
	r->code = answer->code;
	assert_non_null(answer->why);
	snprintf(r->why, sizeof(r->why), "%s", answer->why);
	r->text[0] = r->enhanced[0] = '\0';
	if (answer->verdict != THROTTLE_REFUSE)
		return;
	assert_true(strlen(answer->text) < 400);
	assert_true(str_is_ascii(str_from(answer->text)));
	assert_null(strpbrk(answer->text, "\r\n"));
	snprintf(r->text, sizeof(r->text), "%s", answer->text);
	snprintf(r->enhanced, sizeof(r->enhanced), "%s", answer->enhanced);
}

struct gate_txn *
rig_begin(struct rig *r, const char *user)
{
	struct gate_facts facts = {
	    .user = str_from(user), .client = {.family = IP_NONE}};

	return gate_begin(r->gate, &facts, r->now);
}

void
rig_sender(struct rig *r, struct gate_txn *txn)
{
	gate_sender(txn, r->now, r->wall, on_answer, r);
}

enum throttle_verdict
rig_ask(struct rig *r, struct gate_txn *txn, const char *address)
{
	unsigned before = r->answers;

	gate_recipient(txn, str_from(address), r->now, r->wall, on_answer, r);
	if (r->answers == before) /* whom it knows has to be read */
		rig_pump(r);
	assert_int_equal(r->answers, before + 1);
	return r->verdict;
}

static void
on_put(void *arg, int error)
{
	int *result = arg;

	*result = error;
}

/* Addresses are not kept by the gate: the hash stands for one. */
static size_t
fill_rcpts(struct gate_txn *txn, uint64_t id, struct spool_rcpt *rcpts,
    char (*names)[32], uint64_t *tickets)
{
	bool whole = gate_txn_is_whole(txn);
	size_t n = 0;

	for (size_t i = 0; i < gate_txn_count(txn); i++) {
		bool held = gate_txn_verdict(txn, i) == THROTTLE_HOLD;

		tickets[i] = 0;
		if (!held && !whole)
			continue;
		snprintf(names[n], sizeof(*names), "%016llx",
		    (unsigned long long)gate_txn_destination(txn, i));
		rcpts[n] = (struct spool_rcpt){
		    .address = names[n],
		    .destination = gate_txn_destination(txn, i),
		    .lane = gate_txn_lane(txn, i),
		    .state = held ? SPOOL_HELD : SPOOL_RELEASED,
		};
		tickets[i] = SPOOL_TICKET(id, n);
		n++;
	}
	return n;
}

uint64_t
rig_commit(struct rig *r, struct gate_txn *txn)
{
	uint64_t id = spool_new_id(r->spool, r->wall);
	struct spool_rcpt *rcpts = xcalloc(RCPTS_MAX, sizeof(*rcpts));
	uint64_t *tickets = xcalloc(RCPTS_MAX, sizeof(*tickets));
	char(*names)[32] = xcalloc(RCPTS_MAX, sizeof(*names));
	size_t n = fill_rcpts(txn, id, rcpts, names, tickets);
	struct spool_message m = {
	    .id = id,
	    .source = gate_txn_source(txn),
	    .policy = gate_txn_policy(txn),
	    .from = "",
	    .client = "127.0.0.1",
	    .helo = "test",
	    .whole = gate_txn_is_whole(txn),
	    .queued_at = r->wall,
	    .rcpts = rcpts,
	    .rcpt_count = n,
	};
	int error = 0;

	if (n > 0) {
		struct spool_body *body = spool_body_new(r->spool, id);

		spool_body_write(body, "Subject: x\r\n\r\ny\r\n", 17);
		error = -1;
		spool_put(r->spool, &m, body, on_put, &error);
		rig_pump(r);
		assert_int_equal(error, 0);
	}
	gate_commit(txn, tickets, r->now, r->wall);
	rig_pump(r);
	free(rcpts);
	free(tickets);
	free(names);
	return n > 0 ? id : 0;
}

enum throttle_verdict
rig_send(struct rig *r, const char *user, const char *address)
{
	struct gate_txn *txn = rig_begin(r, user);
	enum throttle_verdict verdict;

	rig_sender(r, txn);
	if (r->verdict == THROTTLE_REFUSE) {
		gate_cancel(txn, r->now);
		return THROTTLE_REFUSE;
	}
	verdict = rig_ask(r, txn, address);
	if (verdict == THROTTLE_REFUSE)
		gate_cancel(txn, r->now);
	else
		rig_commit(r, txn);
	return verdict;
}

struct rig_counts
rig_send_many(struct rig *r, const char *user, const char *prefix, unsigned n)
{
	struct rig_counts counts = {0};

	for (unsigned i = 0; i < n; i++) {
		char address[64];

		snprintf(
		    address, sizeof(address), "%s%u@example.com", prefix, i);
		switch (rig_send(r, user, address)) {
		case THROTTLE_PASS:
			counts.passed++;
			break;
		case THROTTLE_HOLD:
			counts.held++;
			break;
		case THROTTLE_REFUSE:
			counts.refused++;
			break;
		}
	}
	return counts;
}

/* ---- delivering ---- */

struct delivery {
	struct rig *r;
	struct buf *out;
	unsigned n;
	bool more;
};

static void
on_finished(void *arg, int error)
{
	(void)arg;
	assert_int_equal(error, 0);
}

static void
on_claim(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t next_due)
{
	struct delivery *d = arg;

	(void)next_due;
	assert_int_equal(error, 0);
	d->more = n > 0;
	for (size_t i = 0; i < n; i++) {
		const struct spool_message *m = &jobs[i]->m;

		for (size_t k = 0; k < m->rcpt_count; k++) {
			struct spool_result result = {
			    .ticket = m->rcpts[k].ticket,
			    .outcome = SPOOL_DELIVERED,
			};

			d->n++;
			if (d->out != NULL)
				assert_true(buf_printf(
				    d->out, "%s ", m->rcpts[k].address));
			spool_finish(d->r->spool, &result, 1, NULL,
			    (struct str){0}, on_finished, NULL);
		}
		spool_job_free(jobs[i]);
	}
}

unsigned
rig_deliver(struct rig *r, struct buf *addresses)
{
	struct delivery d = {.r = r, .out = addresses, .more = true};

	while (d.more) {
		d.more = false;
		spool_claim(r->spool, 100, r->wall, on_claim, &d);
		rig_pump(r);
	}
	return d.n;
}
