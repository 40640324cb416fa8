/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node is in one state: it rests (until `due`), asks for the host's address,
 * connects, shakes hands, is set up (login, database, role), or is up. Answers
 * belong to commands by their order, so a connection on which one is missing
 * cannot be used again.
 */
#include "share/redis_node.h"

#include "base/list.h"
#include "net/conn.h"
#include "net/resolver.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 2000
#define SETUP_MS 2000
#define REST_MIN_MS 100
#define REST_MAX_MS 5000
#define SCRIPTS_MAX 16 /* remembered as known to a connection */

enum node_state {
	NODE_RESTS,
	NODE_RESOLVES,
	NODE_CONNECTS,
	NODE_SHAKES,
	NODE_SETUP,
	NODE_UP
};

/* A command without an answer. */
struct pending {
	struct list entry;
	int64_t deadline;
	bool is_setup;
	const struct redis_script *script; /* NULL: it runs none */
	uint64_t number;                   /* of the run */
	redis_node_fn *fn;                 /* NULL: nobody waits */
	void *arg;
};

struct redis_node {
	struct loop *loop;
	const struct redis_link_settings *settings;
	struct redis_host host; /* of is_fixed */
	bool is_fixed;          /* no sentinel is asked */
	enum redis_node_job job;
	const struct redis_node_ops *ops;
	void *arg;

	enum node_state state;
	struct resolver *resolver;
	size_t tries;         /* of the resolver */
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
	/* Whose text this connection has sent, and by which run. */
	struct known_script {
		const struct redis_script *script;
		uint64_t number;
	} scripts[SCRIPTS_MAX];
	size_t script_count;
	uint64_t runs;
	int64_t rest_ms;
	struct loop_timer timer; /* the next try, or the oldest deadline */
};

static const struct conn_ops conn_ops;

static void
pending_free(struct redis_node *n, struct pending *p)
{
	list_remove(&p->entry);
	n->open_count--;
	free(p);
}

static struct pending *
oldest(struct redis_node *n)
{
	return list_is_empty(&n->open)
		   ? NULL
		   : LIST_ITEM(n->open.next, struct pending, entry);
}

static void
set_timer(struct redis_node *n)
{
	const struct pending *p = oldest(n);

	if (n->state >= NODE_SETUP)
		loop_timer_set(&n->timer, p != NULL ? p->deadline : INT64_MAX);
}

/* Half of it and up to all: relays that lost the server together do not all
 * come back in the same moment. */
static int64_t
rest(struct redis_node *n)
{
	unsigned char r = 0;

	(void)RAND_bytes(&r, 1);
	return n->rest_ms / 2 + n->rest_ms / 2 * r / 255;
}

static void
close_conn(struct redis_node *n)
{
	if (n->conn != NULL)
		conn_free(n->conn);
	n->conn = NULL;
	resp_free(n->resp);
	n->resp = NULL;
}

/* Nobody who is told may find the link half closed, or have what he sends
 * anew mixed with what is told now. */
static void
give_up(struct redis_node *n, const char *why, int64_t now)
{
	struct list open;

	close_conn(n);
	n->state = NODE_RESTS;
	n->has_master = false;
	loop_timer_set(&n->timer, now + rest(n));
	n->rest_ms =
	    n->rest_ms * 2 < REST_MAX_MS ? n->rest_ms * 2 : REST_MAX_MS;
	list_init(&open);
	while (oldest(n) != NULL) {
		struct list *entry = &oldest(n)->entry;

		list_remove(entry);
		list_append(&open, entry);
	}
	n->ops->on_down(n->arg, why, now);
	while (!list_is_empty(&open)) {
		struct pending *p = LIST_ITEM(open.next, struct pending, entry);
		redis_node_fn *fn = p->fn;
		void *arg = p->arg;
		bool is_setup = p->is_setup;

		pending_free(n, p);
		if (!is_setup && fn != NULL)
			(void)fn(arg, NULL, now);
	}
}

static void
give_up_error(struct redis_node *n, const struct resp_value *reply, int64_t now)
{
	char text[160], why[REDIS_LINK_WHY_MAX];

	snprintf(why, sizeof(why), "the server says: %s",
	    str_escape(reply->text, text, sizeof(text)));
	give_up(n, why, now);
}

/* ---- commands ---- */

static struct pending *
pending_new(
    struct redis_node *n, int64_t deadline, redis_node_fn *fn, void *arg)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	p->deadline = deadline;
	p->fn = fn;
	p->arg = arg;
	list_append(&n->open, &p->entry);
	n->open_count++;
	return p;
}

