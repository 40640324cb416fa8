/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goes by the pool of connections (delivery/nexthop.h), so that names, TLS and
 * the greeting are tried as a delivery would. A start waits a while, since a
 * mail server that starts beside it is to be no next hop that rests, and asks
 * twice before it warns.
 */
#include "maild/maild_probe.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 3000
#define AGAIN_MS 10000
/* The mail server shows a connection to its filters before it greets, but the
 * filter's thread may be slow to look. */
#define LOOK_MS 1000
#define TRIES 2
#define KINDS 2 /* next_hop, milter_next_hop */

/* ---- -t ---- */

struct check;

struct checked {
	struct check *check;
	const char *option, *address;
	struct nexthop *pool;
	struct hop *hop; /* NULL: it has failed, or was not begun */
	bool is_over;
};

struct check {
	struct loop *loop;
	size_t left;
	maild_warn_fn *fn;
	void *arg;
};

static void
check_over(struct checked *t)
{
	t->is_over = true;
	if (--t->check->left == 0)
		loop_stop(t->check->loop);
}

static void
check_warn(const struct checked *t, struct str why)
{
	char text[800];

	snprintf(text, sizeof(text),
	    "%s: %s: %.*s; released mail waits until it can be reached",
	    t->option, t->address, STR_ARG(why));
	t->check->fn(t->check->arg, text);
}

static void
on_check_ready(void *arg, int64_t now)
{
	(void)now;
	check_over(arg);
}

static void
on_check_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct checked *t = arg;

	(void)now;
	t->hop = NULL;
	if (t->is_over)
		return;
	check_warn(t, reply->text);
	check_over(t);
}

static void
on_check_deadline(void *arg, int64_t now)
{
	struct check *c = arg;

	(void)now;
	loop_stop(c->loop);
}

static const struct hop_ops check_ops = {
    .on_ready = on_check_ready,
    .on_fail = on_check_fail,
};

static void
check_begin(
    struct checked *t, const struct maild_config *c, struct counters *counters)
{
	struct nexthop_settings s = c->hop;
	char err[256];

	s.addresses = &t->address;
	s.address_count = 1;
	s.credentials = NULL;
	t->pool =
	    nexthop_new(t->check->loop, &s, counters, NULL, err, sizeof(err));
	if (t->pool == NULL) {
		check_warn(t, str_from(err));
		check_over(t);
		return;
	}
	t->hop =
	    nexthop_get(t->pool, true, &check_ops, t, loop_now(t->check->loop));
}

static void
check_end(struct checked *t)
{
	if (t->pool == NULL)
		return;
	if (!t->is_over)
		check_warn(t, STR("no greeting within 3 seconds"));
	t->is_over = true;
	if (t->hop != NULL)
		hop_drop(t->hop);
	nexthop_free(t->pool);
}

void
maild_probe_wait(const struct maild_config *c, maild_warn_fn *fn, void *arg)
{
	const struct {
		const char *option;
		const struct option_strings *addresses;
	} kinds[KINDS] = {{"next_hop", &c->next_hop},
	    {"milter_next_hop", &c->milter_next_hop}};
	size_t n = c->next_hop.n + c->milter_next_hop.n, filled = 0;
	struct check check = {.left = n, .fn = fn, .arg = arg};
	struct checked *v = xcalloc(n, sizeof(*v));
	struct counters counters = {.v = {0}};
	struct loop_timer deadline;

	check.loop = loop_new();
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < kinds[k].addresses->n; i++)
			v[filled++] = (struct checked){.check = &check,
			    .option = kinds[k].option,
			    .address = kinds[k].addresses->v[i]};
	}
	loop_timer_init(&deadline, check.loop, on_check_deadline, &check);
	loop_timer_set(&deadline, loop_now(check.loop) + WAIT_MS);
	for (size_t i = 0; i < n; i++)
		check_begin(&v[i], c, &counters);
	loop_run(check.loop);
	for (size_t i = 0; i < n; i++)
		check_end(&v[i]);
	loop_timer_clear(&deadline);
	loop_free(check.loop);
	free(v);
}

/* ---- the start ---- */

struct probe {
	struct maild *m;
	const char *option;
	struct nexthop *pool;
	struct hop *hop; /* NULL: none in hand */
	unsigned tries;
	bool is_ready;
	struct loop_timer timer; /* for the next try, or the end of looking */
};

struct maild_probe {
	struct probe v[KINDS];
	size_t left;
};

static void
probe_over(struct probe *p)
{
	struct maild *m = p->m;

	if (--m->probe->left == 0)
		milter_expect_own(m->milter, false);
}

static void
on_probe_ready(void *arg, int64_t now)
{
	struct probe *p = arg;

	p->is_ready = true;
	loop_timer_set(&p->timer, now + LOOK_MS);
}

static void
on_probe_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct probe *p = arg;
	char text[800];

	p->hop = NULL;
	if (p->is_ready) /* it was there */
		return;
	if (++p->tries < TRIES) {
		loop_timer_set(&p->timer, now + AGAIN_MS);
		return;
	}
	snprintf(text, sizeof(text),
	    "%s: %.*s; released mail waits until it can be reached", p->option,
	    STR_ARG(reply->text));
	maild_on_warning(p->m, text);
	probe_over(p);
}

static const struct hop_ops probe_ops = {
    .on_ready = on_probe_ready,
    .on_fail = on_probe_fail,
};

static void
on_probe_timer(void *arg, int64_t now)
{
	struct probe *p = arg;

	if (p->is_ready) {
		if (p->hop != NULL)
			hop_put(p->hop, now);
		p->hop = NULL;
		probe_over(p);
		return;
	}
	p->hop = nexthop_get(p->pool, false, &probe_ops, p, now);
	if (hop_is_ready(p->hop))
		on_probe_ready(p, now);
}

void
maild_probe_start(struct maild *m)
{
	const struct {
		const char *option;
		struct nexthop *pool;
	} kinds[KINDS] = {
	    {"next_hop", m->nexthop}, {"milter_next_hop", m->rest_hop}};

	if (m->milter == NULL)
		return;
	m->probe = xcalloc(1, sizeof(*m->probe));
	milter_expect_own(m->milter, true);
	for (size_t i = 0; i < KINDS; i++) {
		struct probe *p = &m->probe->v[i];

		if (kinds[i].pool == NULL)
			continue;
		*p = (struct probe){
		    .m = m, .option = kinds[i].option, .pool = kinds[i].pool};
		loop_timer_init(&p->timer, m->loop, on_probe_timer, p);
		loop_timer_set(&p->timer, loop_now(m->loop) + AGAIN_MS);
		m->probe->left++;
	}
}

void
maild_probe_stop(struct maild *m)
{
	if (m->probe == NULL)
		return;
	for (size_t i = 0; i < KINDS; i++) {
		struct probe *p = &m->probe->v[i];

		if (p->m == NULL)
			continue;
		loop_timer_clear(&p->timer);
		if (p->hop != NULL)
			hop_drop(p->hop);
	}
	free(m->probe);
	m->probe = NULL;
}
