/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link to a cluster whose servers the test plays: which server is asked after
 * which answer, and what a server may say that is no use.
 */
#include "share/redis_link.h"
#include "share/redis_slots.h"

#include "net/conn.h"
#include "net/listener.h"
#include "pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERVERS 3
#define CONNS 16
#define SAYS_MAX 16

struct world;

struct server {
	struct world *w;
	struct listener *listener;
	char at[NET_ADDR_TEXT_MAX];
	/* To each script, one after the other; the last goes on. NULL: ":7". */
	const char *says[SAYS_MAX];
	size_t said;
	const char *cluster_info, *role;
	unsigned runs, asking, wholes, maps, accepted;
	bool is_silent;
};

struct peer { /* a connection that a server took */
	struct server *s;
	struct conn *conn;
};

struct world {
	struct loop *loop;
	struct server servers[SERVERS];
	struct peer peers[CONNS];
	struct redis_link *link;
	char map[1024]; /* the answer to CLUSTER SLOTS */
	char text[SERVERS][NET_ADDR_TEXT_MAX + 32];
	unsigned ups, downs, answers, lost, node_ups, node_downs, node_gone;
	unsigned node_downs_then; /* when the last was lost */
	int64_t integer;
	char why[REDIS_LINK_WHY_MAX];
};

/* ---- the servers ---- */

static void
say(struct peer *p, const char *text)
{
	(void)conn_write(p->conn, text, strlen(text));
}

static void
take_script(struct peer *p)
{
	struct server *s = p->s;
	const char *says = s->said < SAYS_MAX ? s->says[s->said] : NULL;

	s->runs++;
	if (s->is_silent)
		return;
	if (s->said + 1 < SAYS_MAX && s->says[s->said + 1] != NULL)
		s->said++;
	say(p, says != NULL ? says : ":7\r\n");
}

/* Commands come whole here: they are short. */
static void
take(struct peer *p, struct str word, struct str second)
{
	if (str_eq(word, STR("ROLE"))) {
		say(p, p->s->role);
	} else if (str_eq(word, STR("INFO"))) {
		say(p, "$0\r\n\r\n");
	} else if (str_eq(second, STR("SLOTS"))) {
		p->s->maps++;
		say(p, p->s->w->map);
	} else if (str_eq(word, STR("CLUSTER"))) {
		say(p, p->s->cluster_info);
	} else if (str_eq(word, STR("ASKING"))) {
		p->s->asking++;
		say(p, "+OK\r\n");
	} else {
		p->s->wholes += str_eq(word, STR("EVAL"));
		take_script(p);
	}
}

static void
on_server_read(void *arg, int64_t now)
{
	struct peer *p = arg;
	struct str in = conn_input(p->conn);
	struct resp *r = resp_new();
	struct resp_value *v;

	(void)now;
	assert_true(resp_feed(r, in.p, in.n));
	conn_consume(p->conn, in.n);
	while ((v = resp_next(r)) != NULL) {
		take(p, resp_text(resp_at(v, 0)), resp_text(resp_at(v, 1)));
		resp_value_free(v);
	}
	resp_free(r);
}

static void
on_server_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
on_server_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct peer *p = arg;

	(void)why;
	(void)error;
	(void)now;
	conn_free(p->conn);
	p->conn = NULL;
}

static const struct conn_ops server_ops = {
    .on_read = on_server_read,
    .on_drain = on_server_drain,
    .on_end = on_server_end,
};

static void
on_accept(void *arg, int fd, const struct net_addr *from, int64_t now)
{
	struct server *s = arg;
	struct world *w = s->w;
	struct peer *p = NULL;

	(void)from;
	(void)now;
	for (size_t i = 0; p == NULL && i < CONNS; i++) {
		if (w->peers[i].conn == NULL)
			p = &w->peers[i];
	}
	assert_non_null(p);
	s->accepted++;
	p->s = s;
	p->conn = conn_new(w->loop, fd, &server_ops, p);
}

