/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Certificates made on the spot: which are refused and with what words, names,
 * fingerprints, tickets, files that are none.
 */
#include "config.h"

#include "tls_rig.h"

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
	char colons[97] = "";

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
