/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char fake_redis_master[] = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
const char fake_redis_replica[] =
    "*5\r\n$5\r\nslave\r\n$1\r\nx\r\n:1\r\n$1\r\nx\r\n:0\r\n";
const char fake_redis_cluster_ok[] = "$18\r\ncluster_state:ok\r\n\r\n";
const char fake_redis_cluster_down[] = "$20\r\ncluster_state:fail\r\n\r\n";

void
fake_redis_answer(struct fake_redis_peer *p, struct str bytes)
{
	(void)conn_write(p->conn, bytes.p, bytes.n);
}

void
fake_redis_say(struct fake_redis *r, const char *text)
{
	assert_non_null(r->last);
	fake_redis_answer(r->last, str_from(text));
}

static void
greet(struct fake_redis_peer *p, const char *text)
{
	fake_redis_answer(p, str_from(text));
}

static void
take(struct fake_redis_peer *p, const struct resp_value *command)
{
	struct str word = resp_text(resp_at(command, 0));
	struct str second = resp_text(resp_at(command, 1));
	struct fake_redis *r = p->r;

	if (str_eq(word, STR("ROLE"))) {
		if (r->role != NULL)
			greet(p, r->role);
	} else if (str_eq(word, STR("INFO"))) {
		if (r->role == NULL)
			return;
		r->heard_n = 0;
		r->heard[0] = '\0';
		greet(p, r->info);
	} else if (str_eq(word, STR("CLUSTER")) &&
		   str_eq(second, STR("SLOTS"))) {
		r->maps++;
		greet(p, r->map);
	} else if (str_eq(word, STR("CLUSTER"))) {
		greet(p, r->cluster_info);
	} else {
		r->on_command(r->arg, p, command);
	}
}

static void
hear(struct fake_redis *r, struct str in)
{
	if (r->heard_n + in.n >= sizeof(r->heard))
		r->heard_n = 0;
	if (in.n >= sizeof(r->heard))
		return;
	memcpy(r->heard + r->heard_n, in.p, in.n);
	r->heard_n += in.n;
	r->heard[r->heard_n] = '\0';
}

static void
on_read(void *arg, int64_t now)
{
	struct fake_redis_peer *p = arg;
	struct str in = conn_input(p->conn);
	struct resp_value *v;

	(void)now;
	hear(p->r, in);
	assert_true(resp_feed(p->in, in.p, in.n));
	conn_consume(p->conn, in.n);
	while (p->conn != NULL && (v = resp_next(p->in)) != NULL) {
		take(p, v);
		resp_value_free(v);
	}
}

static void
on_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
peer_close(struct fake_redis_peer *p)
{
	if (p->conn == NULL)
		return;
	if (p->r->last == p)
		p->r->last = NULL;
	conn_free(p->conn);
	p->conn = NULL;
	resp_free(p->in);
}

static void
on_end(void *arg, enum conn_end why, int error, int64_t now)
{
	(void)why;
	(void)error;
	(void)now;
	peer_close(arg);
}

static const struct conn_ops conn_ops = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_end = on_end,
};

static void
on_accept(void *arg, int fd, const struct net_addr *from, int64_t now)
{
	struct fake_redis *r = arg;
	struct fake_redis_peer *p = r->peers;

	(void)from;
	(void)now;
	while (p < r->peers + FAKE_REDIS_CONNS && p->conn != NULL)
		p++;
	assert_true(p < r->peers + FAKE_REDIS_CONNS);
	p->r = r;
	p->in = resp_new();
	p->conn = conn_new(r->loop, fd, &conn_ops, p);
	r->last = p;
	r->accepted++;
}

static void
on_trouble(void *arg, int error, int64_t now)
{
	(void)arg;
	(void)now;
	fail_msg("accept: %s", strerror(error));
}

void
fake_redis_open(struct fake_redis *r, struct loop *loop,
    void (*on_command)(
	void *arg, struct fake_redis_peer *p, const struct resp_value *command),
    void *arg)
{
	static const struct listener_options options = {
	    .backlog = 8, .unix_gid = -1};
	struct net_addr addr;
	char why[128];

	*r = (struct fake_redis){
	    .loop = loop,
	    .on_command = on_command,
	    .arg = arg,
	    .role = fake_redis_master,
	    .info = "$0\r\n\r\n",
	    .cluster_info = fake_redis_cluster_ok,
	    .map = r->own_map,
	};
	assert_true(
	    net_addr_parse(STR("127.0.0.1:0"), &addr, why, sizeof(why)));
	r->listener = listener_new(&addr, &options, why, sizeof(why));
	assert_non_null(r->listener);
	net_addr_format(listener_addr(r->listener), r->at);
	listener_start(r->listener, loop, on_accept, on_trouble, r);
	snprintf(r->own_map, sizeof(r->own_map),
	    "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%s\r\n",
	    strrchr(r->at, ':') + 1);
}

void
fake_redis_hang_up(struct fake_redis *r)
{
	for (size_t i = 0; i < FAKE_REDIS_CONNS; i++)
		peer_close(&r->peers[i]);
}

void
fake_redis_close(struct fake_redis *r)
{
	fake_redis_hang_up(r);
	listener_free(r->listener);
}

struct redis_link *
fake_redis_link(const struct fake_redis *r, const char *before,
    struct redis_link_settings *settings, const struct redis_link_ops *ops,
    void *arg)
{
	char text[NET_ADDR_TEXT_MAX + 64], why[128];

	snprintf(text, sizeof(text), "%s%s", before, r->at);
	assert_true(redis_url_parse(text, &settings->url, why, sizeof(why)));
	return redis_link_new(r->loop, settings, ops, arg);
}

/* ---- streams ---- */

void
fake_redis_begin(struct buf *reply, unsigned entries, int top)
{
	assert_true(buf_printf(reply,
	    "*%u\r\n:%d\r\n$16\r\n" FAKE_REDIS_EPOCH "\r\n:1\r\n",
	    3 + 2 * entries, top));
}

void
fake_redis_entry(struct buf *reply, unsigned id, struct str plain,
    const char *about, const struct seal *seal)
{
	struct buf sealed;

	buf_init(&sealed, plain.n + SEAL_EXTRA);
	assert_true(seal_close(seal, str_from(about), plain, &sealed));
	assert_true(buf_printf(reply, ":%u\r\n$%zu\r\n", id, sealed.len));
	assert_true(buf_append_str(reply, buf_str(&sealed)));
	assert_true(buf_append_str(reply, STR("\r\n")));
	buf_clear(&sealed);
}

void
fake_redis_each_added(const struct resp_value *command, const char *about,
    const struct seal *seal, void (*fn)(void *arg, struct str plain), void *arg)
{
	for (size_t i = FAKE_REDIS_READ_WORDS; i < command->count; i++) {
		struct buf plain;

		buf_init(&plain, 1024);
		assert_true(seal_open(seal, str_from(about),
		    resp_text(resp_at(command, i)), &plain));
		fn(arg, buf_str(&plain));
		buf_clear(&plain);
	}
}
