/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link is in one state: it rests (until `due`), asks for the host's address,
 * connects, shakes hands, is set up (login, database, role), or is up. Answers
 * belong to commands by their order, so a connection on which one is missing
 * cannot be used again.
 */
#include "share/redis_link.h"

#include "base/list.h"
#include "net/conn.h"
#include "net/resolver.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 2000
#define SETUP_MS 2000
#define REST_MIN_MS 100
#define REST_MAX_MS 5000
#define RUN_ARGS_MAX 2048

enum link_state {
	LINK_RESTS,
	LINK_RESOLVES,
	LINK_CONNECTS,
	LINK_SHAKES,
	LINK_SETUP,
	LINK_UP
};

/* A command without an answer. */
struct pending {
	struct list entry;
	int64_t deadline;
	struct redis_script *script; /* NULL: one of the set-up */
	char *tail;                  /* what follows the script's name */
	size_t tail_n;
	unsigned words; /* of the whole command */
	bool is_again;  /* as EVAL */
	redis_link_fn *fn;
	void *arg;
};

struct redis_link {
	struct loop *loop;
	struct redis_url url;
	char *user, *password, *tls_name;
	size_t password_n;
	struct tls_client *tls;
	int64_t deadline_ms;
	const struct redis_link_ops *ops;
	void *arg;

	enum link_state state;
	struct resolver *resolver;
	size_t tries; /* of the resolver */
	uint64_t connections;
	struct redis_host to; /* of this try: a sentinel, or the server */
	bool is_sentinel;     /* it is one */
	bool has_master;      /* to is what a sentinel said */
	unsigned sentinel;    /* the next to be asked */
	struct net_addr addr;
	struct conn *conn;
	struct resp *resp;
	struct list open; /* struct pending */
	size_t open_count;
	struct redis_link_memory memory;
	int64_t rest_ms;
	struct loop_timer timer; /* the next try, or the oldest deadline */
};

static const struct conn_ops conn_ops;

static void
pending_free(struct redis_link *l, struct pending *p)
{
	list_remove(&p->entry);
	l->open_count--;
	free(p->tail);
	free(p);
}

static struct pending *
oldest(struct redis_link *l)
{
	return list_is_empty(&l->open)
		   ? NULL
		   : LIST_ITEM(l->open.next, struct pending, entry);
}

static void
set_timer(struct redis_link *l)
{
	const struct pending *p = oldest(l);

	if (l->state >= LINK_SETUP)
		loop_timer_set(&l->timer, p != NULL ? p->deadline : INT64_MAX);
}

/* Half of it and up to all: relays that lost the server together do not all
 * come back in the same moment. */
static int64_t
rest(struct redis_link *l)
{
	unsigned char r = 0;

	(void)RAND_bytes(&r, 1);
	return l->rest_ms / 2 + l->rest_ms / 2 * r / 255;
}

static void
close_conn(struct redis_link *l)
{
	if (l->conn != NULL)
		conn_free(l->conn);
	l->conn = NULL;
	resp_free(l->resp);
	l->resp = NULL;
}

/* Nobody who is told may find the link half closed, or have what he sends
 * anew mixed with what is told now. */
static void
give_up(struct redis_link *l, const char *why, int64_t now)
{
	struct list open;

	close_conn(l);
	l->state = LINK_RESTS;
	l->has_master = false;
	loop_timer_set(&l->timer, now + rest(l));
	l->rest_ms =
	    l->rest_ms * 2 < REST_MAX_MS ? l->rest_ms * 2 : REST_MAX_MS;
	list_init(&open);
	while (oldest(l) != NULL) {
		struct list *entry = &oldest(l)->entry;

		list_remove(entry);
		list_append(&open, entry);
	}
	l->ops->on_down(l->arg, why, now);
	while (!list_is_empty(&open)) {
		struct pending *p = LIST_ITEM(open.next, struct pending, entry);
		redis_link_fn *fn = p->fn;
		void *arg = p->arg;
		bool is_setup = p->script == NULL;

		pending_free(l, p);
		if (!is_setup)
			fn(arg, NULL, now);
	}
}

static void
give_up_error(struct redis_link *l, const struct resp_value *reply, int64_t now)
{
	char text[160], why[REDIS_LINK_WHY_MAX];

	snprintf(why, sizeof(why), "the server says: %s",
	    str_escape(reply->text, text, sizeof(text)));
	give_up(l, why, now);
}

/* ---- commands ---- */

static struct pending *
pending_new(
    struct redis_link *l, int64_t deadline, redis_link_fn *fn, void *arg)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	p->deadline = deadline;
	p->fn = fn;
	p->arg = arg;
	list_append(&l->open, &p->entry);
	l->open_count++;
	return p;
}

