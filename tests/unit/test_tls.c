/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS between two connections on one loop, with certificates made on the spot:
 * handshakes that succeed and fail, and what the reason is in words.
 */
#include "config.h"

#include "tls_kit.h"

#include "base/buf.h"
#include "net/conn.h"
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

/* One side. */
struct side {
	struct conn *conn;
	struct buf got;
	uint64_t total;
	size_t eat; /* at most per call; 0: all */
	bool keep, shaken, ended, drained;
	enum conn_end why;
	int error;
	char words[TLS_ERROR_MAX];
};

struct rig {
	struct kit kit;
	struct loop *loop;
	struct tls_server *server;
	struct tls_client *client;
	struct side s, c;
	char cert[128], print[65];
};

static void
on_tls(void *arg, int64_t now)
{
	struct side *side = arg;

	(void)now;
	assert_false(side->shaken || side->ended);
	side->shaken = true;
}

static void
on_read(void *arg, int64_t now)
{
	struct side *side = arg;
	struct str in = conn_input(side->conn);
	size_t n = side->eat != 0 && in.n > side->eat ? side->eat : in.n;

	(void)now;
	if (side->keep)
		return;
	side->total += n;
	if (side->got.len + n <= side->got.max)
		assert_true(buf_append(&side->got, in.p, n));
	conn_consume(side->conn, n);
}

static void
on_drain(void *arg, int64_t now)
{
	struct side *side = arg;

	(void)now;
	side->drained = true;
}

static void
on_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct side *side = arg;

	(void)now;
	side->ended = true;
	side->why = why;
	side->error = error;
	snprintf(
	    side->words, sizeof(side->words), "%s", conn_tls_error(side->conn));
}

static const struct conn_ops ops = {
    .on_tls = on_tls,
    .on_read = on_read,
    .on_drain = on_drain,
    .on_end = on_end,
};

static void
open_side(struct rig *r, struct side *side, int fd)
{
	*side = (struct side){0};
	buf_init(&side->got, 4096);
	side->conn = conn_new(r->loop, fd, &ops, side);
}

static void
open_pair(struct rig *r)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	open_side(r, &r->s, fds[0]);
	open_side(r, &r->c, fds[1]);
}

static void
close_pair(struct rig *r)
{
	conn_free(r->s.conn);
	conn_free(r->c.conn);
	buf_clear(&r->s.got);
	buf_clear(&r->c.got);
	pump_turns(r->loop, 2);
}

static struct tls_server *
make_server(
    const char *const *certs, size_t n, const char *ca, const char *account)
{
	struct tls_server_settings settings = {.certs = {certs, n},
	    .client_ca = ca,
	    .client_accounts = {&account, account != NULL}};
	char err[300];
	struct tls_server *s = tls_server_new(&settings, err, sizeof(err));

	if (s == NULL)
		fail_msg("%s", err);
	return s;
}

static struct tls_client *
make_client(bool verify, const char *ca, const char *print)
{
	struct tls_client_settings settings = {.verify = verify,
	    .ca_file = ca,
	    .fingerprints = {&print, print != NULL}};
	char err[300];
	struct tls_client *c = tls_client_new(&settings, err, sizeof(err));

	if (c == NULL)
		fail_msg("%s", err);
	return c;
}

static int
set_up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	const char *cert;

	kit_init(&r->kit);
	cert = kit_cert(&r->kit, "relay", "DNS:relay.test,IP:127.0.0.1", 30,
	    r->cert, r->print);
	r->server = make_server(&cert, 1, NULL, NULL);
	r->client = make_client(true, r->kit.ca_file, NULL);
	r->loop = loop_new();
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	tls_server_unref(r->server);
	tls_client_unref(r->client);
	loop_free(r->loop);
	kit_clear(&r->kit);
	free(r);
	return 0;
}

static bool
is_decided(void *arg)
{
	const struct rig *r = arg;

	return (r->s.shaken || r->s.ended) && (r->c.shaken || r->c.ended);
}

