/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket on a real loop, with a real gate and a real spool: what
 * each command answers, who may ask, and what a client cannot do to the daemon.
 */
#include "config.h"

#include "pump.h"

#include "front/control_private.h"
#include "os/clock.h"
#include "smtp/address.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ALICE "<alice@example.org>"
#define BURST 10
#define ANSWER_MAX (64u << 20)

struct world {
	char dir[64], socket[96];
	struct loop *loop;
	struct spool *spool;
	struct loop_watch *watch;
	struct events *events;
	struct counters counters;
	struct policies *policies;
	struct gate *gate;
	struct nexthop *nexthop;
	struct delivery *delivery;
	struct control *control;
	bool reload_works;
	int reloads;
};

/* ---- the daemon ---- */

static void
on_spool(void *arg, int64_t now)
{
	struct world *w = arg;

	(void)now;
	spool_dispatch(w->spool);
}

static bool
on_reload(void *arg, char *err, size_t cap)
{
	struct world *w = arg;

	w->reloads++;
	snprintf(err, cap, "weir.conf:3: nonsense");
	return w->reload_works;
}

static bool
on_show_config(void *arg, struct buf *out)
{
	(void)arg;
	return buf_append_str(
	    out, STR("mode = enforce\nlisten \"a\" {\n\tx = 1\n}\n"));
}

static const char *
on_mode(void *arg)
{
	(void)arg;
	return "enforce";
}

static const struct gate_callbacks no_callbacks = {0};

static void
open_out(struct world *w)
{
	static const char *const hops[] = {"unix:/nonexistent/mta"};
	struct nexthop_settings hop = {.addresses = hops,
	    .address_count = 1,
	    .hostname = "relay.test",
	    .connect_timeout_ms = 1000,
	    .timeouts = {1000, 1000, 1000, 1000},
	    .connections_max = 4,
	    .rest_ms = 60000};
	struct delivery_settings out = {.hostname = "relay.test",
	    .concurrency = 1,
	    .retry_min_ms = 60000,
	    .retry_max_ms = 60000,
	    .max_age_ms = 600000};
	char err[256];

	w->nexthop =
	    nexthop_new(w->loop, &hop, &w->counters, NULL, err, sizeof(err));
	assert_non_null(w->nexthop);
	w->delivery = delivery_new(
	    w->loop, w->spool, w->nexthop, &out, w->events, &w->counters, NULL);
}

