/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon and the clients of the tests of the control socket.
 */
#include "config.h"

#include "control_world.h"

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

#define ANSWER_MAX (64u << 20)

/* ---- the daemon ---- */

void
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

/* The first has time, the other two have not. */
static bool
on_certificate(void *arg, size_t i, struct tls_cert *out)
{
	static const int days[] = {15, 13, -1};

	(void)arg;
	if (i >= ARRAY_LEN(days))
		return false;
	*out = (struct tls_cert){.file = "/etc/x.pem",
	    .names = "x.test",
	    .expires_at = clock_wall_ms() + days[i] * 24 * 3600 * 1000L};
	return true;
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
	    .problems = w->problems,
	    .counters = &w->counters,
	    .version = "1.2.3",
	    .started_at = clock_wall_ms() - 5000,
	    .reload = on_reload,
	    .show_config = on_show_config,
	    .mode = on_mode,
	    .certificate = on_certificate,
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

int
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
	w->problems = problems_new(w->events);
	gate.policies = w->policies = policies_new(NULL, 0, err, sizeof(err));
	assert_non_null(w->policies);
	w->gate = gate_new(
	    &gate, w->spool, w->events, &w->counters, NULL, &no_callbacks, w);
	assert_int_equal(
	    gate_load(w->gate, loop_now(w->loop), clock_wall_ms()), 0);
	assert_true(gate_load_wait(w->gate, 30000));
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

int
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
	problems_free(w->problems);
	events_free(w->events);
	loop_free(w->loop);
	nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- a client ---- */

void
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

void
client_close(struct client *c)
{
	close(c->fd);
	buf_clear(&c->in);
}

void
client_send(struct client *c, const char *line)
{
	size_t n = strlen(line);

	assert_int_equal(send(c->fd, line, n, MSG_NOSIGNAL), n);
	assert_int_equal(send(c->fd, "\n", 1, MSG_NOSIGNAL), 1);
}

void
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
bool
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

bool
is_closed(void *arg)
{
	struct client *c = arg;

	client_read(c);
	return c->closed;
}

/* All lines as an array; the buffer is emptied. */
json_t *
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
json_t *
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

const json_t *
last(const json_t *lines)
{
	return json_array_get(lines, json_array_size(lines) - 1);
}

const json_t *
row(const json_t *lines, size_t i)
{
	return json_object_get(json_array_get(lines, i), "row");
}

const char *
text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s == NULL)
		fail_msg("no text \"%s\"", name);
	return s;
}

json_int_t
number(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	if (!json_is_integer(v))
		fail_msg("no number \"%s\"", name);
	return json_integer_value(v);
}

void
expect_done(struct world *w, const char *line, json_int_t recipients)
{
	json_t *lines = ask(w, line);

	if (!json_is_true(json_object_get(last(lines), "done")))
		fail_msg("%s: %s", line, text(last(lines), "error"));
	if (recipients >= 0)
		assert_int_equal(number(last(lines), "recipients"), recipients);
	json_decref(lines);
}

void
expect_error(struct world *w, const char *line, int status, const char *part)
{
	json_t *lines = ask(w, line);

	assert_int_equal(json_array_size(lines), 1);
	if (strstr(text(last(lines), "error"), part) == NULL)
		fail_msg("%s: %s", line, text(last(lines), "error"));
	assert_int_equal(number(last(lines), "status"), status);
	json_decref(lines);
}

size_t
count_rows(struct world *w, const char *line)
{
	json_t *lines = ask(w, line);
	size_t n = json_array_size(lines) - 1;

	assert_true(json_is_true(json_object_get(last(lines), "done")));
	json_decref(lines);
	return n;
}

/* ---- mail ---- */

void
take_verdict(void *arg, const struct gate_answer *answer)
{
	*(enum throttle_verdict *)arg = answer->verdict;
}

void
on_put(void *arg, int error)
{
	assert_int_equal(error, 0);
	*(bool *)arg = true;
}

/* One message to `to`, in the spool when the gate holds it. Returns its id. */
uint64_t
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
uint64_t
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