static void
on_trouble(void *arg, int error, int64_t now)
{
	(void)arg;
	(void)now;
	fail_msg("accept: %s", strerror(error));
}

static void
listen_at(struct server *s)
{
	static const struct listener_options options = {
	    .backlog = 8, .unix_gid = -1};
	struct net_addr addr;
	char why[128];

	assert_true(
	    net_addr_parse(STR("127.0.0.1:0"), &addr, why, sizeof(why)));
	s->listener = listener_new(&addr, &options, why, sizeof(why));
	assert_non_null(s->listener);
	net_addr_format(listener_addr(s->listener), s->at);
	listener_start(s->listener, s->w->loop, on_accept, on_trouble, s);
}

static const char master[] = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
static const char cluster_ok[] = "$18\r\ncluster_state:ok\r\n\r\n";
static const char cluster_fail[] = "$20\r\ncluster_state:fail\r\n\r\n";

static const char *
port_of(const struct server *s)
{
	return strrchr(s->at, ':') + 1;
}

/* A third of the slots for each, but for the server named (SERVERS: none),
 * whose slots nobody has. */
static void
draw_map(struct world *w, size_t without)
{
	size_t n = 0;

	n += (size_t)snprintf(w->map, sizeof(w->map), "*%d\r\n",
	    without < SERVERS ? SERVERS - 1 : SERVERS);
	for (size_t i = 0; i < SERVERS; i++) {
		unsigned from = (unsigned)i * 5461;
		unsigned to = i == 2 ? REDIS_SLOTS - 1 : from + 5460;

		if (i != without)
			n += (size_t)snprintf(w->map + n, sizeof(w->map) - n,
			    "*3\r\n:%u\r\n:%u\r\n*2\r\n$9\r\n127.0.0.1\r\n"
			    ":%s\r\n",
			    from, to, port_of(&w->servers[i]));
	}
	assert_true(n < sizeof(w->map));
}

/* ---- the link ---- */

static void
on_up(void *arg, int64_t now)
{
	(void)now;
	((struct world *)arg)->ups++;
}

static void
on_down(void *arg, const char *why, int64_t now)
{
	struct world *w = arg;

	(void)now;
	w->downs++;
	str_copy(str_from(why), w->why, sizeof(w->why));
}

static void
on_node(void *arg, const struct redis_link_node *node, int64_t now)
{
	struct world *w = arg;

	(void)now;
	w->node_gone += node->slots == 0;
	w->node_ups += node->slots > 0 && node->is_up;
	w->node_downs += node->slots > 0 && !node->is_up;
	if (!node->is_up)
		str_copy(str_from(node->why), w->why, sizeof(w->why));
}

static const struct redis_link_ops link_ops = {
    .on_up = on_up, .on_down = on_down, .on_node = on_node};

static int
set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->loop = loop_new();
	for (size_t i = 0; i < SERVERS; i++) {
		w->servers[i].w = w;
		w->servers[i].role = master;
		w->servers[i].cluster_info = cluster_ok;
		listen_at(&w->servers[i]);
	}
	draw_map(w, SERVERS);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	redis_link_free(w->link);
	for (size_t i = 0; i < CONNS; i++) {
		if (w->peers[i].conn != NULL)
			conn_free(w->peers[i].conn);
	}
	for (size_t i = 0; i < SERVERS; i++)
		listener_free(w->servers[i].listener);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void
begin(struct world *w, int64_t deadline_ms)
{
	struct redis_link_settings s = {.deadline_ms = deadline_ms};
	char text[160], why[128];

	/* Nobody listens at the first. */
	snprintf(text, sizeof(text), "redis+cluster://127.0.0.1:1,%s",
	    w->servers[0].at);
	assert_true(redis_url_parse(text, &s.url, why, sizeof(why)));
	w->link = redis_link_new(w->loop, &s, &link_ops, w);
}