static void
start(struct rig *r, struct tls_client *client, const char *name)
{
	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	assert_true(conn_start_tls(
	    r->c.conn, tls_connect(client, name, "here:25"), 5000));
	assert_true(conn_is_shaking(r->c.conn));
	assert_true(pump_until(r->loop, is_decided, r));
}

static void
start_good(struct rig *r)
{
	start(r, r->client, "relay.test");
	assert_string_equal(r->c.words, "");
	assert_true(r->s.shaken && r->c.shaken);
	assert_true(conn_is_tls(r->s.conn) && conn_is_tls(r->c.conn));
}

static bool
has_got(void *arg)
{
	return ((struct side *)arg)->got.len > 0;
}

static void
test_words_go_through(void **state)
{
	struct rig *r = *state;

	start_good(r);
	assert_true(conn_tls_info(r->c.conn).verified);
	assert_string_equal(conn_tls_info(r->s.conn).version, "TLSv1.3");
	assert_string_equal(conn_tls_info(r->s.conn).sni, "relay.test");
	assert_null(conn_tls_info(r->s.conn).user);
	conn_write(r->s.conn, "220 hello\r\n", 11);
	assert_true(pump_until(r->loop, has_got, &r->c));
	assert_true(str_eq(buf_str(&r->c.got), STR("220 hello\r\n")));
	conn_write(r->c.conn, "EHLO\r\n", 6);
	assert_true(pump_until(r->loop, has_got, &r->s));
	close_pair(r);
}

/* What is written before the handshake goes in plain, after it under TLS. */
static void
test_written_meanwhile(void **state)
{
	struct rig *r = *state;
	char raw[64];
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	open_side(r, &r->s, fds[0]);
	conn_write(r->s.conn, "220 go\r\n", 8);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_write(r->s.conn, "SECRET", 6);
	pump_turns(r->loop, 5);
	assert_int_equal(recv(fds[1], raw, sizeof(raw), 0), 8);
	assert_memory_equal(raw, "220 go\r\n", 8);
	open_side(r, &r->c, fds[1]);
	assert_true(conn_start_tls(
	    r->c.conn, tls_connect(r->client, "relay.test", "here:25"), 5000));
	assert_true(pump_until(r->loop, has_got, &r->c));
	assert_true(str_eq(buf_str(&r->c.got), STR("SECRET")));
	close_pair(r);
}

static bool
is_all(void *arg)
{
	return ((struct side *)arg)->total >= 900000;
}

/* More than the socket, the records and the input buffer hold; eaten slowly,
 * paused in between. */
static void
test_much(void **state)
{
	struct rig *r = *state;
	char *text = xmalloc(900000);

	memset(text, 'x', 900000);
	start_good(r);
	r->c.eat = 777;
	conn_pause(r->c.conn);
	assert_false(conn_write(r->s.conn, text, 900000));
	pump_turns(r->loop, 20);
	assert_int_equal(r->c.total, 0);
	conn_resume(r->c.conn);
	/* Unconsumed input is delivered again by conn_resume alone. */
	for (int i = 0; i < 5000 && r->c.total < 900000; i++) {
		conn_resume(r->c.conn);
		pump_turns(r->loop, 1);
	}
	assert_int_equal(r->c.total, 900000);
	assert_true(r->s.drained);
	r->c.total = r->c.eat = 0;
	assert_false(conn_write(r->s.conn, text, 900000));
	assert_true(pump_until(r->loop, is_all, &r->c));
	close_pair(r);
	free(text);
}

/* The reader keeps all that it can, then takes it at once. */
static void
test_full_input(void **state)
{
	struct rig *r = *state;
	char *text = xmalloc(300000);

	memset(text, 'y', 300000);
	start_good(r);
	r->c.keep = true;
	conn_write(r->s.conn, text, 300000);
	pump_turns(r->loop, 50);
	assert_int_equal(conn_input(r->c.conn).n, CONN_INPUT_MAX);
	r->c.keep = false;
	conn_resume(r->c.conn);
	for (int i = 0; i < 2000 && r->c.total < 300000; i++)
		pump_turns(r->loop, 1);
	assert_int_equal(r->c.total, 300000);
	close_pair(r);
	free(text);
}