static void
name_script(struct redis_script *s)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sha[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (s->sha[0] != '\0')
		return;
	if (EVP_Digest(s->text, strlen(s->text), sha, &n, EVP_sha1(), NULL) !=
		1 ||
	    n != 20)
		panic("SHA-1 failed");
	for (unsigned i = 0; i < n; i++) {
		s->sha[2 * i] = digits[sha[i] >> 4];
		s->sha[2 * i + 1] = digits[sha[i] & 15];
	}
	s->sha[40] = '\0';
}

/* The words behind the script's name are kept: EVAL repeats them. */
static void
send_run(struct redis_link *l, struct pending *p)
{
	bool is_whole = p->is_again && p->script->loaded_by != l->connections;
	const char *verb = is_whole ? "EVAL" : "EVALSHA";
	const char *what = is_whole ? p->script->text : p->script->sha;
	char head[64];
	int n;

	n = snprintf(head, sizeof(head), "*%u\r\n$%zu\r\n%s\r\n$%zu\r\n",
	    p->words, strlen(verb), verb, strlen(what));
	(void)conn_write(l->conn, head, (size_t)n);
	(void)conn_write(l->conn, what, strlen(what));
	(void)conn_write(l->conn, "\r\n", 2);
	(void)conn_write(l->conn, p->tail, p->tail_n);
	/* Whatever is sent behind it finds the script there. */
	if (is_whole)
		p->script->loaded_by = l->connections;
}

bool
redis_link_run(struct redis_link *l, struct redis_script *script,
    const struct str *keys, size_t key_count, const struct str *args,
    size_t arg_count, redis_link_fn *fn, void *arg)
{
	struct str words[RUN_ARGS_MAX];
	char count[24];
	struct pending *p;
	struct buf tail;
	size_t n = 0;
	char *first;

	if (l->state != LINK_UP || l->open_count >= REDIS_LINK_OPEN_MAX ||
	    conn_is_full(l->conn))
		return false;
	if (key_count + arg_count + 1 > RUN_ARGS_MAX)
		panic("redis: a script with too many arguments");
	name_script(script);
	snprintf(count, sizeof(count), "%zu", key_count);
	words[n++] = str_from(count);
	for (size_t i = 0; i < key_count; i++)
		words[n++] = keys[i];
	for (size_t i = 0; i < arg_count; i++)
		words[n++] = args[i];
	buf_init(&tail, RESP_COMMAND_MAX);
	if (!resp_command(&tail, words, n)) {
		buf_clear(&tail);
		return false;
	}
	/* Without "*N" and its line end. */
	first = memchr(tail.mem + tail.off, '$', tail.len);
	buf_consume(&tail, (size_t)(first - (tail.mem + tail.off)));
	p = pending_new(l, loop_now(l->loop) + l->deadline_ms, fn, arg);
	p->script = script;
	p->words = (unsigned)n + 2;
	p->tail_n = tail.len;
	p->tail = buf_take(&tail);
	send_run(l, p);
	set_timer(l);
	return true;
}

/* ---- the set-up ---- */

static void
on_login(void *arg, const struct resp_value *reply, int64_t now)
{
	(void)arg;
	(void)reply;
	(void)now;
}

static void
on_role(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_link *l = arg;

	if (!str_eq(resp_text(resp_at(reply, 0)), STR("master")))
		give_up(l, "the server is a replica, not a master", now);
}

