/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two connections of one loop that speak TLS with each other.
 */
#ifndef TLS_RIG_H
#define TLS_RIG_H

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

static inline void
on_tls(void *arg, int64_t now)
{
	struct side *side = arg;

	(void)now;
	assert_false(side->shaken || side->ended);
	side->shaken = true;
}

static inline void
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

static inline void
on_drain(void *arg, int64_t now)
{
	struct side *side = arg;

	(void)now;
	side->drained = true;
}

static inline void
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

static inline void
open_side(struct rig *r, struct side *side, int fd)
{
	*side = (struct side){0};
	buf_init(&side->got, 4096);
	side->conn = conn_new(r->loop, fd, &ops, side);
}

static inline void
open_pair(struct rig *r)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	open_side(r, &r->s, fds[0]);
	open_side(r, &r->c, fds[1]);
}

static inline void
close_pair(struct rig *r)
{
	conn_free(r->s.conn);
	conn_free(r->c.conn);
	buf_clear(&r->s.got);
	buf_clear(&r->c.got);
	pump_turns(r->loop, 2);
}

static inline struct tls_server *
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

static inline struct tls_client *
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

static inline int
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

static inline int
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

static inline bool
is_decided(void *arg)
{
	const struct rig *r = arg;

	return (r->s.shaken || r->s.ended) && (r->c.shaken || r->c.ended);
}

static inline void
start(struct rig *r, struct tls_client *client, const char *name)
{
	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	assert_true(conn_start_tls(
	    r->c.conn, tls_connect(client, name, "here:25"), 5000));
	assert_true(conn_is_shaking(r->c.conn));
	assert_true(pump_until(r->loop, is_decided, r));
}

static inline void
start_good(struct rig *r)
{
	start(r, r->client, "relay.test");
	assert_string_equal(r->c.words, "");
	assert_true(r->s.shaken && r->c.shaken);
	assert_true(conn_is_tls(r->s.conn) && conn_is_tls(r->c.conn));
}

static inline bool
has_got(void *arg)
{
	return ((struct side *)arg)->got.len > 0;
}

#endif
