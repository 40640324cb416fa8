/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The spool's life of a message: put, settle, release, claim, results.
 */
#include "spool_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct spool_select all = {.all = true};

static struct spool_stats
stats(struct kit *k)
{
	struct spool_stats st;

	spool_stats(k->spool, &st);
	return st;
}

static void
test_ids(void **state)
{
	struct kit k;
	char text[SPOOL_ID_TEXT];
	uint64_t a, b, c, parsed;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	a = spool_new_id(k.spool, KIT_WALL);
	b = spool_new_id(k.spool, KIT_WALL);
	c = spool_new_id(k.spool, KIT_WALL - 100000);
	assert_true(a < b && b < c);
	assert_int_equal(0, a & 0xfff);
	assert_int_equal(a, SPOOL_ID(SPOOL_TICKET(a, 4095)));
	assert_int_equal(13, strlen(spool_id_format(a, text)));
	assert_true(spool_id_parse(str_from(text), &parsed));
	assert_int_equal(a, parsed);
	assert_false(spool_id_parse(STR("0000000000000"), &parsed));
	assert_false(spool_id_parse(STR("ZZZZZZZZZZZZZ"), &parsed));
	assert_false(spool_id_parse(STR("000000000000U"), &parsed));
	assert_false(spool_id_parse(STR("0000000000001"), &parsed));
	assert_false(spool_id_parse(STR("000000001000"), &parsed));
	/* A restart with a clock that went back. */
	kit_close(&k);
	kit_open(&k);
	a = spool_new_id(k.spool, KIT_WALL - 3600000);
	assert_true(a > c);
	kit_clear(&k);
}

/* Messages of the same millisecond at several relays. */
static void
test_ids_of_relays(void **state)
{
	static const char *const names[] = {"mx1.test", "mx2.test", "mx3.test"};
	uint64_t ids[ARRAY_LEN(names)], next;
	struct kit k;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		kit_init(&k);
		k.settings.relay = names[i];
		kit_open(&k);
		ids[i] = spool_new_id(k.spool, KIT_WALL);
		assert_int_equal(spool_id_wall(ids[i]), KIT_WALL);
		assert_int_equal(0, ids[i] & 0xfff);
		for (size_t n = 0; n < i; n++)
			assert_true(ids[n] != ids[i]);
		next = spool_new_id(k.spool, KIT_WALL);
		assert_true(next > ids[i]);
		assert_true(spool_new_id(k.spool, KIT_WALL + 1) > next);
		kit_clear(&k);
	}
}

static void
check_listed(struct kit *k, uint64_t id)
{
	struct kit_list l = kit_list_all(k);

	assert_int_equal(0, l.error);
	assert_int_equal(1, l.n);
	assert_int_equal(id, l.v[0].id);
	assert_int_equal(2, l.v[0].rcpts);
	assert_int_equal(SPOOL_HELD, l.v[0].state);
	assert_int_equal(1000, l.v[0].size);
	assert_string_equal("alice@example.org", l.v[0].from);
	assert_string_equal("r0@example.net", l.v[0].address);
}

static void
test_put_and_reopen(void **state)
{
	struct kit k;
	uint64_t id;
	uint64_t seed;
	char *text, *want;
	size_t n;
	int error;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	id = kit_add(&k, 2, SPOOL_HELD, 1000, NULL);
	check_listed(&k, id);
	assert_int_equal(1, stats(&k).messages);
	assert_int_equal(2, stats(&k).recipients[SPOOL_HELD]);
	seed = spool_seed(k.spool);
	assert_true(spool_is_idle(k.spool));
	kit_close(&k);
	kit_open(&k);
	assert_true(seed == spool_seed(k.spool));
	check_listed(&k, id);
	assert_int_equal(2, stats(&k).recipients[SPOOL_HELD]);
	text = kit_body(&k, id, &n, &error);
	want = kit_text(id, 1000);
	assert_int_equal(1000, n);
	assert_string_equal(want, text);
	free(text);
	free(want);
	assert_null(kit_body(&k, id + 4096, &n, &error));
	assert_int_equal(ENOENT, error);
	kit_clear(&k);
}