static void
open_control(struct world *w)
{
	struct control_parts parts = {.loop = w->loop,
	    .gate = w->gate,
	    .spool = w->spool,
	    .delivery = w->delivery,
	    .nexthop = w->nexthop,
	    .events = w->events,
	    .counters = &w->counters,
	    .version = "1.2.3",
	    .started_at = clock_wall_ms() - 5000,
	    .reload = on_reload,
	    .show_config = on_show_config,
	    .mode = on_mode,
	    .arg = w};
	struct listener_options options = {
	    .backlog = 64, .unix_mode = 0666, .unix_gid = -1};
	struct net_addr addr;
	struct listener *listener;
	char text[128], err[256];

	snprintf(w->socket, sizeof(w->socket), "%s/c.sock", w->dir);
	snprintf(text, sizeof(text), "unix:%s", w->socket);
	assert_true(net_addr_parse(str_from(text), &addr, err, sizeof(err)));
	listener = listener_new(&addr, &options, err, sizeof(err));
	assert_non_null(listener);
	w->control = control_new(&parts, listener, -1);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct spool_settings settings = {.min_free_bytes = 1,
	    .large_body_bytes = 1000,
	    .body_memory_bytes = 64u << 20,
	    .outstanding_max = 10000};
	struct gate_settings gate = {
	    .senders_max = 1000, .recipient_key = smtp_address_key};
	char err[256], spool[80];
	int status;

	snprintf(w->dir, sizeof(w->dir), "/tmp/weir-control-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0755), 0);
	snprintf(spool, sizeof(spool), "%s/spool", w->dir);
	settings.dir = spool;
	w->loop = loop_new();
	w->spool = spool_open(&settings, NULL, err, sizeof(err), &status);
	if (w->spool == NULL)
		fail_msg("%s", err);
	w->watch = loop_watch_new(w->loop, spool_fd(w->spool), on_spool, w);
	w->events = events_new();
	gate.policies = w->policies = policies_new(NULL, 0, err, sizeof(err));
	assert_non_null(w->policies);
	w->gate = gate_new(
	    &gate, w->spool, w->events, &w->counters, NULL, &no_callbacks, w);
	assert_int_equal(
	    gate_load(w->gate, loop_now(w->loop), clock_wall_ms()), 0);
	open_out(w);
	open_control(w);
	*state = w;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	struct world *w = *state;

	control_free(w->control);
	delivery_free(w->delivery);
	nexthop_free(w->nexthop);
	gate_free(w->gate);
	policies_free(w->policies);
	loop_watch_free(w->watch);
	spool_close(w->spool);
	events_free(w->events);
	loop_free(w->loop);
	nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- a client ---- */

struct client {
	int fd;
	struct buf in;
	bool closed, stop; /* stop: do not read */
};

static void
client_open(struct world *w, struct client *c)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memset(c, 0, sizeof(*c));
	buf_init(&c->in, ANSWER_MAX);
	str_copy(str_from(w->socket), un.sun_path, sizeof(un.sun_path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_true(c->fd >= 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&un, sizeof(un)), 0);
}

static void
client_close(struct client *c)
{
	close(c->fd);
	buf_clear(&c->in);
}

static void
client_send(struct client *c, const char *line)
{
	size_t n = strlen(line);

	assert_int_equal(send(c->fd, line, n, MSG_NOSIGNAL), n);
	assert_int_equal(send(c->fd, "\n", 1, MSG_NOSIGNAL), 1);
}

static void
client_read(struct client *c)
{
	for (;;) {
		char *room = buf_reserve(&c->in, 65536);
		ssize_t n = recv(c->fd, room, 65536, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			c->closed = true;
			return;
		}
		buf_commit(&c->in, (size_t)n);
	}
}

/* The last line is {"done"... or {"error"... */
static bool
is_answered(void *arg)
{
	struct client *c = arg;
	struct str s;
	size_t at;

	client_read(c);
	s = buf_str(&c->in);
	if (s.n == 0 || s.p[s.n - 1] != '\n')
		return c->closed;
	at = str_rindex(str_sub(s, 0, s.n - 1), '\n');
	s = at < s.n - 1 ? str_sub(s, at + 1, s.n) : s;
	return c->closed || str_starts(s, STR("{\"done\"")) ||
	       str_starts(s, STR("{\"error\""));
}

static bool
is_closed(void *arg)
{
	struct client *c = arg;

	client_read(c);
	return c->closed;
}

/* All lines as an array; the buffer is emptied. */
static json_t *
client_take(struct client *c)
{
	struct str s = buf_str(&c->in);
	json_t *lines = json_array();

	while (s.n > 0) {
		struct str line = str_cut(&s, '\n');
		json_t *root = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);

		if (root == NULL)
			fail_msg("not JSON: %.*s", STR_ARG(line));
		json_array_append_new(lines, root);
	}
	buf_reset(&c->in);
	return lines;
}

/* The answer to one request. */
static json_t *
ask(struct world *w, const char *line)
{
	struct client c;
	json_t *lines;

	client_open(w, &c);
	client_send(&c, line);
	assert_true(pump_until(w->loop, is_answered, &c));
	lines = client_take(&c);
	client_close(&c);
	return lines;
}

static const json_t *
last(const json_t *lines)
{
	return json_array_get(lines, json_array_size(lines) - 1);
}

static const json_t *
row(const json_t *lines, size_t i)
{
	return json_object_get(json_array_get(lines, i), "row");
}

static const char *
text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s == NULL)
		fail_msg("no text \"%s\"", name);
	return s;
}

static json_int_t
number(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	if (!json_is_integer(v))
		fail_msg("no number \"%s\"", name);
	return json_integer_value(v);
}

static void
expect_done(struct world *w, const char *line, json_int_t recipients)
{
	json_t *lines = ask(w, line);

	if (!json_is_true(json_object_get(last(lines), "done")))
		fail_msg("%s: %s", line, text(last(lines), "error"));
	if (recipients >= 0)
		assert_int_equal(number(last(lines), "recipients"), recipients);
	json_decref(lines);
}

static void
expect_error(struct world *w, const char *line, int status, const char *part)
{
	json_t *lines = ask(w, line);

	assert_int_equal(json_array_size(lines), 1);
	if (strstr(text(last(lines), "error"), part) == NULL)
		fail_msg("%s: %s", line, text(last(lines), "error"));
	assert_int_equal(number(last(lines), "status"), status);
	json_decref(lines);
}