static bool
is_whole(void *arg)
{
	return redis_link_is_whole(((struct world *)arg)->link);
}

static bool
is_over(void *arg)
{
	struct world *w = arg;

	return w->answers + w->lost > 0;
}

static bool
is_down(void *arg)
{
	return ((struct world *)arg)->downs > 0;
}

static bool
is_node_down(void *arg)
{
	return ((struct world *)arg)->node_downs > 0;
}

static void
start(struct world *w, int64_t deadline_ms)
{
	begin(w, deadline_ms);
	assert_true(pump_until(w->loop, is_whole, w));
	assert_int_equal(w->ups, 1);
	assert_int_equal(w->downs, 0);
	assert_int_equal(w->node_ups, SERVERS);
}

static void
on_answer(void *arg, const struct resp_value *reply, int64_t now)
{
	struct world *w = arg;

	(void)now;
	if (reply == NULL) {
		w->lost++;
		w->node_downs_then = w->node_downs;
		return;
	}
	assert_int_equal(reply->type, RESP_INTEGER);
	w->answers++;
	w->integer = reply->integer;
}

static struct redis_script script = {.text = "return 7"};

#define FOO "{foo}:x" /* slot 12182: of the third server */
#define BAR "{bar}:x" /* slot 5061: of the first */

static bool
run(struct world *w, const char *name)
{
	struct str key = str_from(name), arg = STR("value");

	w->answers = w->lost = 0;
	return redis_link_run(w->link, &script, &key, 1, &arg, 1, on_answer, w);
}

/* Asks; true: it was answered. */
static bool
asks(struct world *w, const char *name)
{
	assert_true(run(w, name));
	assert_true(pump_until(w->loop, is_over, w));
	assert_int_equal(w->answers + w->lost, 1);
	return w->answers == 1;
}

/* Server i names server to in an error. */
static const char *
names(struct world *w, size_t i, const char *word, const char *at)
{
	snprintf(w->text[i], sizeof(w->text[i]), "-%s 12182 %s\r\n", word, at);
	return w->text[i];
}

/* ---- tests ---- */

static void
test_each_key_at_its_server(void **state)
{
	struct world *w = *state;
	struct redis_link_node node;
	unsigned slots = 0;

	w->servers[2].says[0] = "-NOSCRIPT x\r\n";
	w->servers[2].says[1] = ":7\r\n";
	start(w, 60000);
	assert_true(asks(w, FOO));
	assert_int_equal(w->servers[2].wholes, 1);
	assert_true(asks(w, BAR));
	assert_true(asks(w, FOO));
	assert_int_equal(w->servers[0].runs, 1);
	assert_int_equal(w->servers[1].runs, 0);
	assert_int_equal(w->servers[2].runs, 3);
	for (size_t i = 0; redis_link_node(w->link, i, &node); i++)
		slots += node.slots;
	assert_int_equal(slots, REDIS_SLOTS);
}

static void
test_moved(void **state)
{
	struct world *w = *state;
	unsigned maps;

	w->servers[2].says[0] = names(w, 2, "MOVED", w->servers[0].at);
	start(w, 60000);
	maps = w->servers[0].maps + w->servers[1].maps + w->servers[2].maps;
	assert_true(asks(w, FOO));
	assert_int_equal(w->servers[0].runs, 1);
	/* The map is asked for, and here it says what it said. */
	while (w->servers[0].maps + w->servers[1].maps + w->servers[2].maps ==
	       maps)
		pump_turns(w->loop, 1);
	assert_int_equal(w->servers[2].runs, 1);
	assert_int_equal(w->servers[0].asking, 0);
}

