/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom senders know, passed on by a cluster of one server that the test plays:
 * what is read on after one question came to nothing, and what is not handed
 * over behind what others have forgotten.
 */
#include "share/learns.h"

#include "net/conn.h"
#include "net/listener.h"
#include "pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ABOUT STR("weir learnt 1")
#define EPOCH "0123456789abcdef"
#define CONNS 8
#define READ_WORDS 8

struct world;

struct peer { /* a connection that the server took */
	struct world *w;
	struct conn *conn;
	struct resp *in;
};

struct world {
	struct loop *loop;
	struct listener *listener;
	struct peer peers[CONNS];
	struct redis_link *link;
	struct seal *seal;
	struct learns *learns;
	unsigned reads, adds, lost, want_reads, want_adds;
	struct buf reply;    /* to the next read; empty: nothing new */
	bool is_adding_lost; /* the next add; alice is forgotten by then */
	bool holds_read;     /* until the next add */
	struct peer *held;   /* whose read is held */
	char added[512];     /* all of it: "+alice 5, -bob 5, " */
	char heard[512];     /* what on_record was given, the same */
	char map[128];
};

/* ---- the server ---- */

static void
say(struct peer *p, const char *text)
{
	(void)conn_write(p->conn, text, strlen(text));
}

static void
note(char (*out)[512], const struct learns_record *r)
{
	size_t n = strlen(*out);

	snprintf(*out + n, sizeof(*out) - n, "%c%.*s %u, ",
	    r->what == LEARNS_FORGET ? '-' : '+', STR_ARG(r->sender), r->day);
}

static void
answer_read(struct peer *p)
{
	struct world *w = p->w;

	if (w->reply.len > 0)
		(void)conn_write(p->conn, buf_str(&w->reply).p, w->reply.len);
	else
		say(p, "*3\r\n:5\r\n$16\r\n" EPOCH "\r\n:1\r\n");
	buf_reset(&w->reply);
}

static void
take_read(struct peer *p)
{
	p->w->reads++;
	if (p->w->holds_read)
		p->w->held = p;
	else
		answer_read(p);
}

static void add_forget(struct world *w);

static void
take_add(struct peer *p, const struct resp_value *v)
{
	struct world *w = p->w;

	w->adds++;
	if (w->is_adding_lost) {
		w->is_adding_lost = false;
		add_forget(w);
		if (w->held != NULL)
			answer_read(w->held);
		w->holds_read = false;
		say(p, "-CLUSTERDOWN Hash slot not served\r\n");
		return;
	}
	for (size_t i = READ_WORDS; i < v->count; i++) {
		struct learns_record r;
		struct buf plain;

		buf_init(&plain, 1024);
		assert_true(seal_open(
		    w->seal, ABOUT, resp_text(resp_at(v, i)), &plain));
		assert_true(learns_read(buf_str(&plain), &r));
		note(&w->added, &r);
		buf_clear(&plain);
	}
	say(p, ":1\r\n");
}