static size_t
count_rows(struct world *w, const char *line)
{
	json_t *lines = ask(w, line);
	size_t n = json_array_size(lines) - 1;

	assert_true(json_is_true(json_object_get(last(lines), "done")));
	json_decref(lines);
	return n;
}

/* ---- mail ---- */

static void
take_verdict(void *arg, const struct gate_answer *answer)
{
	*(enum throttle_verdict *)arg = answer->verdict;
}

static void
on_put(void *arg, int error)
{
	assert_int_equal(error, 0);
	*(bool *)arg = true;
}

/* One message to `to`, in the spool when the gate holds it. Returns its id. */
static uint64_t
submit(struct world *w, const char *from, const char *to, struct str body)
{
	struct gate_facts facts = {.sender = str_from(from)};
	int64_t now = loop_now(w->loop), wall = clock_wall_ms();
	struct gate_txn *txn = gate_begin(w->gate, &facts, now);
	struct spool_rcpt rcpt = {.address = to};
	struct spool_message m = {.from = from,
	    .subject = "S\xff",
	    .client = "local",
	    .helo = "h",
	    .queued_at = wall,
	    .rcpts = &rcpt,
	    .rcpt_count = 1};
	enum throttle_verdict verdict;
	struct spool_body *text;
	uint64_t ticket = 0;
	bool done = false;

	gate_recipient(txn, str_from(to), now, wall, take_verdict, &verdict);
	if (verdict == THROTTLE_HOLD) {
		m.id = ticket = spool_new_id(w->spool, wall);
		m.source = gate_txn_source(txn);
		m.policy = gate_txn_policy(txn);
		rcpt.ticket = m.id;
		rcpt.state = SPOOL_HELD;
		rcpt.destination = gate_txn_destination(txn, 0);
		text = spool_body_new(w->spool, m.id);
		(void)spool_body_write(text, body.p, body.n);
		spool_put(w->spool, &m, text, on_put, &done);
		assert_true(pump_until(w->loop, pump_is_set, &done));
	}
	gate_commit(txn, &ticket, loop_now(w->loop), wall);
	return ticket;
}

/* A sender with so many held messages, to n0@example.net, n1@... */
static uint64_t
submit_many(struct world *w, const char *from, int held)
{
	uint64_t first = 0;
	char to[64];

	for (int i = 0; i < BURST; i++) {
		snprintf(to, sizeof(to), "known%d@example.net", i);
		submit(w, from, to, STR(""));
	}
	for (int i = 0; i < held; i++) {
		uint64_t id;

		snprintf(to, sizeof(to), "n%d@example.net", i);
		id = submit(w, from, to, STR("Subject: x\r\n\r\nbody\r\n"));
		first = first != 0 ? first : id;
	}
	return first;
}

/* ---- requests ---- */

static const struct {
	const char *line, *part;
} bad_requests[] = {
    {"", "one JSON object"},
    {"{", "one JSON object"},
    {"[]", "one JSON object"},
    {"{\"command\":\"status\"} x", "one JSON object"},
    {"{\"command\":\"status\",\"command\":\"senders\"}", "one JSON object"},
    {"{}", "needs a \"command\""},
    {"{\"command\":1}", "needs a \"command\""},
    {"{\"command\":\"dance\\u001b\"}", "no command \"dance\\x1b\""},
    {"{\"command\":\"status\",\"all\":true}", "takes no \"all\""},
    {"{\"command\":\"status\",\"who\":\"me\"}", "takes no \"who\""},
    {"{\"command\":\"show\"}", "show needs: sender"},
    {"{\"command\":\"show\",\"sender\":\"\"}", "1 to 512 bytes"},
    {"{\"command\":\"show\",\"sender\":7}", "1 to 512 bytes"},
    {"{\"command\":\"senders\",\"frozen\":1}", "true or false"},
    {"{\"command\":\"release\"}", "needs one of: sender, ids, all"},
    {"{\"command\":\"release\",\"all\":false}", "needs one of"},
    {"{\"command\":\"release\",\"recipient\":\"x\"}", "needs one of"},
    {"{\"command\":\"release\",\"all\":true,\"sender\":\"a\"}", "needs one of"},
    {"{\"command\":\"release\",\"ids\":[]}", "list of 1 to"},
    {"{\"command\":\"release\",\"ids\":\"x\"}", "list of 1 to"},
    {"{\"command\":\"release\",\"ids\":[1]}", "list of texts"},
    {"{\"command\":\"release\",\"ids\":[\"..\"]}", "not a queue id"},
    {"{\"command\":\"release\",\"all\":true,\"older\":\"2\"}", "duration"},
    {"{\"command\":\"thaw\",\"sender\":\"a\",\"then\":\"run\"}",
	"\"release\" or \"discard\""},
    {"{\"command\":\"events\",\"max\":0}", "number from 1"},
    {"{\"command\":\"events\",\"max\":1000000}", "number from 1"},
};