/* The value of a line "name:value"; empty: there is none. */
static struct str
find_line(struct str text, struct str name)
{
	while (text.n > 0) {
		struct str line = str_cut(&text, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (str_starts(line, name))
			return str_sub(line, name.n, line.n);
	}
	return STR("");
}

/* The last answer of the set-up, and the only one that may be an error: a user
 * with few rights may not ask it. */
static void
on_memory(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_link *l = arg;
	struct str text = resp_text(reply);

	l->memory = (struct redis_link_memory){0};
	(void)!str_to_u64(find_line(text, STR("maxmemory:")), &l->memory.max);
	str_copy(find_line(text, STR("maxmemory_policy:")), l->memory.policy,
	    sizeof(l->memory.policy));
	l->state = LINK_UP;
	conn_set_secret(l->conn, false);
	set_timer(l);
	l->ops->on_up(l->arg, now);
}

static void
ask(struct redis_link *l, const struct str *words, size_t n, redis_link_fn *fn,
    int64_t now)
{
	struct buf out;

	buf_init(&out, RESP_COMMAND_MAX);
	if (resp_command(&out, words, n))
		(void)conn_write(l->conn, buf_str(&out).p, out.len);
	explicit_bzero(out.mem, out.cap);
	buf_clear(&out);
	(void)pending_new(l, now + SETUP_MS, fn, l);
}

/* A sentinel has said which one is the master. */
static void
on_master(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_link *l = arg;
	struct str host = resp_text(resp_at(reply, 0));
	char text[REDIS_URL_HOST_MAX + 16], why[REDIS_LINK_WHY_MAX];
	bool is_v6 = str_index(host, ':') < host.n;
	uint64_t port = 0;

	snprintf(why, sizeof(why), "the sentinel %.80s knows no master %s",
	    l->to.host, l->url.master);
	if (host.n == 0 || host.n >= REDIS_URL_HOST_MAX ||
	    !str_to_u64(resp_text(resp_at(reply, 1)), &port) || port == 0 ||
	    port > UINT16_MAX) {
		give_up(l, why, now);
		return;
	}
	snprintf(text, sizeof(text), is_v6 ? "[%.*s]:%u" : "%.*s:%u",
	    STR_ARG(host), (unsigned)port);
	if (!redis_host_parse(str_from(text), (unsigned)port, &l->to)) {
		give_up(l, why, now);
		return;
	}
	/* At once, but not from within its own answer. */
	close_conn(l);
	l->has_master = true;
	l->state = LINK_RESTS;
	loop_timer_set(&l->timer, now);
}

static void
ask_sentinel(struct redis_link *l, int64_t now)
{
	struct str words[3] = {STR("SENTINEL"), STR("get-master-addr-by-name"),
	    str_from(l->url.master)};

	ask(l, words, 3, on_master, now);
	set_timer(l);
}

static void
set_up(struct redis_link *l, int64_t now)
{
	struct str words[3];
	char db[16];

	l->state = LINK_SETUP;
	l->connections++;
	l->resp = resp_new();
	if (l->is_sentinel) {
		ask_sentinel(l, now);
		return;
	}
	conn_set_secret(l->conn, true);
	words[0] = STR("AUTH");
	words[1] = str_from(l->user);
	words[l->user != NULL ? 2 : 1] =
	    (struct str){l->password, l->password_n};
	if (l->password_n > 0)
		ask(l, words, l->user != NULL ? 3 : 2, on_login, now);
	if (l->url.db != 0) {
		snprintf(db, sizeof(db), "%u", l->url.db);
		words[0] = STR("SELECT");
		words[1] = str_from(db);
		ask(l, words, 2, on_login, now);
	}
	words[0] = STR("ROLE");
	ask(l, words, 1, on_role, now);
	words[0] = STR("INFO");
	words[1] = STR("memory");
	ask(l, words, 2, on_memory, now);
	set_timer(l);
}

/* ---- answers ---- */

/* False: the link is given up. */
static bool
take_reply(struct redis_link *l, const struct resp_value *reply, int64_t now)
{
	struct pending *p = oldest(l);
	redis_link_fn *fn;
	void *arg;

	if (p == NULL) {
		give_up(l, "the server answered what was not asked", now);
		return false;
	}
	if (p->script != NULL && !p->is_again &&
	    resp_is_error(reply, "NOSCRIPT")) {
		/* Answers come in order, so it goes to the end. */
		p->is_again = true;
		p->deadline = now + l->deadline_ms;
		list_remove(&p->entry);
		list_append(&l->open, &p->entry);
		send_run(l, p);
		return true;
	}
	if (reply->type == RESP_ERROR && p->fn != on_memory) {
		give_up_error(l, reply, now);
		return false;
	}
	/* Not before: a server that is too slow to work with greets, too. */
	if (p->script != NULL)
		l->rest_ms = REST_MIN_MS;
	fn = p->fn;
	arg = p->arg;
	pending_free(l, p);
	fn(arg, reply, now);
	return l->conn != NULL;
}

static void
on_conn_read(void *arg, int64_t now)
{
	struct redis_link *l = arg;
	struct str in = conn_input(l->conn);
	struct resp_value *reply;
	bool goes_on = resp_feed(l->resp, in.p, in.n);

	conn_consume(l->conn, in.n);
	while (goes_on && (reply = resp_next(l->resp)) != NULL) {
		goes_on = take_reply(l, reply, now);
		resp_value_free(reply);
	}
	if (l->conn == NULL)
		return;
	if (resp_is_broken(l->resp))
		give_up(l,
		    "this is no Redis server, or its answer is too large", now);
	else
		set_timer(l);
}

/* ---- the connection ---- */

static void
on_conn_connect(void *arg, int64_t now)
{
	struct redis_link *l = arg;
	const char *name = l->tls_name != NULL ? l->tls_name : l->to.host;
	char at[NET_ADDR_TEXT_MAX];

	if (!l->url.is_tls) {
		set_up(l, now);
		return;
	}
	l->state = LINK_SHAKES;
	if (!conn_start_tls(l->conn,
		tls_connect(l->tls, name, net_addr_format(&l->addr, at)),
		CONNECT_MS))
		give_up(l, "the server spoke before the TLS handshake", now);
}

static void
on_conn_tls(void *arg, int64_t now)
{
	set_up(arg, now);
}

static void
on_conn_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
on_conn_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct redis_link *l = arg;
	char text[200], words[REDIS_LINK_WHY_MAX];

	if (why == CONN_ERROR && error == EPROTO)
		snprintf(words, sizeof(words), "TLS failed: %s",
		    str_escape(
			str_from(conn_tls_error(l->conn)), text, sizeof(text)));
	else if (why == CONN_ERROR)
		snprintf(words, sizeof(words), "%s", strerror(error));
	else
		snprintf(words, sizeof(words), "%s",
		    why == CONN_EOF ? "the server closed the connection"
				    : "no connection in time");
	give_up(l, words, now);
}

