/* SPDX-License-Identifier: BSD-3-Clause */
/* What tests of the pool share: see nexthop_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "nexthop_world.h"

static void
on_ready(void *arg, int64_t now)
{
	struct user *u = arg;

	(void)now;
	assert_false(u->inside);
	u->ready = true;
}

static void
on_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	struct user *u = arg;

	(void)tag;
	u->code = reply->code;
	if (what == SMTP_CLIENT_DATA && reply->code == 354) {
		smtp_client_body(hop_client(u->hop), STR("hi\r\n"), now);
		smtp_client_end(hop_client(u->hop), 0, now);
	}
	u->ended = what == SMTP_CLIENT_END ||
		   (what == SMTP_CLIENT_DATA && reply->code >= 400);
	if (u->ended && u->put_at_end) {
		hop_put(u->hop, now);
		u->hop = NULL;
	}
}

static void
on_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
on_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct user *u = arg;

	(void)now;
	assert_false(u->inside);
	u->failed = true;
	u->hop = NULL;
	u->code = reply->code;
	str_copy(reply->text, u->text, sizeof(u->text));
}

static const struct hop_ops ops = {on_ready, on_reply, on_drain, on_fail, NULL};

int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->loop = loop_new();
	w->fake = fake_new(w->loop);
	w->second = fake_new(w->loop);
	w->addresses[0] = w->fake->address;
	w->addresses[1] = w->second->address;
	w->settings = (struct nexthop_settings){
	    .addresses = w->addresses,
	    .address_count = 1,
	    .hostname = "test.example.org",
	    .connect_timeout_ms = 5000,
	    .timeouts = {5000, 5000, 5000, 5000},
	    .connections_max = 10,
	    .idle_max = 10,
	    .idle_timeout_ms = 60000,
	    .rest_ms = 60000,
	};
	*state = w;
	return 0;
}

void
start(struct world *w)
{
	char err[256];

	w->n = nexthop_new(
	    w->loop, &w->settings, &w->counters, NULL, err, sizeof(err));
	assert_non_null(w->n);
}

int
teardown(void **state)
{
	struct world *w = *state;

	nexthop_free(w->n);
	fake_free(w->fake);
	fake_free(w->second);
	pump_turns(w->loop, 3);
	loop_free(w->loop);
	free(w);
	return 0;
}

void
get(struct user *u, struct world *w, bool fresh)
{
	*u = (struct user){.w = w, .inside = true, .put_at_end = true};
	u->hop = nexthop_get(w->n, fresh, &ops, u, loop_now(w->loop));
	u->inside = false;
	u->ready = hop_is_ready(u->hop);
}

void
wait_ready(struct user *u)
{
	assert_true(pump_until(u->w->loop, pump_is_set, &u->ready));
	u->reused = hop_is_reused(u->hop);
	str_copy(str_from(hop_name(u->hop)), u->name, sizeof(u->name));
}

void
put(struct user *u)
{
	hop_put(u->hop, loop_now(u->w->loop));
	u->hop = NULL;
}

void
send_message(struct user *u)
{
	struct smtp_client *c = hop_client(u->hop);
	const struct smtp_mail mail = {.from = STR("a@example.org")};
	const struct smtp_rcpt rcpt = {.to = STR("b@example.org")};
	int64_t now = loop_now(u->w->loop);

	u->ended = false;
	smtp_client_mail(c, &mail, 0, now);
	smtp_client_rcpt(c, &rcpt, 0, now);
	smtp_client_data(c, 0, now);
}

bool
is_over(void *arg)
{
	struct user *u = arg;

	return u->ended || u->failed;
}

bool
is_gone(void *arg)
{
	struct fake *f = arg;

	return f->open == 0;
}

struct count {
	const int *what;
	int wanted;
};

static bool
is_count(void *arg)
{
	const struct count *c = arg;

	return *c->what == c->wanted;
}

void
wait_count(struct world *w, const int *what, int wanted)
{
	struct count c = {what, wanted};

	assert_true(pump_until(w->loop, is_count, &c));
}