/* Bytes that came in plain make it fail (CVE-2011-0411). */
static void
test_buffered_bytes(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	r->s.keep = true;
	conn_write(r->c.conn, "EHLO evil\r\n", 11);
	pump_turns(r->loop, 5);
	assert_int_equal(conn_input(r->s.conn).n, 11);
	assert_false(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	close_pair(r);
}

/* Bytes in the kernel are read as TLS, and are none. */
static void
test_plain_bytes_later(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_write(r->c.conn, "EHLO evil\r\n", 11);
	assert_true(pump_until(r->loop, pump_is_set, &r->s.ended));
	assert_int_equal(r->s.why, CONN_ERROR);
	assert_int_equal(r->s.error, EPROTO);
	assert_true(r->s.words[0] != '\0');
	assert_false(r->s.shaken);
	close_pair(r);
}

static void
test_deadline(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 30));
	conn_pause(r->s.conn);
	assert_true(pump_until(r->loop, pump_is_set, &r->s.ended));
	assert_int_equal(r->s.why, CONN_TIMEOUT);
	close_pair(r);
}

static void
test_peer_closes(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_free(r->c.conn);
	r->c.conn = NULL;
	assert_true(pump_until(r->loop, pump_is_set, &r->s.ended));
	assert_string_equal(r->s.words, "the peer closed the connection");
	close_pair(r);
}

/* conn_close within a handshake says nothing in plain. */
static void
test_close_within(void **state)
{
	struct rig *r = *state;
	int fds[2];
	char raw[64];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	open_side(r, &r->s, fds[0]);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_write(r->s.conn, "421 bye\r\n", 9);
	conn_close(r->s.conn, 1000);
	pump_turns(r->loop, 3);
	assert_int_equal(recv(fds[1], raw, sizeof(raw), 0), 0);
	close(fds[1]);
	buf_clear(&r->s.got);
}

static void
test_last_words(void **state)
{
	struct rig *r = *state;

	start_good(r);
	conn_write(r->s.conn, "221 bye\r\n", 9);
	conn_close(r->s.conn, 1000);
	r->s.conn = NULL;
	assert_true(pump_until(r->loop, pump_is_set, &r->c.ended));
	assert_int_equal(r->c.why, CONN_EOF);
	assert_true(str_eq(buf_str(&r->c.got), STR("221 bye\r\n")));
	close_pair(r);
}

static void
test_peek(void **state)
{
	struct rig *r = *state;

	start_good(r);
	conn_pause(r->s.conn);
	assert_false(conn_peek(r->s.conn));
	conn_write(r->c.conn, "EHLO\r\n", 6);
	pump_turns(r->loop, 5);
	assert_true(conn_peek(r->s.conn));
	conn_resume(r->s.conn);
	assert_true(pump_until(r->loop, has_got, &r->s));
	close_pair(r);
	open_pair(r);
	assert_false(conn_peek(r->s.conn));
	conn_pause(r->s.conn);
	conn_write(r->c.conn, "x", 1);
	pump_turns(r->loop, 5);
	assert_true(conn_peek(r->s.conn));
	close_pair(r);
}

/* ---- certificates ---- */