static bool
has_script(const struct redis_node *n, const struct redis_script *s)
{
	for (size_t i = 0; i < n->script_count; i++) {
		if (n->scripts[i].script == s)
			return true;
	}
	return false;
}

/* A run was refused for want of its script. One that was sent before the text
 * says nothing of what is there now. */
static void
forget_script(struct redis_node *n, const struct pending *run)
{
	for (size_t i = 0; i < n->script_count; i++) {
		if (n->scripts[i].script == run->script &&
		    n->scripts[i].number < run->number) {
			n->scripts[i] = n->scripts[--n->script_count];
			return;
		}
	}
}

static void
write_run(struct redis_node *n, const struct redis_run *run)
{
	static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
	bool is_whole = run->is_again && !has_script(n, run->script);
	const char *verb = is_whole ? "EVAL" : "EVALSHA";
	const char *what = is_whole ? run->script->text : run->script->sha;
	char head[64];
	int len;

	if (run->is_asking)
		(void)conn_write(n->conn, asking, sizeof(asking) - 1);
	len = snprintf(head, sizeof(head), "*%u\r\n$%zu\r\n%s\r\n$%zu\r\n",
	    run->words, strlen(verb), verb, strlen(what));
	(void)conn_write(n->conn, head, (size_t)len);
	(void)conn_write(n->conn, what, strlen(what));
	(void)conn_write(n->conn, "\r\n", 2);
	(void)conn_write(n->conn, run->tail.p, run->tail.n);
	/* Whatever is sent behind it finds the script there. */
	if (is_whole && n->script_count < SCRIPTS_MAX)
		n->scripts[n->script_count++] =
		    (struct known_script){run->script, n->runs};
}

bool
redis_node_run(struct redis_node *n, const struct redis_run *run,
    redis_node_fn *fn, void *arg)
{
	int64_t deadline = loop_now(n->loop) + n->settings->deadline_ms;
	struct pending *p;

	if (n->state != NODE_UP || n->open_count >= REDIS_LINK_OPEN_MAX ||
	    conn_is_full(n->conn))
		return false;
	if (run->is_asking)
		(void)pending_new(n, deadline, NULL, NULL);
	n->runs++;
	write_run(n, run);
	p = pending_new(n, deadline, fn, arg);
	p->script = run->script;
	p->number = n->runs;
	set_timer(n);
	return true;
}

void
redis_node_forget(struct redis_node *n, const void *arg)
{
	struct list *e;

	list_each (e, &n->open) {
		struct pending *p = LIST_ITEM(e, struct pending, entry);

		if (p->arg == arg)
			p->fn = NULL;
	}
}

/* ---- the set-up ---- */

static bool
on_done(void *arg, const struct resp_value *reply, int64_t now)
{
	(void)arg;
	(void)reply;
	(void)now;
	return true;
}

