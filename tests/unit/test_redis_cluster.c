/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link to a cluster whose servers the test plays: which server is asked after
 * which answer, and what a server may say that is no use.
 */
#include "share/redis_link.h"
#include "share/redis_slots.h"

#include "fake_redis.h"
#include "pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERVERS 3
#define SAYS_MAX 16

struct server {
	struct fake_redis redis;
	/* To each script, one after the other; the last goes on. NULL: ":7". */
	const char *says[SAYS_MAX];
	size_t said;
	unsigned runs, asking, wholes;
	bool is_silent;
};

struct world {
	struct loop *loop;
	struct server servers[SERVERS];
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
take_script(struct server *s, struct fake_redis_peer *p)
{
	const char *says = s->said < SAYS_MAX ? s->says[s->said] : NULL;

	s->runs++;
	if (s->is_silent)
		return;
	if (s->said + 1 < SAYS_MAX && s->says[s->said + 1] != NULL)
		s->said++;
	fake_redis_answer(p, str_from(says != NULL ? says : ":7\r\n"));
}

static void
on_command(
    void *arg, struct fake_redis_peer *p, const struct resp_value *command)
{
	struct str word = resp_text(resp_at(command, 0));
	struct server *s = arg;

	if (str_eq(word, STR("ASKING"))) {
		s->asking++;
		fake_redis_answer(p, STR("+OK\r\n"));
		return;
	}
	s->wholes += str_eq(word, STR("EVAL"));
	take_script(s, p);
}

static const char *
port_of(const struct server *s)
{
	return strrchr(s->redis.at, ':') + 1;
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
		struct server *server = &w->servers[i];

		fake_redis_open(&server->redis, w->loop, on_command, server);
		server->redis.map = w->map;
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
	for (size_t i = 0; i < SERVERS; i++)
		fake_redis_close(&w->servers[i].redis);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void
begin(struct world *w, int64_t deadline_ms)
{
	struct redis_link_settings s = {.deadline_ms = deadline_ms};

	/* Nobody listens at the first. */
	w->link = fake_redis_link(&w->servers[0].redis,
	    "redis+cluster://127.0.0.1:1,", &s, &link_ops, w);
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

	w->servers[2].says[0] = names(w, 2, "MOVED", w->servers[0].redis.at);
	start(w, 60000);
	maps = w->servers[0].redis.maps + w->servers[1].redis.maps +
	       w->servers[2].redis.maps;
	assert_true(asks(w, FOO));
	assert_int_equal(w->servers[0].runs, 1);
	/* The map is asked for, and here it says what it said. */
	while (w->servers[0].redis.maps + w->servers[1].redis.maps +
		   w->servers[2].redis.maps ==
	       maps)
		pump_turns(w->loop, 1);
	assert_int_equal(w->servers[2].runs, 1);
	assert_int_equal(w->servers[0].asking, 0);
}

static void
test_ask_is_for_one_question(void **state)
{
	struct world *w = *state;

	w->servers[2].says[0] = names(w, 2, "ASK", w->servers[1].redis.at);
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

	w->servers[2].says[0] = names(w, 2, "MOVED", w->servers[0].redis.at);
	w->servers[0].says[0] = names(w, 0, "ASK", w->servers[2].redis.at);
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
	w->servers[2].says[1] = names(w, 2, "ASK", w->servers[1].redis.at);
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
		w->servers[i].redis.cluster_info = fake_redis_cluster_down;
	begin(w, 60000);
	assert_true(pump_until(w->loop, is_down, w));
	assert_non_null(strstr(w->why, "cluster is down"));
	assert_int_equal(w->ups, 0);
	for (size_t i = 0; i < SERVERS; i++)
		w->servers[i].redis.cluster_info = fake_redis_cluster_ok;
	assert_true(pump_until(w->loop, is_whole, w));
	assert_int_equal(w->ups, 1);
}

static void
test_a_replica_in_the_map(void **state)
{
	struct world *w = *state;

	w->servers[2].redis.role = fake_redis_replica;
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