static const struct conn_ops conn_ops = {
    .on_connect = on_conn_connect,
    .on_read = on_conn_read,
    .on_drain = on_conn_drain,
    .on_tls = on_conn_tls,
    .on_end = on_conn_end,
};

static void
connect_to(struct redis_link *l, const struct net_addr *addr)
{
	l->addr = *addr;
	l->state = LINK_CONNECTS;
	l->conn = conn_connect(l->loop, &l->addr, CONNECT_MS, &conn_ops, l);
}

static void
on_address(void *arg, const struct resolver_answer *answer)
{
	struct redis_link *l = arg;
	char why[REDIS_LINK_WHY_MAX];

	/* Of a try that was given up. */
	if (l->state != LINK_RESOLVES || answer->tag != l->tries)
		return;
	loop_timer_set(&l->timer, INT64_MAX);
	if (answer->count > 0) {
		connect_to(l, &answer->addrs[0]);
		return;
	}
	snprintf(why, sizeof(why), "%.80s: %s", l->to.host, answer->error);
	give_up(l, why, loop_now(l->loop));
}

static void
try_now(struct redis_link *l, int64_t now)
{
	unsigned sentinels = l->url.sentinel_count;

	l->is_sentinel = sentinels > 0 && !l->has_master;
	if (l->is_sentinel)
		l->to = l->url.sentinels[l->sentinel++ % sentinels];
	else if (sentinels == 0)
		l->to = l->url.server;
	if (l->to.has_addr) {
		connect_to(l, &l->to.addr);
		return;
	}
	l->state = LINK_RESOLVES;
	loop_timer_set(&l->timer, now + CONNECT_MS);
	if (l->resolver == NULL)
		l->resolver = resolver_new(l->loop, on_address, l);
	resolver_ask(l->resolver, l->to.host, l->to.port, ++l->tries);
}

static void
on_timer(void *arg, int64_t now)
{
	struct redis_link *l = arg;
	const struct pending *p = oldest(l);

	if (l->state == LINK_RESTS)
		try_now(l, now);
	else if (l->state == LINK_RESOLVES)
		give_up(l, "no name server answered in time", now);
	else if (p != NULL && p->deadline <= now)
		give_up(l, "the server did not answer in time", now);
	else
		set_timer(l);
}

struct redis_link *
redis_link_new(struct loop *loop, const struct redis_link_settings *settings,
    const struct redis_link_ops *ops, void *arg)
{
	struct redis_link *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->url = settings->url;
	l->user = settings->user != NULL ? xstrdup(settings->user) : NULL;
	l->password = str_dup(settings->password);
	l->password_n = settings->password.n;
	l->tls_name =
	    settings->tls_name != NULL ? xstrdup(settings->tls_name) : NULL;
	l->tls = tls_client_ref(settings->tls);
	l->deadline_ms = settings->deadline_ms;
	l->ops = ops;
	l->arg = arg;
	l->rest_ms = REST_MIN_MS;
	list_init(&l->open);
	loop_timer_init(&l->timer, loop, on_timer, l);
	loop_timer_set(&l->timer, loop_now(loop));
	return l;
}

void
redis_link_free(struct redis_link *l)
{
	if (l == NULL)
		return;
	close_conn(l);
	resolver_free(l->resolver);
	while (oldest(l) != NULL)
		pending_free(l, oldest(l));
	loop_timer_clear(&l->timer);
	tls_client_unref(l->tls);
	explicit_bzero(l->password, l->password_n);
	free(l->password);
	free(l->user);
	free(l->tls_name);
	free(l);
}

bool
redis_link_is_up(const struct redis_link *l)
{
	return l->state == LINK_UP;
}

void
redis_link_memory(const struct redis_link *l, struct redis_link_memory *out)
{
	*out = l->memory;
}