static void
test_ask_is_for_one_question(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = names(w, 2, "ASK", w->servers[1].at);
	w->servers[2].says[1] = ":7\r\n";
	w->servers[1].says[0] = "-NOSCRIPT x\r\n";
	w->servers[1].says[1] = ":8\r\n";
	start(w, 60000);
	assert_true(asks(w, FOO));
	assert_int_equal(w->integer, 8);
	/* With the script, too. */
	assert_int_equal(w->servers[1].asking, 2);
	assert_true(asks(w, FOO));
	assert_int_equal(w->integer, 7);
	assert_int_equal(w->servers[1].runs, 2);
}

static void
test_tryagain(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = "-TRYAGAIN x\r\n";
	w->servers[2].says[1] = "-TRYAGAIN x\r\n";
	w->servers[2].says[2] = ":7\r\n";
	start(w, 60000);
	assert_true(asks(w, FOO));
	assert_int_equal(w->servers[2].runs, 3);
	/* Not for ever. */
	w->servers[2].says[2] = "-TRYAGAIN x\r\n";
	assert_false(asks(w, FOO));
	assert_int_equal(w->servers[2].runs, 3 + 6);
	assert_true(redis_link_is_whole(w->link));
}

static void
test_a_circle_of_redirects_ends(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = names(w, 2, "MOVED", w->servers[0].at);
	w->servers[0].says[0] = names(w, 0, "ASK", w->servers[2].at);
	start(w, 60000);
	assert_false(asks(w, FOO));
	assert_int_equal(w->servers[0].runs + w->servers[2].runs, 6);
	assert_true(redis_link_is_whole(w->link));
	assert_int_equal(w->downs + w->node_downs, 0);
}

static void
test_moved_to_nowhere(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = names(w, 2, "MOVED", "127.0.0.1:1");
	w->servers[2].says[1] = ":7\r\n";
	start(w, 60000);
	assert_false(asks(w, FOO));
	/* Until the map says otherwise. */
	assert_true(pump_until(w->loop, is_whole, w));
	assert_true(asks(w, FOO));
	assert_int_equal(w->node_gone, 1);
	assert_int_equal(w->downs, 0);
}

static void
test_a_redirect_that_is_none(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = "-MOVED 99999 x\r\n";
	start(w, 60000);
	assert_false(asks(w, FOO));
	assert_int_equal(w->node_downs, 1);
	assert_int_equal(w->downs, 0);
	assert_true(asks(w, BAR));
}

static void
test_one_deadline_over_all(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = "-TRYAGAIN x\r\n";
	w->servers[2].says[1] = names(w, 2, "ASK", w->servers[1].at);
	w->servers[1].is_silent = true;
	start(w, 300);
	assert_false(asks(w, FOO));
	/* By its own time: the server that is late was asked later. */
	assert_int_equal(w->node_downs_then, 0);
	assert_true(pump_until(w->loop, is_node_down, w));
	assert_non_null(strstr(w->why, "in time"));
	assert_true(asks(w, BAR));
}

static void
test_an_outage_of_one_server(void **state)
{
	static const char *const says[] = {"-OOM x\r\n", "-LOADING x\r\n",
	    "-READONLY x\r\n", "-MASTERDOWN x\r\n", "-BUSY x\r\n",
	    "-CLUSTERDOWN The cluster is down\r\n", "220 hello\r\n"};

	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		struct world *w = *state;
		const char *why = NULL;

		w->servers[2].says[0] = says[i];
		start(w, 60000);
		assert_false(asks(w, FOO));
		assert_int_equal(w->node_downs, 1);
		assert_int_equal(w->downs, 0);
		assert_false(run(w, FOO));
		assert_false(redis_link_reaches(w->link, STR(FOO), &why));
		assert_true(why != NULL && why[0] != '\0');
		assert_true(redis_link_reaches(w->link, STR(BAR), NULL));
		assert_true(asks(w, BAR));
		tear_down(state);
		set_up(state);
	}
}

