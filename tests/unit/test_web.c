/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP connections on the loop: several requests on one, deadlines, caps, who
 * may connect and ask. Listeners are Unix sockets and loopback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/web.h"
#include "pump.h"

struct world {
	struct loop *loop;
	struct log *log;
	struct web *web;
	struct web_server server;
	struct web_access access;
	struct net_addr addr;
	size_t body; /* bytes of the answer to /big */
	int asked;
};

struct client {
	int fd;
	char text[8192];
	size_t n, total; /* kept, and read */
	bool closed;
};

static void
on_hello(struct web_exchange *x, int64_t now)
{
	struct world *w = web_arg(x);
	const struct http_request *q = web_request(x);
	const struct str *name = http_target_parameter(web_target(x), "name");
	struct buf body;

	(void)now;
	w->asked++;
	buf_init(&body, 4096);
	assert_true(buf_printf(&body, "hello %s, %zu bytes\n",
	    name != NULL ? name->p : "-", q->body.n));
	web_answer(x, 200, "text/plain", &body);
}

static void
on_big(struct web_exchange *x, int64_t now)
{
	struct world *w = web_arg(x);
	struct buf body;

	(void)now;
	buf_init(&body, w->body);
	memset(buf_reserve(&body, w->body), 'a', w->body);
	buf_commit(&body, w->body);
	web_answer(x, 200, "text/plain", &body);
}

static void
on_secret(struct web_exchange *x, int64_t now)
{
	(void)now;
	web_refuse(x, 500, "nobody has this right");
}

static const struct web_route routes[] = {
    {"GET", "/hello", WEB_METRICS, on_hello, "", NULL, 0},
    {"POST", "/hello", WEB_METRICS, on_hello, "", NULL, 0},
    {"GET", "/big", WEB_METRICS, on_big, "", NULL, 0},
    {"GET", "/secret", 1 << 20, on_secret, "", NULL, 0},
    {0},
};

static void
start(struct world *w, const char *address)
{
	const struct listener_options options = {
	    .backlog = 128, .unix_mode = 0600, .unix_gid = -1};
	struct listener *ln;
	char err[256];

	assert_true(
	    net_addr_parse(str_from(address), &w->addr, err, sizeof(err)));
	ln = listener_new(&w->addr, &options, err, sizeof(err));
	assert_non_null(ln);
	w->addr = *listener_addr(ln);
	w->server.loop = w->loop;
	w->server.log = w->log;
	w->server.routes = routes;
	w->server.arg = w;
	w->web = web_new(&w->server);
	web_listen(w->web, ln, &w->access);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->loop = loop_new();
	w->log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	w->access = (struct web_access){.name = "test", .rights = WEB_METRICS};
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	web_free(w->web);
	loop_free(w->loop);
	log_free(w->log);
	free(w);
	return 0;
}