static void
test_bad_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
		struct control_request r;
		char err[512] = "";

		if (control_request_parse(
			str_from(bad_requests[i].line), &r, err, sizeof(err)))
			fail_msg("taken: %s", bad_requests[i].line);
		if (strstr(err, bad_requests[i].part) == NULL)
			fail_msg("%s: %s", bad_requests[i].line, err);
		control_request_clear(&r);
	}
}

static void
test_good_request(void **state)
{
	struct control_request r;
	char err[512], line[256], id[SPOOL_ID_TEXT];
	uint64_t want = (uint64_t)123456789 << 12;

	(void)state;
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"ids\":[\"%s\"],\"older\":\"2h\","
	    "\"recipient\":\"*@x\"}",
	    spool_id_format(want, id));
	assert_true(
	    control_request_parse(str_from(line), &r, err, sizeof(err)));
	assert_string_equal(r.command->name, "release");
	assert_int_equal(r.command->right, CONTROL_CHANGE);
	assert_int_equal(r.id_count, 1);
	assert_true(r.ids[0] == want);
	assert_int_equal(r.older_ms, 7200000);
	assert_string_equal(r.recipient, "*@x");
	assert_int_equal(
	    r.given, CONTROL_IDS | CONTROL_OLDER | CONTROL_RECIPIENT);
	control_request_clear(&r);
}

/* Each command says what it is for; what it needs, it takes. */
static void
test_table(void **state)
{
	(void)state;
	for (const struct control_command *c = control_commands;
	     c->name != NULL; c++) {
		assert_non_null(c->run);
		assert_non_null(c->doc);
		assert_true(
		    c->right == CONTROL_READ || c->right == CONTROL_CHANGE);
		assert_int_equal((c->needs | c->needs_one) & ~c->takes, 0);
	}
}

/* ---- commands ---- */

static void
test_status(void **state)
{
	static const char *const numbers[] = {"senders", "frozen_senders",
	    "held_messages", "held_recipients", "passed_recipients",
	    "delayed_recipients", "released_recipients", "refused_recipients",
	    "uptime_s"};
	struct world *w = *state;
	json_t *lines;

	submit_many(w, "alice@example.org", 3);
	lines = ask(w, "{\"command\":\"status\"}");
	assert_int_equal(json_array_size(lines), 2);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		number(row(lines, 0), numbers[i]);
	for (size_t i = 0; i < COUNT_MAX; i++)
		number(row(lines, 0), counter_info[i].name);
	assert_string_equal(text(row(lines, 0), "mode"), "enforce");
	assert_string_equal(text(row(lines, 0), "version"), "1.2.3");
	assert_int_equal(number(row(lines, 0), "senders"), 1);
	assert_int_equal(number(row(lines, 0), "held_messages"), 3);
	assert_int_equal(number(row(lines, 0), "held_recipients"), 3);
	assert_true(number(row(lines, 0), "uptime_s") >= 5);
	json_decref(lines);
}

static void
test_senders(void **state)
{
	struct world *w = *state;
	json_t *lines;

	submit_many(w, "alice@example.org", 2);
	submit(w, "bob@example.org", "x@example.net", STR(""));
	assert_int_equal(count_rows(w, "{\"command\":\"senders\"}"), 2);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"busy\":true}"), 1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 0);
	lines =
	    ask(w, "{\"command\":\"show\",\"sender\":\"Alice@example.org\"}");
	assert_string_equal(text(row(lines, 0), "sender"), ALICE);
	assert_string_equal(text(row(lines, 0), "policy"), "default");
	assert_int_equal(number(row(lines, 0), "queue_length"), 2);
	assert_int_equal(number(row(lines, 0), "allowance"), 0);
	assert_int_equal(number(row(lines, 0), "working_set"), BURST);
	assert_int_equal(number(row(lines, 0), "freeze_at"), 100);
	assert_true(json_is_false(json_object_get(row(lines, 0), "frozen")));
	assert_int_equal(strlen(text(row(lines, 0), "last_seen")), 20);
	json_decref(lines);
	expect_error(w, "{\"command\":\"show\",\"sender\":\"carol\"}", 1,
	    "no such sender: carol");
}