static bool
on_role(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_node *n = arg;

	if (!str_eq(resp_text(resp_at(reply, 0)), STR("master")))
		give_up(n, "the server is a replica, not a master", now);
	return true;
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

/* A cluster that is down takes connections, but no question. */
static bool
on_cluster(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_node *n = arg;

	if (!str_eq(
		find_line(resp_text(reply), STR("cluster_state:")), STR("ok")))
		give_up(n, "the server says that its cluster is down", now);
	return true;
}

static bool
on_slots(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_node *n = arg;

	n->ops->on_slots(n->arg, reply, now);
	return true;
}

/* The last answer of the set-up, and the only one that may be an error: a user
 * with few rights may not ask it. */
static bool
on_memory(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_node *n = arg;
	struct str text = resp_text(reply);

	n->memory = (struct redis_link_memory){0};
	(void)!str_to_u64(find_line(text, STR("maxmemory:")), &n->memory.max);
	str_copy(find_line(text, STR("maxmemory_policy:")), n->memory.policy,
	    sizeof(n->memory.policy));
	n->state = NODE_UP;
	n->script_count = 0;
	conn_set_secret(n->conn, false);
	set_timer(n);
	n->ops->on_up(n->arg, now);
	return true;
}

static void
ask(struct redis_node *n, const struct str *words, size_t count,
    redis_node_fn *fn, int64_t now)
{
	struct buf out;

	buf_init(&out, RESP_COMMAND_MAX);
	if (resp_command(&out, words, count))
		(void)conn_write(n->conn, buf_str(&out).p, out.len);
	explicit_bzero(out.mem, out.cap);
	buf_clear(&out);
	pending_new(n, now + SETUP_MS, fn, n)->is_setup = true;
}

/* A sentinel has said which one is the master. */
static bool
on_master(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_node *n = arg;
	char why[REDIS_LINK_WHY_MAX];
	struct redis_host master;
	uint64_t port = 0;

	if (!str_to_u64(resp_text(resp_at(reply, 1)), &port) ||
	    !redis_host_make(resp_text(resp_at(reply, 0)), port, &master)) {
		snprintf(why, sizeof(why),
		    "the sentinel %.80s knows no master %s", n->to.host,
		    n->settings->url.master);
		give_up(n, why, now);
		return true;
	}
	/* At once, but not from within its own answer. */
	close_conn(n);
	n->to = master;
	n->has_master = true;
	n->state = NODE_RESTS;
	loop_timer_set(&n->timer, now);
	return true;
}

static void
log_in(struct redis_node *n, const char *user, struct str password, int64_t now)
{
	struct str words[3] = {STR("AUTH"), str_from(user), password};

	if (password.n == 0)
		return;
	if (user == NULL)
		words[1] = password;
	ask(n, words, user != NULL ? 3 : 2, on_done, now);
}

static void
ask_sentinel(struct redis_node *n, int64_t now)
{
	struct str words[3] = {STR("SENTINEL"), STR("get-master-addr-by-name"),
	    str_from(n->settings->url.master)};

	log_in(n, NULL, n->settings->sentinel_password, now);
	ask(n, words, 3, on_master, now);
}

static void
ask_server(struct redis_node *n, int64_t now)
{
	const struct redis_link_settings *s = n->settings;
	struct str words[2];
	char db[16];

	log_in(n, s->user, s->password, now);
	if (n->job == REDIS_NODE_GUIDES) {
		words[0] = STR("CLUSTER");
		words[1] = STR("SLOTS");
		ask(n, words, 2, on_slots, now);
		return;
	}
	if (s->url.db != 0) {
		snprintf(db, sizeof(db), "%u", s->url.db);
		words[0] = STR("SELECT");
		words[1] = str_from(db);
		ask(n, words, 2, on_done, now);
	}
	words[0] = STR("ROLE");
	ask(n, words, 1, on_role, now);
	words[0] = STR("CLUSTER");
	words[1] = STR("INFO");
	if (s->url.kind == REDIS_CLUSTER)
		ask(n, words, 2, on_cluster, now);
	words[0] = STR("INFO");
	words[1] = STR("memory");
	ask(n, words, 2, on_memory, now);
}

static void
set_up(struct redis_node *n, int64_t now)
{
	n->state = NODE_SETUP;
	n->resp = resp_new();
	conn_set_secret(n->conn, true);
	if (n->is_sentinel)
		ask_sentinel(n, now);
	else
		ask_server(n, now);
	set_timer(n);
}

/* ---- answers ---- */

/* False: the node is given up. */
static bool
take_reply(struct redis_node *n, const struct resp_value *reply, int64_t now)
{
	struct pending *p = oldest(n);
	bool is_fine = true;

	if (p == NULL) {
		give_up(n, "the server answered what was not asked", now);
		return false;
	}
	/* Its own answer may give the node up. */
	list_remove(&p->entry);
	if (p->script != NULL && resp_is_error(reply, "NOSCRIPT"))
		forget_script(n, p);
	if (p->is_setup && reply->type == RESP_ERROR && p->fn != on_memory)
		is_fine = false;
	else if (p->fn != NULL)
		is_fine = p->fn(p->arg, reply, now);
	if (!is_fine) {
		list_insert(&n->open, &p->entry);
		give_up_error(n, reply, now);
		return false;
	}
	/* Not before: a server that is too slow to work with greets, too. */
	if (!p->is_setup)
		n->rest_ms = REST_MIN_MS;
	pending_free(n, p);
	return n->conn != NULL;
}

static void
on_conn_read(void *arg, int64_t now)
{
	struct redis_node *n = arg;
	struct str in = conn_input(n->conn);
	struct resp_value *reply;
	bool goes_on = resp_feed(n->resp, in.p, in.n);

	conn_consume(n->conn, in.n);
	while (goes_on && (reply = resp_next(n->resp)) != NULL) {
		goes_on = take_reply(n, reply, now);
		resp_value_free(reply);
	}
	if (n->conn == NULL)
		return;
	if (resp_is_broken(n->resp))
		give_up(n,
		    "this is no Redis server, or its answer is too large", now);
	else
		set_timer(n);
}

/* ---- the connection ---- */

static void
on_conn_connect(void *arg, int64_t now)
{
	struct redis_node *n = arg;
	const char *name =
	    n->settings->tls_name != NULL ? n->settings->tls_name : n->to.host;
	char at[NET_ADDR_TEXT_MAX];

	if (!n->settings->url.is_tls) {
		set_up(n, now);
		return;
	}
	n->state = NODE_SHAKES;
	if (!conn_start_tls(n->conn,
		tls_connect(
		    n->settings->tls, name, net_addr_format(&n->addr, at)),
		CONNECT_MS))
		give_up(n, "the server spoke before the TLS handshake", now);
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
	struct redis_node *n = arg;
	char text[200], words[REDIS_LINK_WHY_MAX];

	if (why == CONN_ERROR && error == EPROTO)
		snprintf(words, sizeof(words), "TLS failed: %s",
		    str_escape(
			str_from(conn_tls_error(n->conn)), text, sizeof(text)));
	else if (why == CONN_ERROR)
		snprintf(words, sizeof(words), "%s", strerror(error));
	else
		snprintf(words, sizeof(words), "%s",
		    why == CONN_EOF ? "the server closed the connection"
				    : "no connection in time");
	give_up(n, words, now);
}

static const struct conn_ops conn_ops = {
    .on_connect = on_conn_connect,
    .on_read = on_conn_read,
    .on_drain = on_conn_drain,
    .on_tls = on_conn_tls,
    .on_end = on_conn_end,
};

static void
connect_to(struct redis_node *n, const struct net_addr *addr)
{
	n->addr = *addr;
	n->state = NODE_CONNECTS;
	n->conn = conn_connect(n->loop, &n->addr, CONNECT_MS, &conn_ops, n);
}

static void
on_address(void *arg, const struct resolver_answer *answer)
{
	struct redis_node *n = arg;
	char why[REDIS_LINK_WHY_MAX];

	/* Of a try that was given up. */
	if (n->state != NODE_RESOLVES || answer->tag != n->tries)
		return;
	loop_timer_set(&n->timer, INT64_MAX);
	if (answer->count > 0) {
		connect_to(n, &answer->addrs[0]);
		return;
	}
	snprintf(why, sizeof(why), "%.80s: %s", n->to.host, answer->error);
	give_up(n, why, loop_now(n->loop));
}

static void
try_now(struct redis_node *n, int64_t now)
{
	const struct redis_url *url = &n->settings->url;

	n->is_sentinel = !n->is_fixed && !n->has_master;
	if (n->is_sentinel)
		n->to = url->hosts[n->sentinel++ % url->host_count];
	else if (n->is_fixed)
		n->to = n->host;
	if (n->to.has_addr) {
		connect_to(n, &n->to.addr);
		return;
	}
	n->state = NODE_RESOLVES;
	loop_timer_set(&n->timer, now + CONNECT_MS);
	if (n->resolver == NULL)
		n->resolver = resolver_new(n->loop, on_address, n);
	resolver_ask(n->resolver, n->to.host, n->to.port, ++n->tries);
}

static void
on_timer(void *arg, int64_t now)
{
	struct redis_node *n = arg;
	const struct pending *p = oldest(n);

	if (n->state == NODE_RESTS)
		try_now(n, now);
	else if (n->state == NODE_RESOLVES)
		give_up(n, "no name server answered in time", now);
	else if (p != NULL && p->deadline <= now)
		give_up(n, "the server did not answer in time", now);
	else
		set_timer(n);
}

struct redis_node *
redis_node_new(struct loop *loop, const struct redis_link_settings *settings,
    const struct redis_host *host, enum redis_node_job job,
    const struct redis_node_ops *ops, void *arg)
{
	struct redis_node *n = xcalloc(1, sizeof(*n));

	n->loop = loop;
	n->settings = settings;
	n->is_fixed = host != NULL || settings->url.kind != REDIS_SENTINEL;
	n->host = host != NULL ? *host : settings->url.server;
	n->job = job;
	n->ops = ops;
	n->arg = arg;
	n->rest_ms = REST_MIN_MS;
	list_init(&n->open);
	loop_timer_init(&n->timer, loop, on_timer, n);
	loop_timer_set(&n->timer, loop_now(loop));
	return n;
}

void
redis_node_free(struct redis_node *n)
{
	if (n == NULL)
		return;
	close_conn(n);
	resolver_free(n->resolver);
	while (oldest(n) != NULL)
		pending_free(n, oldest(n));
	loop_timer_clear(&n->timer);
	free(n);
}

bool
redis_node_is_up(const struct redis_node *n)
{
	return n->state == NODE_UP;
}

size_t
redis_node_open(const struct redis_node *n)
{
	return n->open_count;
}

void
redis_node_memory(const struct redis_node *n, struct redis_link_memory *out)
{
	*out = n->memory;
}