/* From another address of this machine, 127.0.0.host. */
static void
client_open_from(struct world *w, struct client *c, unsigned host)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(0x7f000000u + host)};

	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
	assert_true(c->fd >= 0);
	assert_int_equal(
	    bind(c->fd, (const struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(
	    connect(c->fd, (const struct sockaddr *)&w->addr.ss, w->addr.len),
	    0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static void
client_open(struct world *w, struct client *c)
{
	*c =
	    (struct client){.fd = socket(w->addr.ss.ss_family, SOCK_STREAM, 0)};
	assert_true(c->fd >= 0);
	assert_int_equal(
	    connect(c->fd, (const struct sockaddr *)&w->addr.ss, w->addr.len),
	    0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static void
client_send(struct client *c, const char *text)
{
	assert_int_equal(
	    send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void
client_read(struct client *c)
{
	char text[65536];

	for (;;) {
		ssize_t n = recv(c->fd, text, sizeof(text), 0);
		size_t room = sizeof(c->text) - 1 - c->n;

		if (n <= 0) {
			c->closed = c->closed || n == 0 || errno != EAGAIN;
			return;
		}
		c->total += (size_t)n;
		if (room > (size_t)n)
			room = (size_t)n;
		memcpy(c->text + c->n, text, room);
		c->n += room;
	}
}

struct wish {
	struct client *c;
	const char *text; /* NULL: the end */
};

static bool
has_come(void *arg)
{
	struct wish *w = arg;

	client_read(w->c);
	if (w->text == NULL)
		return w->c->closed;
	return strstr(w->c->text, w->text) != NULL;
}

static void
expect(struct world *w, struct client *c, const char *text)
{
	assert_true(pump_until(w->loop, has_come, &(struct wish){c, text}));
}

static void
test_several_on_one(void **state)
{
	struct world *w = *state;
	struct client c;

	start(w, "127.0.0.1:0");
	client_open(w, &c);
	client_send(&c, "GET /hello?name=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
			"POST /hello HTTP/1.1\r\nHost: localhost:80\r\n"
			"Content-Length: 3\r\n\r\nabc"
			"HEAD /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n"
			"GET /hello?name=last HTTP/1.0\r\nHost: [::1]\r\n\r\n");
	expect(w, &c, "hello a, 0 bytes\n");
	expect(w, &c, "hello -, 3 bytes\n");
	expect(w, &c, "hello last, 0 bytes\n");
	expect(w, &c, NULL);
	assert_int_equal(w->asked, 4);
	close(c.fd);
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
	    {"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"HTTP/1.1 404 "},
	    {"GET /hello/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"HTTP/1.1 404 "},
	    {"GET /%2e%2e/hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"HTTP/1.1 400 "},
	    {"DELETE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"HTTP/1.1 405 "},
	    {"GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"HTTP/1.1 403 "},
	    {"GET /hello HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"hosts of the http section"},
	    {"GET /hello HTTP/1.1\r\nHost: ours.test:99\r\n\r\n",
		"HTTP/1.1 200 "},
	    {"GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
	};
	static const char *const hosts[] = {"ours.test"};
	struct world *w = *state;

	w->access.hosts = hosts;
	w->access.host_count = 1;
	start(w, "127.0.0.1:0");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client c;

		client_open(w, &c);
		client_send(&c, cases[i].request);
		expect(w, &c, cases[i].answer);
		close(c.fd);
	}
}

/* Bytes behind what was refused are no request. */
static void
test_nothing_after_a_refusal(void **state)
{
	struct world *w = *state;
	struct client c;

	start(w, "127.0.0.1:0");
	client_open(w, &c);
	client_send(&c, "POST /hello HTTP/1.1\r\nHost: localhost\r\n"
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
			"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
	expect(w, &c, "HTTP/1.1 411 ");
	expect(w, &c, NULL);
	assert_int_equal(w->asked, 0);
	close(c.fd);
}

static void
test_half_closed(void **state)
{
	struct world *w = *state;
	struct client c;

	start(w, "127.0.0.1:0");
	client_open(w, &c);
	client_send(&c, "GET /hello?name=a HTTP/1.1\r\nHost: [::1]\r\n\r\n"
			"GET /hello?name=b HTTP/1.1\r\nHost: [::1]\r\n\r\nGET");
	shutdown(c.fd, SHUT_WR);
	expect(w, &c, "hello a");
	expect(w, &c, "hello b");
	expect(w, &c, NULL);
	close(c.fd);
}

static void
test_large_answer(void **state)
{
	struct world *w = *state;
	struct client c;

	w->body = 6u << 20;
	start(w, "127.0.0.1:0");
	client_open(w, &c);
	client_send(&c, "GET /big HTTP/1.0\r\nHost: [::1]\r\n\r\n");
	expect(w, &c, NULL);
	assert_true(c.total > w->body);
	assert_true(c.total < w->body + 1000);
	close(c.fd);
	/* One that cannot be sent whole is not sent in part. */
	w->body = 9u << 20;
	client_open(w, &c);
	client_send(&c, "GET /big HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	expect(w, &c, NULL);
	assert_int_equal(c.total, 0);
	close(c.fd);
}

static void
test_deadlines(void **state)
{
	struct world *w = *state;
	struct client silent, slow, body, idle, deaf;

	w->server.head_ms = 30;
	w->server.request_ms = 60;
	w->server.idle_ms = 40;
	w->body = 7u << 20;
	start(w, "127.0.0.1:0");
	client_open(w, &silent);
	client_open(w, &slow);
	client_send(&slow, "GET /hello HTTP/1.1\r\nHost:");
	client_open(w, &body);
	client_send(&body, "POST /hello HTTP/1.1\r\nHost: [::1]\r\n"
			   "Content-Length: 3\r\n\r\na");
	client_open(w, &idle);
	client_send(&idle, "GET /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	client_open(w, &deaf);
	client_send(&deaf, "GET /big HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	expect(w, &silent, NULL);
	expect(w, &slow, "HTTP/1.1 408 ");
	expect(w, &slow, NULL);
	expect(w, &body, "HTTP/1.1 408 ");
	expect(w, &idle, "hello");
	expect(w, &idle, NULL);
	/* Whoever does not read what it asked for loses its place. */
	assert_true(pump_until(w->loop, has_come, &(struct wish){&deaf, NULL}));
	close(silent.fd);
	close(slow.fd);
	close(body.fd);
	close(idle.fd);
	close(deaf.fd);
}

static void
test_caps(void **state)
{
	struct world *w = *state;
	struct client c[WEB_CLIENT_MAX + 1];

	start(w, "127.0.0.1:0");
	for (int i = 0; i < WEB_CLIENT_MAX; i++)
		client_open(w, &c[i]);
	client_open(w, &c[WEB_CLIENT_MAX]);
	expect(w, &c[WEB_CLIENT_MAX], NULL);
	close(c[WEB_CLIENT_MAX].fd);
	close(c[0].fd);
	pump_turns(w->loop, 20);
	client_open(w, &c[0]);
	client_send(&c[0], "GET /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	expect(w, &c[0], "hello");
	for (int i = 0; i < WEB_CLIENT_MAX; i++)
		close(c[i].fd);
}

/* One that idles behind an answer makes room, the longest first; one that has
 * not been answered yet keeps its place. */
static void
test_idle_makes_room(void **state)
{
	struct world *w = *state;
	struct client c[WEB_CLIENT_MAX + 2];

	start(w, "127.0.0.1:0");
	for (int i = 0; i < WEB_CLIENT_MAX; i++)
		client_open(w, &c[i]);
	for (int i = 1; i < 3; i++) {
		client_send(
		    &c[i], "GET /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n");
		expect(w, &c[i], "hello");
	}
	for (int i = WEB_CLIENT_MAX; i < WEB_CLIENT_MAX + 2; i++) {
		client_open(w, &c[i]);
		client_send(
		    &c[i], "GET /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n");
		expect(w, &c[i], "hello");
	}
	expect(w, &c[1], NULL);
	expect(w, &c[2], NULL);
	client_send(&c[0], "GET /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	expect(w, &c[0], "hello");
	for (int i = 0; i < WEB_CLIENT_MAX + 2; i++)
		close(c[i].fd);
}

/* The same for all of them together. */
static void
test_idle_makes_room_for_others(void **state)
{
	struct world *w = *state;
	struct client c[WEB_CONNECTIONS_MAX + 2];

	start(w, "127.0.0.1:0");
	for (unsigned i = 0; i < WEB_CONNECTIONS_MAX; i++) {
		client_open_from(w, &c[i], 1 + i / WEB_CLIENT_MAX);
		pump_turns(w->loop, 2);
	}
	client_open_from(w, &c[WEB_CONNECTIONS_MAX], 99);
	expect(w, &c[WEB_CONNECTIONS_MAX], NULL);
	client_send(&c[3], "GET /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	expect(w, &c[3], "hello");
	client_open_from(w, &c[WEB_CONNECTIONS_MAX + 1], 99);
	client_send(&c[WEB_CONNECTIONS_MAX + 1],
	    "GET /hello HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	expect(w, &c[WEB_CONNECTIONS_MAX + 1], "hello");
	expect(w, &c[3], NULL);
	for (int i = 0; i < WEB_CONNECTIONS_MAX + 2; i++)
		close(c[i].fd);
}

static void
test_who_may_connect(void **state)
{
	struct world *w = *state;
	struct ip_net elsewhere;
	struct client c;

	assert_true(ip_net_parse(STR("192.0.2.0/24"), &elsewhere));
	w->access.nets = &elsewhere;
	w->access.net_count = 1;
	start(w, "127.0.0.1:0");
	client_open(w, &c);
	expect(w, &c, NULL);
	close(c.fd);
}

/* Over a Unix socket every host is ours. */
static void
test_unix_socket(void **state)
{
	struct world *w = *state;
	char dir[] = "/tmp/weir-web-XXXXXX", address[64];
	struct client c;

	assert_non_null(mkdtemp(dir));
	snprintf(address, sizeof(address), "unix:%s/s", dir);
	start(w, address);
	client_open(w, &c);
	client_send(&c, "GET /hello HTTP/1.1\r\nHost: any.test\r\n\r\n");
	expect(w, &c, "hello");
	close(c.fd);
	web_free(w->web);
	w->web = NULL;
	assert_int_equal(rmdir(dir), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_several_on_one),
	    TEST(test_refusals),
	    TEST(test_nothing_after_a_refusal),
	    TEST(test_half_closed),
	    TEST(test_large_answer),
	    TEST(test_deadlines),
	    TEST(test_caps),
	    TEST(test_idle_makes_room),
	    TEST(test_idle_makes_room_for_others),
	    TEST(test_who_may_connect),
	    TEST(test_unix_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