static void
test_queue(void **state)
{
	struct world *w = *state;
	uint64_t id = submit_many(w, "alice@example.org", 3);
	char want[SPOOL_ID_TEXT];
	const json_t *m;
	json_t *lines = ask(w, "{\"command\":\"queue\"}");

	assert_int_equal(json_array_size(lines), 4);
	m = row(lines, 0);
	assert_string_equal(text(m, "id"), spool_id_format(id, want));
	assert_string_equal(text(m, "sender"), ALICE);
	assert_string_equal(text(m, "from"), "alice@example.org");
	assert_string_equal(text(m, "subject"), "S\xef\xbf\xbd");
	assert_int_equal(number(m, "size"), 20);
	assert_int_equal(strlen(text(m, "queued_at")), 20);
	m = json_array_get(json_object_get(m, "recipients"), 0);
	assert_string_equal(text(m, "address"), "n0@example.net");
	assert_string_equal(text(m, "state"), "held");
	json_decref(lines);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\",\"sender\":"
				       "\"alice@example.org\"}"),
	    3);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\","
				       "\"recipient\":\"n2@*\"}"),
	    1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"queue\",\"older\":\"1h\"}"), 0);
	expect_error(w, "{\"command\":\"queue\",\"sender\":\"carol\"}", 1,
	    "no such sender");
}

static void
test_cat(void **state)
{
	struct world *w = *state;
	char body[100000], line[128], id[SPOOL_ID_TEXT];
	size_t at = 0;
	json_t *lines;
	uint64_t held;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 7 + i / 256);
	submit_many(w, "alice@example.org", 0);
	held = submit(w, "alice@example.org", "n@example.net",
	    (struct str){body, sizeof(body)});
	snprintf(line, sizeof(line), "{\"command\":\"cat\",\"ids\":[\"%s\"]}",
	    spool_id_format(held, id));
	lines = ask(w, line);
	assert_string_equal(
	    text(json_object_get(row(lines, 0), "envelope"), "id"), id);
	for (size_t i = 1; i + 1 < json_array_size(lines); i++) {
		const json_t *data = json_object_get(row(lines, i), "data");
		const unsigned char *p =
		    (const unsigned char *)json_string_value(data);
		size_t n = json_string_length(data);

		for (size_t j = 0; j < n; j++, at++) {
			unsigned c = p[j];

			if (c >= 0x80) {
				c = (c & 3) << 6 | (p[j + 1] & 0x3f);
				j++;
			}
			assert_true(at < sizeof(body));
			assert_int_equal(c, (unsigned char)body[at]);
		}
	}
	assert_int_equal(at, sizeof(body));
	assert_true(json_is_true(json_object_get(last(lines), "done")));
	json_decref(lines);
	snprintf(line, sizeof(line), "{\"command\":\"cat\",\"ids\":[\"%s\"]}",
	    spool_id_format(held + 4096, id));
	expect_error(w, line, 1, "no such");
}

static void
test_release(void **state)
{
	struct world *w = *state;
	uint64_t first = submit_many(w, "alice@example.org", 6);
	char line[128], id[SPOOL_ID_TEXT];

	submit_many(w, "bob@example.org", 3);
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"ids\":[\"%s\"]}",
	    spool_id_format(first, id));
	expect_done(w, line, 1);
	expect_error(w, line, 1, "nothing held fits");
	expect_done(w,
	    "{\"command\":\"release\",\"sender\":\"alice@example.org\","
	    "\"recipient\":\"n3@*\"}",
	    1);
	expect_done(
	    w, "{\"command\":\"release\",\"all\":true,\"older\":\"1h\"}", 0);
	expect_done(
	    w, "{\"command\":\"release\",\"sender\":\"bob@example.org\"}", 3);
	expect_done(w, "{\"command\":\"release\",\"all\":true}", 4);
	expect_done(w, "{\"command\":\"release\",\"all\":true}", 0);
	expect_error(w, "{\"command\":\"release\",\"sender\":\"carol\"}", 1,
	    "nothing held fits");
	/* Nine are released and wait for the next hop, which is not there. */
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 9);
}