static void
take(struct peer *p, const struct resp_value *v)
{
	struct str word = resp_text(resp_at(v, 0));

	if (str_eq(word, STR("ROLE")))
		say(p, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
	else if (str_eq(word, STR("INFO")))
		say(p, "$0\r\n\r\n");
	else if (str_eq(resp_text(resp_at(v, 1)), STR("SLOTS")))
		say(p, p->w->map);
	else if (str_eq(word, STR("CLUSTER")))
		say(p, "$18\r\ncluster_state:ok\r\n\r\n");
	else if (v->count == READ_WORDS)
		take_read(p);
	else
		take_add(p, v);
}

static void
on_server_read(void *arg, int64_t now)
{
	struct peer *p = arg;
	struct str in = conn_input(p->conn);
	struct resp_value *v;

	(void)now;
	assert_true(resp_feed(p->in, in.p, in.n));
	conn_consume(p->conn, in.n);
	while ((v = resp_next(p->in)) != NULL) {
		take(p, v);
		resp_value_free(v);
	}
}

static void
on_server_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
peer_free(struct peer *p)
{
	if (p->conn == NULL)
		return;
	conn_free(p->conn);
	p->conn = NULL;
	resp_free(p->in);
}

static void
on_server_end(void *arg, enum conn_end why, int error, int64_t now)
{
	(void)why;
	(void)error;
	(void)now;
	peer_free(arg);
}

static const struct conn_ops server_ops = {
    .on_read = on_server_read,
    .on_drain = on_server_drain,
    .on_end = on_server_end,
};

static void
on_accept(void *arg, int fd, const struct net_addr *from, int64_t now)
{
	struct world *w = arg;
	size_t i = 0;

	(void)from;
	(void)now;
	while (i < CONNS && w->peers[i].conn != NULL)
		i++;
	assert_true(i < CONNS);
	w->peers[i].w = w;
	w->peers[i].in = resp_new();
	w->peers[i].conn = conn_new(w->loop, fd, &server_ops, &w->peers[i]);
}

static void
on_trouble(void *arg, int error, int64_t now)
{
	(void)arg;
	(void)now;
	fail_msg("accept: %s", strerror(error));
}

static void
begin_reply(struct world *w, unsigned entries, int top)
{
	assert_true(buf_printf(&w->reply,
	    "*%u\r\n:%d\r\n$16\r\n" EPOCH "\r\n:1\r\n", 3 + 2 * entries, top));
}

static void
add_entry(struct world *w, unsigned id, enum learns_what what,
    const char *sender, uint32_t day)
{
	struct learns_record r = {.what = what,
	    .relay = 7,
	    .destination = 1,
	    .why = 1,
	    .day = day,
	    .sender = str_from(sender)};
	struct buf plain, sealed;

	buf_init(&plain, 1024);
	buf_init(&sealed, 1024);
	assert_true(learns_write(&r, &plain));
	assert_true(seal_close(w->seal, ABOUT, buf_str(&plain), &sealed));
	assert_true(buf_printf(&w->reply, ":%u\r\n$%zu\r\n", id, sealed.len));
	assert_true(buf_append_str(&w->reply, buf_str(&sealed)));
	assert_true(buf_append_str(&w->reply, STR("\r\n")));
	buf_clear(&plain);
	buf_clear(&sealed);
}

static void
add_forget(struct world *w)
{
	begin_reply(w, 1, 6);
	add_entry(w, 6, LEARNS_FORGET, "alice", 9);
}

/* ---- the relay ---- */

static void
on_up(void *arg, int64_t now)
{
	(void)now;
	learns_start(((struct world *)arg)->learns);
}

static void
on_down(void *arg, const char *why, int64_t now)
{
	(void)arg;
	(void)why;
	(void)now;
}

static const struct redis_link_ops link_ops = {
    .on_up = on_up, .on_down = on_down};

static void
on_record(void *arg, const struct learns_record *r)
{
	struct world *w = arg;

	note(&w->heard, r);
	if (r->what == LEARNS_FORGET)
		learns_drop(w->learns, r->sender);
}

static void
on_gap(void *arg, uint64_t missed)
{
	(void)arg;
	fail_msg("a gap of %llu", (unsigned long long)missed);
}

static void
on_full(void *arg)
{
	(void)arg;
	fail_msg("full");
}

static const struct learns_ops ops = {
    .on_record = on_record, .on_gap = on_gap, .on_full = on_full};

static int
set_up(void **state)
{
	static const struct listener_options options = {
	    .backlog = 8, .unix_gid = -1};
	struct world *w = xcalloc(1, sizeof(*w));
	struct redis_link_settings s = {.deadline_ms = PUMP_LIMIT_MS};
	char text[NET_ADDR_TEXT_MAX + 32], at[NET_ADDR_TEXT_MAX], why[128];
	struct net_addr addr;

	w->loop = loop_new();
	assert_true(
	    net_addr_parse(STR("127.0.0.1:0"), &addr, why, sizeof(why)));
	w->listener = listener_new(&addr, &options, why, sizeof(why));
	assert_non_null(w->listener);
	net_addr_format(listener_addr(w->listener), at);
	listener_start(w->listener, w->loop, on_accept, on_trouble, w);
	snprintf(w->map, sizeof(w->map),
	    "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%s\r\n",
	    strrchr(at, ':') + 1);
	buf_init(&w->reply, 1 << 20);
	w->seal = seal_new(STR("a secret of enough bytes"));
	snprintf(text, sizeof(text), "redis+cluster://%s", at);
	assert_true(redis_url_parse(text, &s.url, why, sizeof(why)));
	w->link = redis_link_new(w->loop, &s, &link_ops, w);
	w->learns = learns_new(w->loop, w->link, w->seal, "weir", "mx1",
	    (struct learns_mark){0}, &ops, w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	redis_link_free(w->link);
	learns_free(w->learns);
	for (size_t i = 0; i < CONNS; i++)
		peer_free(&w->peers[i]);
	listener_free(w->listener);
	loop_free(w->loop);
	seal_free(w->seal);
	buf_clear(&w->reply);
	free(w);
	return 0;
}

static bool
has_heard(void *arg)
{
	struct world *w = arg;

	return w->reads >= w->want_reads && w->adds >= w->want_adds;
}

/* Until the server has heard so many more. */
static void
await(struct world *w, unsigned reads, unsigned adds)
{
	w->want_reads = w->reads + reads;
	w->want_adds = w->adds + adds;
	assert_true(pump_until(w->loop, has_heard, w));
}

static void
learn(struct world *w, enum learns_what what, const char *sender)
{
	learns_note(w->learns, &(struct learns_record){.what = what,
				   .destination = 1,
				   .why = 1,
				   .day = 5,
				   .sender = str_from(sender)});
}

/* ---- tests ---- */

/* One question comes to nothing, and the link stays. */
static void
test_reads_on_after_one_lost_answer(void **state)
{
	struct world *w = *state;

	await(w, 2, 0);
	assert_true(buf_append_str(
	    &w->reply, STR("-CLUSTERDOWN Hash slot not served\r\n")));
	await(w, 1, 0);
	begin_reply(w, 1, 6);
	add_entry(w, 6, LEARNS_KNOWS, "alice", 4);
	await(w, 2, 0);
	assert_string_equal(w->heard, "+alice 4, ");
	assert_true(redis_link_is_up(w->link));
	learn(w, LEARNS_KNOWS, "bob");
	await(w, 0, 1);
	assert_string_equal(w->added, "+bob 5, ");
}

/* What was learnt in an outage does not undo what others forgot in it. */
static void
test_nothing_goes_behind_a_forget(void **state)
{
	struct world *w = *state;

	learn(w, LEARNS_KNOWS, "alice");
	learn(w, LEARNS_KNOWS, "bob");
	learn(w, LEARNS_FORGET, "alice");
	learn(w, LEARNS_KNOWS, "alicea");
	add_forget(w);
	await(w, 1, 1);
	assert_string_equal(w->heard, "-alice 9, ");
	assert_string_equal(w->added, "+bob 5, -alice 5, +alicea 5, ");
}

/* The same of what was sent and not answered. */
static void
test_nothing_is_sent_again_behind_a_forget(void **state)
{
	struct world *w = *state;

	await(w, 2, 0);
	w->is_adding_lost = true;
	learn(w, LEARNS_KNOWS, "alice");
	learn(w, LEARNS_KNOWS, "bob");
	await(w, 0, 2);
	assert_string_equal(w->heard, "-alice 9, ");
	assert_string_equal(w->added, "+bob 5, ");
}

/* The same, when that is heard before it is known that it was lost. */
static void
test_nothing_on_its_way_goes_behind_a_forget(void **state)
{
	struct world *w = *state;

	await(w, 2, 0);
	w->holds_read = w->is_adding_lost = true;
	await(w, 1, 0);
	learn(w, LEARNS_KNOWS, "alice");
	learn(w, LEARNS_KNOWS, "bob");
	await(w, 0, 2);
	assert_string_equal(w->heard, "-alice 9, ");
	assert_string_equal(w->added, "+bob 5, ");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_reads_on_after_one_lost_answer),
	    TEST(test_nothing_goes_behind_a_forget),
	    TEST(test_nothing_is_sent_again_behind_a_forget),
	    TEST(test_nothing_on_its_way_goes_behind_a_forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