/* What the next hop must offer survives; what this weir does not know of stops
 * the message. */
static void
test_needs(void **state)
{
	struct kit k;
	struct kit_message m;
	struct kit_claim c;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (unsigned i = 0; i < 4; i++) {
		kit_message(&k, &m, 1, SPOOL_RELEASED);
		m.m.utf8 = (i & 1) != 0;
		m.m.require_tls = (i & 2) != 0;
		m.m.rest = (i & 1) == 0;
		assert_int_equal(0, kit_put(&k, &m.m, 10));
	}
	kit_close(&k);
	kit_open(&k);
	kit_claim(&k, 10, INT64_MAX / 2, &c);
	assert_int_equal(4, c.n);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal((i & 1) != 0, c.jobs[i]->m.utf8);
		assert_int_equal((i & 2) != 0, c.jobs[i]->m.require_tls);
		assert_int_equal((i & 1) == 0, c.jobs[i]->m.rest);
	}
	kit_claim_clear(&c);
	kit_close(&k);
	kit_sql(&k, "UPDATE message SET utf8 = 8");
	kit_open(&k);
	kit_claim(&k, 10, INT64_MAX / 2, &c);
	assert_int_equal(0, c.n);
	kit_claim_clear(&c);
	kit_clear(&k);
}

static void
test_put_refuses(void **state)
{
	struct kit k;
	struct kit_message km;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_message(&k, &km, 1, SPOOL_SENDING);
	assert_int_equal(EINVAL, kit_put(&k, &km.m, 10));
	kit_message(&k, &km, 1, SPOOL_HELD);
	km.m.rcpt_count = 0;
	assert_int_equal(EINVAL, kit_put(&k, &km.m, 10));
	km.m.rcpt_count = 1;
	assert_int_equal(0, kit_put(&k, &km.m, 10));
	assert_int_equal(EEXIST, kit_put(&k, &km.m, 10));
	assert_int_equal(1, kit_list_all(&k).n);
	assert_int_equal(1, stats(&k).messages);
	kit_clear(&k);
}

static void
test_settle(void **state)
{
	struct kit k;
	struct kit_message km;
	struct kit_claim c;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_message(&k, &km, 2, SPOOL_HELD);
	km.rcpts[1].state = SPOOL_RELEASED;
	km.m.pending = true;
	assert_int_equal(0, kit_put(&k, &km.m, 10));
	assert_true(kit_list_all(&k).v[0].pending);
	/* Pending: neither claimed, nor discarded, nor released. */
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(0, c.n);
	assert_int_equal(0, kit_discard(&k, &all).n);
	assert_int_equal(0, kit_release(&k, &all).n);
	assert_int_equal(0, kit_settle(&k, km.m.id, true));
	assert_false(kit_list_all(&k).v[0].pending);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(1, c.jobs[0]->m.rcpt_count);
	assert_int_equal(km.m.id + 1, c.jobs[0]->m.rcpts[0].ticket);
	kit_claim_clear(&c);
	kit_message(&k, &km, 1, SPOOL_HELD);
	km.m.pending = true;
	assert_int_equal(0, kit_put(&k, &km.m, 10));
	assert_int_equal(0, kit_settle(&k, km.m.id, false));
	assert_int_equal(ENOENT, kit_settle(&k, km.m.id, false));
	assert_int_equal(1, kit_list_all(&k).n);
	assert_int_equal(1, stats(&k).messages);
	assert_int_equal(1, stats(&k).recipients[SPOOL_HELD]);
	assert_int_equal(1, stats(&k).recipients[SPOOL_SENDING]);
	kit_clear(&k);
}