static void
expect_refusal(struct rig *r, struct tls_client *client, const char *name,
    const char *words)
{
	start(r, client, name);
	assert_true(r->c.ended && !r->c.shaken);
	if (strstr(r->c.words, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, r->c.words);
	close_pair(r);
}

static void
serve(struct rig *r, const char *names, long days)
{
	char file[128];
	const char *cert = kit_cert(&r->kit, "x", names, days, file, r->print);

	tls_server_unref(r->server);
	r->server = make_server(&cert, 1, NULL, NULL);
}

static void
test_refusals(void **state)
{
	struct rig *r = *state;
	struct tls_client *stranger;
	struct kit other;

	expect_refusal(r, r->client, "other.test",
	    "is for relay.test, not for the expected other.test");
	expect_refusal(r, r->client, "127.0.0.2",
	    "is for relay.test, not for the expected 127.0.0.2");
	expect_refusal(r, r->client, NULL, "is for relay.test, not for");
	kit_init(&other);
	stranger = make_client(true, other.ca_file, NULL);
	expect_refusal(r, stranger, "relay.test",
	    "certificate of relay.test (relay.test) is not trusted:");
	tls_client_unref(stranger);
	kit_clear(&other);
	serve(r, "DNS:relay.test", -1);
	expect_refusal(r, r->client, "relay.test",
	    "certificate of relay.test (relay.test) expired on 20");
	/* A name with a control character is not shown. */
	serve(r, "DNS:ok.test,DNS:bad\nname", 1);
	expect_refusal(r, r->client, "relay.test", "is for ok.test, not");
}

static void
test_address(void **state)
{
	struct rig *r = *state;

	start(r, r->client, "127.0.0.1");
	assert_true(r->c.shaken);
	assert_null(conn_tls_info(r->s.conn).sni);
	close_pair(r);
}

static void
test_unverified(void **state)
{
	struct rig *r = *state;
	struct tls_client *any = make_client(false, NULL, NULL);

	serve(r, "DNS:whoever.test", -1);
	start(r, any, "relay.test");
	assert_true(r->c.shaken);
	assert_false(conn_tls_info(r->c.conn).verified);
	close_pair(r);
	tls_client_unref(any);
}

static void
test_fingerprint(void **state)
{
	struct rig *r = *state;
	struct tls_client *pinned;
	char colons[96] = "";

	serve(r, "DNS:whoever.test", -1);
	for (size_t i = 0; i < 32; i++)
		snprintf(colons + 3 * i, 4, "%c%c%s", r->print[2 * i],
		    r->print[2 * i + 1], i < 31 ? ":" : "");
	pinned = make_client(true, NULL, colons);
	start(r, pinned, "relay.test");
	assert_true(r->c.shaken && conn_tls_info(r->c.conn).verified);
	close_pair(r);
	serve(r, "DNS:relay.test", 30);
	expect_refusal(
	    r, pinned, "relay.test", "none of the expected fingerprints");
	tls_client_unref(pinned);
}

static void
test_fingerprint_syntax(void **state)
{
	unsigned char out[TLS_FINGERPRINT_BYTES];
	char text[80];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_true(tls_fingerprint_parse((struct str){text, 64}, out));
	assert_int_equal(out[31], 0xaa);
	assert_false(tls_fingerprint_parse((struct str){text, 63}, out));
	assert_false(tls_fingerprint_parse((struct str){text, 65}, out));
	assert_false(tls_fingerprint_parse((struct str){text, 0}, out));
	text[3] = ':';
	assert_false(tls_fingerprint_parse((struct str){text, 65}, out));
	text[3] = 'g';
	assert_false(tls_fingerprint_parse((struct str){text, 64}, out));
}

static void
test_server_name(void **state)
{
	struct rig *r = *state;
	char a[128], b[128];
	const char *certs[] = {
	    kit_cert(&r->kit, "a", "DNS:a.test", 30, a, NULL),
	    kit_cert(&r->kit, "b", "DNS:b.test,DNS:*.b.test", 30, b, NULL)};
	static const char *const good[] = {"a.test", "b.test", "x.b.test"};

	tls_server_unref(r->server);
	r->server = make_server(certs, 2, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		start(r, r->client, good[i]);
		assert_true(r->c.shaken);
		close_pair(r);
	}
	expect_refusal(r, r->client, "c.test", "is for a.test, not");
}

static bool
has_ticket(void *arg)
{
	/* It comes behind the handshake, with the next read. */
	return has_got(arg);
}

static void
test_session_reuse(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		start_good(r);
		assert_int_equal(conn_tls_info(r->c.conn).resumed, i == 1);
		conn_write(r->s.conn, "x", 1);
		assert_true(pump_until(r->loop, has_ticket, &r->c));
		close_pair(r);
	}
	/* Another name is another session. */
	start(r, r->client, "127.0.0.1");
	assert_false(conn_tls_info(r->c.conn).resumed);
	close_pair(r);
	/* A server that knows the ticket no more shakes hands anew. */
	serve(r, "DNS:relay.test", 30);
	start_good(r);
	assert_false(conn_tls_info(r->c.conn).resumed);
	close_pair(r);
}