static void
test_discard_and_audit(void **state)
{
	struct world *w = *state;
	json_t *lines;
	char who[64];

	submit_many(w, "alice@example.org", 4);
	expect_done(w,
	    "{\"command\":\"discard\",\"all\":true,\"recipient\":\"n1@*\"}", 1);
	expect_done(
	    w, "{\"command\":\"discard\",\"sender\":\"alice@example.org\"}", 3);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 0);
	lines = ask(w, "{\"command\":\"audit\"}");
	assert_int_equal(json_array_size(lines), 3);
	assert_string_equal(text(row(lines, 0), "action"), "discard");
	snprintf(who, sizeof(who), "(uid %u)", (unsigned)geteuid());
	assert_non_null(strstr(text(row(lines, 0), "who"), who));
	json_decref(lines);
	assert_int_equal(count_rows(w, "{\"command\":\"audit\",\"max\":1}"), 1);
}

static void
test_freeze_and_thaw(void **state)
{
	struct world *w = *state;

	submit_many(w, "alice@example.org", 4);
	expect_done(
	    w, "{\"command\":\"freeze\",\"sender\":\"alice@example.org\"}", -1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 1);
	expect_done(
	    w, "{\"command\":\"thaw\",\"sender\":\"alice@example.org\"}", 0);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 0);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 4);
	expect_done(w,
	    "{\"command\":\"thaw\",\"sender\":\"alice@example.org\","
	    "\"then\":\"discard\"}",
	    4);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 0);
	expect_done(
	    w, "{\"command\":\"freeze\",\"sender\":\"new@example.org\"}", -1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 1);
	expect_error(w, "{\"command\":\"thaw\",\"sender\":\"carol\"}", 1,
	    "no such sender");
}

static void
test_reload_and_config(void **state)
{
	struct world *w = *state;
	json_t *lines;

	expect_error(w, "{\"command\":\"reload\"}", 1,
	    "the old configuration stays: weir.conf:3: nonsense");
	w->reload_works = true;
	expect_done(w, "{\"command\":\"reload\"}", -1);
	assert_int_equal(w->reloads, 2);
	assert_int_equal(count_rows(w, "{\"command\":\"audit\"}"), 1);
	lines = ask(w, "{\"command\":\"config\"}");
	assert_int_equal(json_array_size(lines), 5);
	assert_string_equal(text(row(lines, 2), "line"), "\tx = 1");
	json_decref(lines);
}

/* ---- a client that asks twice, leaves, floods, or does not read ---- */

static void
test_requests_in_a_row(void **state)
{
	struct world *w = *state;
	struct client c;
	json_t *lines;

	client_open(w, &c);
	client_send(
	    &c, "{\"command\":\"senders\"}\n\n{\"command\":\"nothing\"}");
	assert_true(pump_until(w->loop, is_answered, &c));
	while (json_array_size(lines = client_take(&c)) < 1)
		json_decref(lines);
	if (json_array_size(lines) < 2) {
		json_decref(lines);
		assert_true(pump_until(w->loop, is_answered, &c));
		lines = client_take(&c);
	}
	assert_int_equal(number(last(lines), "status"), 2);
	json_decref(lines);
	client_send(&c, "{\"command\":\"senders\"}");
	assert_true(pump_until(w->loop, is_answered, &c));
	client_close(&c);
}

static void
test_events(void **state)
{
	struct world *w = *state;
	struct client c;
	json_t *lines;

	for (int i = 0; i < 50; i++)
		events_add(w->events, clock_wall_ms(), EVENT_HOLD, "s\xff",
		    "id", "old %d", i);
	assert_int_equal(count_rows(w, "{\"command\":\"events\"}"), 50);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"events\",\"max\":7}"), 7);
	client_open(w, &c);
	client_send(&c, "{\"command\":\"events\",\"follow\":true,\"max\":2}");
	pump_turns(w->loop, 20);
	events_add(
	    w->events, clock_wall_ms(), EVENT_FREEZE, "alice", "", "new");
	pump_turns(w->loop, 20);
	client_read(&c);
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 3);
	assert_string_equal(
	    text(json_object_get(last(lines), "event"), "type"), "freeze");
	assert_string_equal(
	    text(json_object_get(last(lines), "event"), "sender"), "alice");
	json_decref(lines);
	client_close(&c);
	pump_turns(w->loop, 20);
	assert_int_equal(w->control->conn_count, 0);
	events_add(w->events, clock_wall_ms(), EVENT_FREEZE, "alice", "", "-");
}

