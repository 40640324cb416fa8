/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A gate that learns in passing, and mail that comes in.
 */
#ifndef INBOUND_RIG_H
#define INBOUND_RIG_H

#include "gate_rig.h"

#include <errno.h>

#define MINUTE 60000
#define HOUR (60 * MINUTE)
#define DAY (24 * (int64_t)HOUR)
#define RATE " inbound_rate = \"3/1d\" "
/* Who comes in is not held; who goes out has no allowance at all. */
#define LEARN                                                       \
	"policy \"default\" { burst = 1 initial = 0 "               \
	"interval = \"1d\" exempt_recipients = {\"@example.org\"} " \
	"learn_inbound = yes " RATE "}"
#define NO_LEARN                                      \
	"policy \"default\" { burst = 1 initial = 0 " \
	"interval = \"1d\" exempt_recipients = {\"@example.org\"} }"
#define ALICE "alice@example.org"
#define BOB "bob@example.net"

static inline void
add(struct rig *r, const char *domain, const char *user)
{
	char err[200];

	if (domain != NULL)
		assert_true(locals_add_domain(
		    r->settings.locals, str_from(domain), err, sizeof(err)));
	if (user != NULL)
		assert_true(locals_add_user(
		    r->settings.locals, str_from(user), err, sizeof(err)));
}

static inline void
open_as(struct rig *r, const char *policies, enum locals_source source)
{
	rig_open(r, policies);
	r->settings.locals = locals_new(source, r->settings.recipient_key);
	locals_clear_internal(r->settings.locals); /* nobody is familiar */
	r->settings.acquaintances_bytes = 1 << 20;
	add(r, "example.org", NULL);
	gate_reload(r->gate, &r->settings, r->now);
}

static inline void
close_rig(struct rig *r)
{
	locals_free(r->settings.locals);
	r->settings.locals = NULL;
	rig_close(r);
}

static inline void
on_answer(void *arg, const struct gate_answer *answer)
{
	enum throttle_verdict *verdict = arg;

	*verdict = answer->verdict;
}

static inline struct gate_txn *
begin_in(struct rig *r, const char *from)
{
	struct gate_facts facts = {.sender = str_from(from), .teaches = true};

	assert_true(ip_parse(STR("192.0.2.1"), &facts.client));
	return gate_begin(r->gate, &facts, r->now);
}

static inline enum throttle_verdict
ask_in(struct rig *r, struct gate_txn *txn, const char *to)
{
	enum throttle_verdict verdict = (enum throttle_verdict) - 1;

	gate_recipient(txn, str_from(to), r->now, r->wall, on_answer, &verdict);
	if (verdict == (enum throttle_verdict) - 1) /* a row has to be read */
		rig_pump(r);
	return verdict;
}

/* Mail from outside, accepted. */
static inline void
mail_in(struct rig *r, const char *from, const char *to)
{
	struct gate_txn *txn = begin_in(r, from);

	ask_in(r, txn, to);
	gate_commit(txn, NULL, r->now, r->wall);
}

static inline void
on_recalled(void *arg)
{
	*(bool *)arg = true;
}

/* Whom it knows, read from the disk if need be. False: nobody of that name. */
static inline bool
recall_info(struct rig *r, const char *user, struct gate_sender_info *out)
{
	bool is_done = false;

	gate_recall(
	    r->gate, str_from(user), r->now, r->wall, on_recalled, &is_done);
	rig_pump(r);
	assert_true(is_done);
	return rig_info(r, user, out);
}

/* Known from incoming mail alone. */
static inline uint32_t
learnt(struct rig *r, const char *user)
{
	struct gate_sender_info info;

	return recall_info(r, user, &info) ? info.known.met : 0;
}

#endif