/* A session outlives the contexts that it was made of. */
static void
test_contexts_go(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	assert_true(conn_start_tls(
	    r->c.conn, tls_connect(r->client, "relay.test", "here:25"), 5000));
	tls_server_unref(r->server);
	tls_client_unref(r->client);
	r->server = NULL;
	r->client = NULL;
	assert_true(pump_until(r->loop, is_decided, r));
	assert_true(r->s.shaken && r->c.shaken);
	conn_write(r->s.conn, "x", 1);
	assert_true(pump_until(r->loop, has_got, &r->c));
	close_pair(r);
}

static void
test_bad_files(void **state)
{
	struct rig *r = *state;
	const char *missing = "/nonexistent/x.pem", *cert = r->cert;
	const char *keys[] = {r->cert, r->cert};
	const char *bad = "no fingerprint";
	struct tls_server_settings s = {.certs = {&missing, 1}};
	struct tls_client_settings c = {.verify = true, .ca_file = missing};
	char err[300], file[128];

	assert_null(tls_server_new(&s, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/x.pem: the certificate"));
	assert_non_null(strstr(err, "No such file"));
	s.certs.n = 0;
	assert_null(tls_server_new(&s, err, sizeof(err)));
	s.certs = (struct tls_strings){&cert, 1};
	s.keys = (struct tls_strings){keys, 2};
	assert_null(tls_server_new(&s, err, sizeof(err)));
	assert_non_null(strstr(err, "1 certificates need as many keys"));
	keys[0] = kit_cert(&r->kit, "k", NULL, 1, file, NULL);
	s.keys.n = 1;
	assert_null(tls_server_new(&s, err, sizeof(err)));
	assert_non_null(strstr(err, "key values mismatch"));
	s.keys.n = 0;
	s.client_ca = missing;
	assert_null(tls_server_new(&s, err, sizeof(err)));
	s.client_ca = NULL;
	s.client_accounts = (struct tls_strings){&bad, 1};
	assert_null(tls_server_new(&s, err, sizeof(err)));
	assert_null(tls_client_new(&c, err, sizeof(err)));
	c = (struct tls_client_settings){
	    .verify = true, .fingerprints = {&bad, 1}};
	assert_null(tls_client_new(&c, err, sizeof(err)));
}

static void
test_facts(void **state)
{
	struct rig *r = *state;
	struct tls_cert cert;

	assert_true(tls_server_cert(r->server, 0, &cert));
	assert_string_equal(cert.file, r->cert);
	assert_string_equal(cert.names, "relay.test");
	assert_true(cert.expires_at > 0);
	assert_false(tls_server_cert(r->server, 1, &cert));
	assert_false(tls_client_cert(r->client, 0, &cert));
	start_good(r);
	close_pair(r);
	assert_true(tls_client_cert(r->client, 0, &cert));
	assert_string_equal(cert.file, "here:25");
	assert_false(tls_client_cert(r->client, 1, &cert));
}

int
main(void)
{
#define RIG(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    RIG(test_words_go_through),
	    RIG(test_written_meanwhile),
	    RIG(test_much),
	    RIG(test_full_input),
	    RIG(test_buffered_bytes),
	    RIG(test_plain_bytes_later),
	    RIG(test_deadline),
	    RIG(test_peer_closes),
	    RIG(test_close_within),
	    RIG(test_last_words),
	    RIG(test_peek),
	    RIG(test_refusals),
	    RIG(test_address),
	    RIG(test_unverified),
	    RIG(test_fingerprint),
	    cmocka_unit_test(test_fingerprint_syntax),
	    RIG(test_server_name),
	    RIG(test_session_reuse),
	    RIG(test_contexts_go),
	    RIG(test_bad_files),
	    RIG(test_facts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