static void
test_deaf_follower_is_dropped(void **state)
{
	struct world *w = *state;
	struct client c;
	int told = 0;

	client_open(w, &c);
	client_send(&c, "{\"command\":\"events\",\"follow\":true}");
	pump_turns(w->loop, 20);
	assert_int_equal(w->control->conn_count, 1);
	for (; told < 20000 && w->control->conn_count > 0; told++) {
		events_add(w->events, clock_wall_ms(), EVENT_HOLD, "alice", "",
		    "%0400d", told);
		if (told % 50 == 0)
			pump_turns(w->loop, 1);
	}
	/* What waits here, in the connection, and in the kernel. */
	assert_true(told * 450 < 3 << 20);
	pump_turns(w->loop, 5);
	assert_int_equal(w->control->conn_count, 0);
	assert_true(pump_until(w->loop, is_closed, &c));
	client_close(&c);
	expect_done(w, "{\"command\":\"status\"}", -1);
}

/* What waits for a client that does not read stays bounded, and it gets every
 * row once when it does. */
static void
test_long_listing_is_bounded(void **state)
{
	struct world *w = *state;
	struct client c, other;
	struct control_conn *conn;
	json_t *lines;
	char name[400];
	int64_t now;

	for (int i = 0; i < 30000; i++) {
		struct gate_facts facts = {0};
		struct gate_txn *txn;
		uint64_t none = 0;
		enum throttle_verdict verdict;

		snprintf(name, sizeof(name), "%0200d@example.org", i % 900);
		facts.sender = str_from(name);
		now = loop_now(w->loop);
		txn = gate_begin(w->gate, &facts, now);
		gate_recipient(txn, STR("x@example.net"), now, clock_wall_ms(),
		    take_verdict, &verdict);
		gate_commit(txn, &none, now, clock_wall_ms());
		if (i >= 900)
			break;
	}
	client_open(w, &c);
	for (int i = 0; i < 40; i++)
		client_send(&c, "{\"command\":\"senders\"}");
	pump_turns(w->loop, 50);
	conn = LIST_ITEM(w->control->conns.next, struct control_conn, entry);
	assert_true(conn->out.len > 0);
	assert_true(conn->out.len <= CONTROL_OUT_MAX);
	/* Others are served meanwhile. */
	client_open(w, &other);
	client_send(&other, "{\"command\":\"status\"}");
	assert_true(pump_until(w->loop, is_answered, &other));
	client_close(&other);
	for (int i = 0; i < 200; i++) {
		client_read(&c);
		pump_turns(w->loop, 2);
	}
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 40 * 901);
	json_decref(lines);
	client_close(&c);
}

static void
test_queue_pages(void **state)
{
	struct world *w = *state;
	json_t *lines;
	const char *before = "";

	submit_many(w, "alice@example.org", 99);
	submit_many(w, "bob@example.org", 99);
	submit_many(w, "carol@example.org", 99);
	lines = ask(w, "{\"command\":\"queue\"}");
	assert_int_equal(json_array_size(lines), 3 * 99 + 1);
	for (size_t i = 0; i < 3 * 99; i++) {
		assert_true(strcmp(before, text(row(lines, i), "id")) < 0);
		before = text(row(lines, i), "id");
	}
	json_decref(lines);
}

#define BIG_RCPTS 3000

static void
put_big(struct world *w, uint64_t id)
{
	struct spool_rcpt *rcpts = xcalloc(BIG_RCPTS, sizeof(*rcpts));
	struct spool_message m = {.id = id,
	    .source = ALICE,
	    .policy = "default",
	    .from = "a@b",
	    .client = "local",
	    .helo = "h",
	    .queued_at = clock_wall_ms(),
	    .rcpts = rcpts,
	    .rcpt_count = BIG_RCPTS};
	char address[151] = "";
	bool done = false;

	/* Each of these takes six bytes in JSON. */
	memset(address, 1, sizeof(address) - 1);
	for (size_t i = 0; i < BIG_RCPTS; i++) {
		rcpts[i].ticket = SPOOL_TICKET(id, i);
		rcpts[i].address = address;
		rcpts[i].state = SPOOL_HELD;
	}
	spool_put(w->spool, &m, spool_body_new(w->spool, id), on_put, &done);
	assert_true(pump_until(w->loop, pump_is_set, &done));
	free(rcpts);
}

/* A page that is larger than what may wait is asked for again from where it
 * was cut: each message comes once. */