static void
test_release_claim_finish(void **state)
{
	struct kit k;
	struct kit_claim c;
	uint64_t id;
	struct kit_rows rows;
	char *want;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	id = kit_add(&k, 2, SPOOL_HELD, 1000, NULL);
	kit_claim(&k, 10, INT64_MAX, &c);
	assert_int_equal(0, c.n);
	assert_true(c.next_due == INT64_MAX);
	rows = kit_release(&k, &all);
	assert_int_equal(2, rows.n);
	assert_int_equal(SPOOL_HELD, rows.last_was);
	assert_true(rows.last_destination == UINT64_MAX - 1);
	assert_string_equal("alice", rows.source);
	assert_string_equal("r1@example.net", rows.address);
	kit_claim(&k, 10, k.wall - 1, &c);
	assert_int_equal(0, c.n);
	assert_int_equal(k.wall, c.next_due);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(id, c.jobs[0]->m.id);
	assert_int_equal(2, c.jobs[0]->m.rcpt_count);
	assert_string_equal("hello", c.jobs[0]->m.subject);
	want = kit_text(id, 1000);
	assert_int_equal(1000, c.jobs[0]->body.n);
	assert_memory_equal(want, c.jobs[0]->body.p, 1000);
	free(want);
	kit_claim_clear(&c);
	/* What is under way is nobody else's. */
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(0, c.n);
	assert_int_equal(0, kit_discard(&k, &all).n);
	assert_int_equal(SPOOL_SENDING, kit_list_all(&k).v[0].state);
	assert_int_equal(0, kit_finish(&k, id, SPOOL_DELIVERED, 0, NULL));
	assert_int_equal(1, kit_list_all(&k).v[0].rcpts);
	assert_int_equal(
	    0, kit_finish(&k, id + 1, SPOOL_RETRY, k.wall + 500, "451 later"));
	assert_string_equal("451 later", kit_list_all(&k).v[0].last_error);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(0, c.n);
	assert_int_equal(k.wall + 500, c.next_due);
	kit_claim(&k, 10, k.wall + 500, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(1, c.jobs[0]->m.rcpts[0].attempts);
	kit_claim_clear(&c);
	assert_int_equal(0, kit_finish(&k, id + 1, SPOOL_BOUNCED, 0, NULL));
	assert_int_equal(0, kit_list_all(&k).n);
	assert_int_equal(0, stats(&k).messages);
	assert_int_equal(0, stats(&k).recipients[SPOOL_SENDING]);
	kit_clear(&k);
}

/* Puts a message back for a later time, and looks that nothing is due. */
static uint64_t
add_deferred(struct kit *k, int64_t wait, const char *error)
{
	struct kit_claim c;
	uint64_t id = kit_add(k, 1, SPOOL_RELEASED, 10, NULL);

	kit_claim(k, 10, k->wall, &c);
	assert_int_equal(1, c.n);
	kit_claim_clear(&c);
	assert_int_equal(
	    0, kit_finish(k, id, SPOOL_RETRY, k->wall + wait, error));
	kit_claim(k, 10, k->wall, &c);
	assert_int_equal(0, c.n);
	return id;
}

struct deferred {
	size_t n;
	uint64_t recipients[4];
	int64_t oldest[4];
	char errors[4][64];
	bool done;
};

static void
on_deferred(void *arg, int error, const struct spool_deferred *rows, size_t n)
{
	struct deferred *d = arg;

	assert_int_equal(0, error);
	assert_true(n <= ARRAY_LEN(d->errors));
	for (d->n = 0; d->n < n; d->n++) {
		d->recipients[d->n] = rows[d->n].recipients;
		d->oldest[d->n] = rows[d->n].oldest;
		(void)str_copy(str_from(rows[d->n].error), d->errors[d->n],
		    sizeof(d->errors[0]));
	}
	d->done = true;
}

static struct deferred
ask_deferred(struct kit *k)
{
	struct deferred d = {0};

	spool_deferred(k->spool, on_deferred, &d);
	assert_true(kit_wait(k->spool, &d.done));
	return d;
}

/* By the words that put it off, the most frequent first. */
static void
test_deferred(void **state)
{
	struct deferred d;
	struct kit k;
	uint64_t first;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	assert_int_equal(0, ask_deferred(&k).n);
	(void)kit_add(&k, 3, SPOOL_HELD, 10, NULL);
	first = add_deferred(&k, 1000, "451 busy");
	(void)add_deferred(&k, 2000, "452 full");
	(void)add_deferred(&k, 3000, "452 full");
	(void)kit_add(&k, 1, SPOOL_RELEASED, 10, NULL);
	d = ask_deferred(&k);
	assert_int_equal(2, d.n);
	assert_string_equal("452 full", d.errors[0]);
	assert_int_equal(2, d.recipients[0]);
	assert_string_equal("451 busy", d.errors[1]);
	assert_int_equal(1, d.recipients[1]);
	assert_true(d.oldest[1] == spool_id_wall(first));
	kit_clear(&k);
}

struct oldest {
	int64_t wall;
	bool done;
};

static void
on_oldest(void *arg, int error, int64_t wall)
{
	struct oldest *o = arg;

	assert_int_equal(0, error);
	o->wall = wall;
	o->done = true;
}

static int64_t
ask_oldest(struct kit *k)
{
	struct oldest o = {0};

	spool_oldest_held(k->spool, on_oldest, &o);
	assert_true(kit_wait(k->spool, &o.done));
	return o.wall;
}

/* Of what is held, whatever was let go before it. */
static void
test_oldest_held(void **state)
{
	struct kit k;
	uint64_t id;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	assert_true(ask_oldest(&k) == 0);
	(void)kit_add(&k, 2, SPOOL_RELEASED, 10, NULL);
	assert_true(ask_oldest(&k) == 0);
	id = kit_add(&k, 2, SPOOL_HELD, 10, NULL);
	k.wall += 60000;
	(void)kit_add(&k, 1, SPOOL_HELD, 10, NULL);
	assert_true(ask_oldest(&k) == spool_id_wall(id));
	kit_clear(&k);
}

/* Deferred mail is due at once when it is flushed, or released once more; what
 * is held goes by a release alone. */
static void
test_flush(void **state)
{
	struct kit k;
	struct kit_claim c;
	struct kit_rows rows;
	struct spool_select by_id = {.id_count = 1};
	uint64_t id;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_add(&k, 1, SPOOL_HELD, 10, NULL);
	id = add_deferred(&k, 3600000, "451 later");
	rows = kit_flush(&k, &all);
	assert_int_equal(1, rows.n);
	assert_int_equal(SPOOL_RELEASED, rows.last_was);
	assert_int_equal(0, kit_flush(&k, &all).n); /* it is due */
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(id, c.jobs[0]->m.id);
	assert_int_equal(1, c.jobs[0]->m.rcpts[0].attempts);
	kit_claim_clear(&c);
	assert_int_equal(0, kit_flush(&k, &all).n); /* under way */
	assert_int_equal(0, kit_finish(&k, id, SPOOL_DELIVERED, 0, NULL));
	id = add_deferred(&k, 3600000, "451 later");
	by_id.ids = &id;
	assert_int_equal(1, kit_release(&k, &by_id).n);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	kit_claim_clear(&c);
	assert_int_equal(1, stats(&k).recipients[SPOOL_HELD]);
	assert_int_equal(1, stats(&k).recipients[SPOOL_SENDING]);
	kit_clear(&k);
}

/* The clock was a day ahead when a next try was written down. */
static void
test_clock_set_back(void **state)
{
	struct kit k;
	struct kit_claim c;
	uint64_t soon;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	add_deferred(&k, 86400000, "451 later");
	soon = add_deferred(&k, 1000, "451 later");
	spool_mend_due(k.spool, k.wall, k.wall + 3600000);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_true(c.jobs[0]->m.id != soon);
	assert_int_equal(k.wall + 1000, c.next_due);
	kit_claim_clear(&c);
	kit_clear(&k);
}

static void
test_bounce(void **state)
{
	struct kit k;
	struct kit_message km;
	struct kit_claim c;
	struct spool_result result;
	bool done = false;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_add(&k, 1, SPOOL_RELEASED, 10, NULL);
	kit_claim(&k, 10, k.wall, &c);
	result = (struct spool_result){
	    .ticket = c.jobs[0]->m.rcpts[0].ticket, .outcome = SPOOL_BOUNCED};
	kit_claim_clear(&c);
	kit_message(&k, &km, 1, SPOOL_RELEASED);
	km.m.from = "";
	spool_finish(
	    k.spool, &result, 1, &km.m, STR("bounced"), kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	/* Given again, as after a commit of which nobody heard. */
	done = false;
	spool_finish(
	    k.spool, &result, 1, &km.m, STR("bounced"), kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	assert_int_equal(1, stats(&k).messages);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_string_equal("", c.jobs[0]->m.from);
	assert_int_equal(7, c.jobs[0]->m.size);
	assert_memory_equal("bounced", c.jobs[0]->body.p, 7);
	kit_claim_clear(&c);
	kit_clear(&k);
}

/* Put back as it was: nobody tried. */
static void
test_untried(void **state)
{
	struct kit k;
	struct kit_claim c;
	struct spool_result untried;
	bool done = false;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	untried = (struct spool_result){
	    .ticket = kit_add(&k, 1, SPOOL_RELEASED, 10, NULL),
	    .outcome = SPOOL_RETRY,
	    .next_try = k.wall,
	    .untried = true};
	kit_claim(&k, 10, k.wall, &c);
	kit_claim_clear(&c);
	spool_finish(k.spool, &untried, 1, NULL, STR(""), kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(0, c.jobs[0]->m.rcpts[0].attempts);
	kit_claim_clear(&c);
	kit_clear(&k);
}

/* The whole waits for its last HELD recipient. */
static void
test_whole(void **state)
{
	struct kit k;
	struct kit_message km;
	struct kit_claim c;
	struct spool_select two = {.recipient = "R2@*"};

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_message(&k, &km, 3, SPOOL_HELD);
	km.rcpts[0].state = SPOOL_RELEASED;
	km.m.whole = true;
	assert_int_equal(0, kit_put(&k, &km.m, 10));
	assert_int_equal(1, stats(&k).recipients[SPOOL_RELEASED]);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(0, c.n);
	assert_int_equal(0, kit_release_ticket(&k, km.m.id + 1));
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(0, c.n);
	assert_int_equal(1, kit_discard(&k, &two).n);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(2, c.jobs[0]->m.rcpt_count);
	kit_claim_clear(&c);
	/* Released by selection, in one go. */
	kit_message(&k, &km, 3, SPOOL_HELD);
	km.m.whole = true;
	assert_int_equal(0, kit_put(&k, &km.m, 10));
	assert_int_equal(3, kit_release(&k, &all).n);
	kit_claim(&k, 10, k.wall, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(3, c.jobs[0]->m.rcpt_count);
	kit_claim_clear(&c);
	kit_clear(&k);
}

static void
test_selection(void **state)
{
	struct kit k;
	struct kit_message km;
	uint64_t ids[3];
	struct spool_select nothing = {0};
	struct spool_select alice = {.source = "alice"};
	struct spool_select older = {.queued_before = KIT_WALL + 2};
	struct spool_select some = {.ids = ids, .id_count = 2};
	struct spool_select both = {
	    .source = "alice", .recipient = "r1@example.*"};

	(void)state;
	kit_init(&k);
	kit_open(&k);
	ids[1] = kit_add(&k, 2, SPOOL_HELD, 10, NULL);
	kit_message(&k, &km, 2, SPOOL_HELD);
	km.m.source = "bob";
	assert_int_equal(0, kit_put(&k, &km.m, 10));
	ids[0] = km.m.id;
	ids[2] = kit_add(&k, 2, SPOOL_HELD, 10, NULL);
	assert_int_equal(EINVAL, kit_release(&k, &nothing).error);
	assert_int_equal(EINVAL, kit_list(&k, &nothing, 0, 10).error);
	assert_int_equal(2, kit_list(&k, &alice, 0, 10).n);
	assert_int_equal(1, kit_list(&k, &alice, ids[1], 10).n);
	assert_int_equal(1, kit_list(&k, &alice, 0, 1).n);
	assert_int_equal(1, kit_list(&k, &older, 0, 10).n);
	assert_int_equal(2, kit_list(&k, &some, 0, 10).n);
	assert_int_equal(2, kit_list(&k, &both, 0, 10).n);
	assert_int_equal(1, kit_list(&k, &both, 0, 10).v[0].rcpts);
	assert_int_equal(2, kit_release(&k, &both).n);
	assert_int_equal(0, kit_release(&k, &both).n);
	assert_int_equal(1, kit_release(&k, &older).n);
	assert_int_equal(2, kit_discard(&k, &older).n);
	some.source = "bob";
	assert_int_equal(2, kit_discard(&k, &some).n);
	assert_int_equal(2, kit_discard(&k, &all).n);
	assert_int_equal(0, kit_list_all(&k).n);
	assert_int_equal(0, stats(&k).messages);
	assert_int_equal(0, stats(&k).recipients[SPOOL_HELD]);
	assert_int_equal(0, stats(&k).recipients[SPOOL_RELEASED]);
	kit_clear(&k);
}

/* Many batches; others are served in between, and later messages stay. */
static void
test_large_release(void **state)
{
	struct kit k;
	struct kit_claim c;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	k.settings.outstanding_max = 4096;
	for (int i = 0; i < 600; i++)
		kit_add(&k, 8, SPOOL_HELD, 10, NULL);
	{
		struct kit_rows rows = kit_release(&k, &all);

		assert_int_equal(4800, rows.n);
		assert_true(rows.batches >= 5);
	}
	assert_int_equal(4800, stats(&k).recipients[SPOOL_RELEASED]);
	kit_claim(&k, 300, k.wall, &c);
	assert_int_equal(300, c.n);
	assert_true(c.jobs[0]->m.id < c.jobs[299]->m.id);
	kit_claim_clear(&c);
	/* However many batches, one line in the audit log. */
	assert_int_equal(2400, kit_discard(&k, &all).n);
	assert_int_equal(1, kit_ask(&k, "SELECT count(*) FROM audit"));
	kit_clear(&k);
}

/* What a listing looks at for one recipient is more than an answer may have. */
static void
test_list_finds_the_last(void **state)
{
	const struct spool_select one = {.recipient = "z*", .all = true};
	struct kit_list l;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	assert_int_not_equal(0, kit_add(&k, 1, SPOOL_HELD, 10, NULL));
	kit_close(&k);
	kit_sql(&k,
	    "UPDATE message SET subject = hex(zeroblob(2000));"
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	    " WHERE i < 2999) INSERT INTO message SELECT id + i * 4096,"
	    " pending, whole, in_file, body_type, ret, utf8, size, queued_at,"
	    " source, policy, sender, client, helo, envid, subject, body"
	    " FROM message, n;"
	    "INSERT INTO rcpt (ticket, state, attempts, next_try, destination,"
	    " notify, address, orcpt, last_error)"
	    " SELECT m.id, 1, 0, 0, 0, 0, 'a@example.net',"
	    " NULL, NULL FROM message m WHERE m.id NOT IN (SELECT ticket FROM"
	    " rcpt);"
	    "UPDATE rcpt SET address = 'z@example.net' WHERE ticket ="
	    " (SELECT max(id) FROM message)");
	kit_open(&k);
	l = kit_list(&k, &one, 0, 64);
	assert_int_equal(1, l.n);
	assert_string_equal("z@example.net", l.v[0].address);
	assert_int_equal(0, kit_list(&k, &one, l.v[0].id, 64).n);
	kit_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_ids_of_relays),
	    cmocka_unit_test(test_put_and_reopen),
	    cmocka_unit_test(test_needs),
	    cmocka_unit_test(test_put_refuses),
	    cmocka_unit_test(test_settle),
	    cmocka_unit_test(test_release_claim_finish),
	    cmocka_unit_test(test_deferred),
	    cmocka_unit_test(test_flush),
	    cmocka_unit_test(test_clock_set_back),
	    cmocka_unit_test(test_bounce),
	    cmocka_unit_test(test_untried),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_selection),
	    cmocka_unit_test(test_large_release),
	    cmocka_unit_test(test_list_finds_the_last),
	    cmocka_unit_test(test_oldest_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