static void
test_errors_of_one_question(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = "-CLUSTERDOWN Hash slot not served\r\n";
	w->servers[2].says[1] = "-ERR Script attempted to access a non local "
				"key in a cluster node\r\n";
	w->servers[2].says[2] = ":7\r\n";
	start(w, 60000);
	assert_false(asks(w, FOO));
	assert_false(asks(w, FOO));
	assert_true(asks(w, FOO));
	assert_int_equal(w->node_downs, 0);
}

static void
test_a_cluster_that_is_down(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < SERVERS; i++)
		w->servers[i].cluster_info = cluster_fail;
	begin(w, 60000);
	assert_true(pump_until(w->loop, is_down, w));
	assert_non_null(strstr(w->why, "cluster is down"));
	assert_int_equal(w->ups, 0);
	for (size_t i = 0; i < SERVERS; i++)
		w->servers[i].cluster_info = cluster_ok;
	assert_true(pump_until(w->loop, is_whole, w));
	assert_int_equal(w->ups, 1);
}

static void
test_a_replica_in_the_map(void **state)
{
	struct world *w = *state;

	w->servers[2].role =
	    "*5\r\n$5\r\nslave\r\n$1\r\nx\r\n:1\r\n$1\r\nx\r\n:0\r\n";
	begin(w, 60000);
	assert_true(pump_until(w->loop, is_node_down, w));
	assert_non_null(strstr(w->why, "replica"));
	assert_false(run(w, FOO));
}

static void
test_maps_that_are_none(void **state)
{
	static const char *const maps[] = {"*0\r\n", ":1\r\n", "$2\r\nhi\r\n",
	    "*1\r\n*0\r\n", "*1\r\n*2\r\n:0\r\n:16383\r\n",
	    "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
	    "*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n",
	    "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:65536\r\n",
	    "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$3\r\na b\r\n:1\r\n"};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		struct world *w = *state;

		snprintf(w->map, sizeof(w->map), "%s", maps[i]);
		begin(w, 60000);
		assert_true(pump_until(w->loop, is_down, w));
		assert_non_null(strstr(w->why, "cannot be read"));
		assert_false(run(w, FOO));
		draw_map(w, SERVERS);
		assert_true(pump_until(w->loop, is_whole, w));
		assert_true(asks(w, FOO));
		tear_down(state);
		set_up(state);
	}
}

static void
test_slots_that_nobody_has(void **state)
{
	struct world *w = *state;
	const char *why = NULL;

	draw_map(w, 2);
	begin(w, 60000);
	while (w->node_ups < 2)
		pump_turns(w->loop, 1);
	assert_false(redis_link_is_whole(w->link));
	assert_false(run(w, FOO));
	assert_false(redis_link_reaches(w->link, STR(FOO), &why));
	assert_string_equal(why, "no server has this slot");
	assert_true(asks(w, BAR));
	/* It asks again by itself. */
	draw_map(w, SERVERS);
	assert_true(pump_until(w->loop, is_whole, w));
	assert_true(asks(w, FOO));
}

int
main(void)
{
#define CLUSTER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    CLUSTER_TEST(test_each_key_at_its_server),
	    CLUSTER_TEST(test_moved),
	    CLUSTER_TEST(test_ask_is_for_one_question),
	    CLUSTER_TEST(test_tryagain),
	    CLUSTER_TEST(test_a_circle_of_redirects_ends),
	    CLUSTER_TEST(test_moved_to_nowhere),
	    CLUSTER_TEST(test_a_redirect_that_is_none),
	    CLUSTER_TEST(test_one_deadline_over_all),
	    CLUSTER_TEST(test_an_outage_of_one_server),
	    CLUSTER_TEST(test_errors_of_one_question),
	    CLUSTER_TEST(test_a_cluster_that_is_down),
	    CLUSTER_TEST(test_a_replica_in_the_map),
	    CLUSTER_TEST(test_maps_that_are_none),
	    CLUSTER_TEST(test_slots_that_nobody_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