static void
test_queue_of_large_messages(void **state)
{
	struct world *w = *state;
	const char *before = "";
	json_t *lines;

	for (int i = 0; i < 16; i++)
		put_big(w, spool_new_id(w->spool, clock_wall_ms()));
	lines = ask(w, "{\"command\":\"queue\"}");
	assert_int_equal(json_array_size(lines), 17);
	for (size_t i = 0; i < 16; i++) {
		assert_true(strcmp(before, text(row(lines, i), "id")) < 0);
		before = text(row(lines, i), "id");
		assert_int_equal(json_array_size(json_object_get(
				     row(lines, i), "recipients")),
		    BIG_RCPTS);
	}
	json_decref(lines);
}

static void
test_too_long_a_request(void **state)
{
	struct world *w = *state;
	struct client c;
	char *chunk = xmalloc(65536);
	json_t *lines;

	memset(chunk, 'x', 65536);
	client_open(w, &c);
	for (int i = 0; i < 100 && !c.closed; i++) {
		if (send(c.fd, chunk, 65536, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN)
			break;
		pump_turns(w->loop, 1);
	}
	assert_true(pump_until(w->loop, is_closed, &c));
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 1);
	assert_string_equal(text(last(lines), "error"), "request is too long");
	json_decref(lines);
	client_close(&c);
	free(chunk);
}

static void
test_too_many_connections(void **state)
{
	struct world *w = *state;
	struct client c[CONTROL_CONNS_MAX], extra;
	json_t *lines;

	for (size_t i = 0; i < CONTROL_CONNS_MAX; i++)
		client_open(w, &c[i]);
	pump_turns(w->loop, 20);
	assert_int_equal(w->control->conn_count, CONTROL_CONNS_MAX);
	client_open(w, &extra);
	assert_true(pump_until(w->loop, is_closed, &extra));
	lines = client_take(&extra);
	assert_non_null(strstr(text(last(lines), "error"), "too many"));
	json_decref(lines);
	client_close(&extra);
	for (size_t i = 0; i < CONTROL_CONNS_MAX; i++)
		client_close(&c[i]);
	pump_turns(w->loop, 20);
	assert_int_equal(w->control->conn_count, 0);
	expect_done(w, "{\"command\":\"status\"}", -1);
}

/* The operation goes on; its answer finds nobody. Until it came, the place is
 * taken: operations of those who left are bounded as well. */
static void
test_client_leaves(void **state)
{
	struct world *w = *state;
	struct client c;

	submit_many(w, "alice@example.org", 3);
	loop_watch_free(w->watch);
	client_open(w, &c);
	client_send(&c, "{\"command\":\"queue\"}");
	pump_turns(w->loop, 20);
	client_close(&c);
	pump_turns(w->loop, 20);
	assert_int_equal(w->control->conn_count, 1);
	assert_false(list_is_empty(&w->control->ended));
	w->watch = loop_watch_new(w->loop, spool_fd(w->spool), on_spool, w);
	pump_turns(w->loop, 50);
	assert_int_equal(w->control->conn_count, 0);
	assert_true(list_is_empty(&w->control->ended));
	expect_done(w, "{\"command\":\"release\",\"all\":true}", 3);
}

static void
test_strangers_are_refused(void **state)
{
	struct world *w = *state;
	struct client c;
	json_t *lines;

	if (geteuid() != 0) {
		skip();
		return;
	}
	/* The kernel takes the peer's user when it connects. */
	assert_int_equal(seteuid(65534), 0);
	client_open(w, &c);
	assert_int_equal(seteuid(0), 0);
	client_send(&c, "{\"command\":\"status\"}");
	assert_true(pump_until(w->loop, is_closed, &c));
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 1);
	assert_non_null(
	    strstr(text(last(lines), "error"), "permission denied"));
	assert_int_equal(number(last(lines), "status"), 1);
	json_decref(lines);
	client_close(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bad_requests),
	    cmocka_unit_test(test_good_request),
	    cmocka_unit_test(test_table),
	    TEST(test_status),
	    TEST(test_senders),
	    TEST(test_queue),
	    TEST(test_queue_pages),
	    TEST(test_queue_of_large_messages),
	    TEST(test_cat),
	    TEST(test_release),
	    TEST(test_discard_and_audit),
	    TEST(test_freeze_and_thaw),
	    TEST(test_reload_and_config),
	    TEST(test_requests_in_a_row),
	    TEST(test_events),
	    TEST(test_deaf_follower_is_dropped),
	    TEST(test_long_listing_is_bounded),
	    TEST(test_too_long_a_request),
	    TEST(test_too_many_connections),
	    TEST(test_client_leaves),
	    TEST(test_strangers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
