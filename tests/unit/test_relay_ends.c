/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every way in which a session can end, in every phase that it can be in, with
 * a relay that drains before it or after it. What is tried is that each phase
 * is in the states that it should be in, that no end makes an illegal move (it
 * would panic), that nothing is left behind, and that the drain comes to its
 * end; the replies are tests/e2e's.
 */
#include "relay/relay_internal.h"

#include "smtp/address.h"

#include "fake_hop.h"
#include "policy_rig.h"
#include "pump.h"
#include "tls_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define LATER_MS 100000000
/* Client, relay and next hop are in one process: a word and its answer have
 * been everywhere after so many. */
#define TURNS 20

struct world {
	struct loop *loop;
	struct fake *fake;
	struct kit kit;
	struct tls_server *tls;
	char dir[64];
	struct spool *spool;
	struct loop_watch *watch;
	struct gate *gate;
	struct gate_settings gate_settings;
	struct events *events;
	struct counters counters;
	struct nexthop *n;
	struct relay *relay;
	struct relay_settings settings;
	struct ip_net proxies;
	int fd;
	char heard[4096];
	size_t heard_n;
	bool drained;
};

/* ---- the phases ---- */

enum quirk {
	PLAIN = 0,
	WITH_PROXY = 1,
	LATE_GREETING = 2,
	WITH_XCLIENT = 4,
	WITH_LOGIN = 8,
	WITH_CHUNKS = 16,
	IN_LMTP = 32,
};

struct step {
	const char *say;
	const char *expect; /* NULL: nothing is answered */
};

struct phase {
	const char *name;
	unsigned quirks;
	/* What the next hop does not answer as usual. */
	const char *command, *reply;
	struct step steps[8];
	/* The states that it is in; TXN_NEW: there is no transaction, or it
	 * may be over by now (SESSION_NEW: not looked at). */
	enum session_state session;
	enum txn_state txn;
	enum hop_txn_state cut, probe;
};

#define HELLO                             \
	{                                 \
		"EHLO c.test\r\n", "250 " \
	}
#define MAIL                                       \
	{                                          \
		"MAIL FROM:<a@b.test>\r\n", "250 " \
	}
#define FRIEND                                       \
	{                                            \
		"RCPT TO:<f@known.test>\r\n", "250 " \
	}
#define STRANGER                                   \
	{                                          \
		"RCPT TO:<s@new.test>\r\n", "250 " \
	}
#define LOGIN                                         \
	{                                             \
		"AUTH PLAIN AGFsaWNlAHB3\r\n", "235 " \
	}

static const struct phase phases[] = {
    {"proxy header awaited", WITH_PROXY, NULL, NULL, {{NULL, NULL}},
	.session = SESSION_PROXY},
    {"greeting held back", LATE_GREETING, NULL, NULL, {{NULL, NULL}},
	.session = SESSION_SILENT},
    {"greeted", PLAIN, NULL, NULL, {{"", "220 "}}, .session = SESSION_OPEN},
    {"half a command", PLAIN, NULL, NULL, {{"EHL", NULL}},
	.session = SESSION_OPEN},
    {"EHLO asked", PLAIN, FAKE_OPEN, FAKE_SILENT,
	{{"", "220 "}, {"EHLO c.test\r\n", NULL}}, .session = SESSION_OPEN},
    {"ready", PLAIN, NULL, NULL, {HELLO}, .session = SESSION_OPEN},
    {"after MAIL", PLAIN, NULL, NULL, {HELLO, MAIL}, SESSION_OPEN, TXN_ENVELOPE,
	HOP_TXN_NONE, HOP_TXN_NONE},
    {"RCPT asked", PLAIN, "RCPT", FAKE_SILENT,
	{HELLO, MAIL, {"RCPT TO:<f@known.test>\r\n", NULL}}, SESSION_OPEN,
	TXN_RCPT, HOP_TXN_OPEN, HOP_TXN_NONE},
    {"RCPT of a stranger asked", PLAIN, "RCPT", FAKE_SILENT,
	{HELLO, MAIL, {"RCPT TO:<s@new.test>\r\n", NULL}}, SESSION_OPEN,
	TXN_RCPT, HOP_TXN_NONE, HOP_TXN_OPEN},
    {"RCPT taken", PLAIN, NULL, NULL, {HELLO, MAIL, FRIEND}, SESSION_OPEN,
	TXN_ENVELOPE, HOP_TXN_OPEN, HOP_TXN_NONE},
    {"RCPT refused", PLAIN, "RCPT", "550 5.1.1 no",
	{HELLO, MAIL, {"RCPT TO:<f@known.test>\r\n", "550 "}}, SESSION_OPEN,
	TXN_ENVELOPE, HOP_TXN_OPEN, HOP_TXN_NONE},
    {"RCPT held", PLAIN, NULL, NULL, {HELLO, MAIL, STRANGER}, SESSION_OPEN,
	TXN_ENVELOPE, HOP_TXN_NONE, HOP_TXN_OPEN},
    {"RCPT taken and held", PLAIN, NULL, NULL, {HELLO, MAIL, FRIEND, STRANGER},
	SESSION_OPEN, TXN_ENVELOPE, HOP_TXN_OPEN, HOP_TXN_OPEN},
    {"DATA asked", PLAIN, "DATA", FAKE_SILENT,
	{HELLO, MAIL, FRIEND, STRANGER, {"DATA\r\n", NULL}}, SESSION_OPEN,
	TXN_DATA, HOP_TXN_DATA, HOP_TXN_DEAD},
    {"DATA refused", PLAIN, "DATA", "451 4.3.0 no",
	{HELLO, MAIL, FRIEND, {"DATA\r\n", "451 "}}, SESSION_OPEN, TXN_ENVELOPE,
	HOP_TXN_OPEN, HOP_TXN_DEAD},
    {"text", PLAIN, NULL, NULL,
	{HELLO, MAIL, FRIEND, STRANGER, {"DATA\r\n", "354 "},
	    {"Subject: x\r\n\r\nx\r\n", NULL}},
	SESSION_OPEN, TXN_TEXT, HOP_TXN_BODY, HOP_TXN_DEAD},
    {"text for nobody but the spool", PLAIN, NULL, NULL,
	{HELLO, MAIL, STRANGER, {"DATA\r\n", "354 "}, {"x\r\n", NULL}},
	SESSION_OPEN, TXN_TEXT, HOP_TXN_DEAD, HOP_TXN_DEAD},
    {"reply awaited", PLAIN, FAKE_END, FAKE_SILENT,
	{HELLO, MAIL, FRIEND, {"DATA\r\n", "354 "}, {"x\r\n.\r\n", NULL}},
	SESSION_OPEN, TXN_END, HOP_TXN_END, HOP_TXN_DEAD},
    {"reply awaited, others held", PLAIN, FAKE_END, FAKE_SILENT,
	{HELLO, MAIL, FRIEND, STRANGER, {"DATA\r\n", "354 "},
	    {"x\r\n.\r\n", NULL}},
	SESSION_OPEN, TXN_END, HOP_TXN_END, HOP_TXN_DEAD},
    {"message refused", PLAIN, FAKE_END, "554 5.6.0 no",
	{HELLO, MAIL, FRIEND, STRANGER, {"DATA\r\n", "354 "},
	    {"x\r\n.\r\n", "554 "}},
	.session = SESSION_OPEN},
    {"message taken", PLAIN, NULL, NULL,
	{HELLO, MAIL, FRIEND, STRANGER, {"DATA\r\n", "354 "},
	    {"x\r\n.\r\n", "250 "}},
	.session = SESSION_OPEN},
    {"spool asked", PLAIN, NULL, NULL,
	{HELLO, MAIL, STRANGER, {"DATA\r\n", "354 "}, {"x\r\n.\r\n", NULL}},
	.session = SESSION_NEW},
    {"chunk", WITH_CHUNKS, NULL, NULL,
	{HELLO, MAIL, STRANGER, {"BDAT 4\r\nab", NULL}}, SESSION_OPEN, TXN_TEXT,
	HOP_TXN_DEAD, HOP_TXN_DEAD},
    {"between chunks", WITH_CHUNKS, NULL, NULL,
	{HELLO, MAIL, STRANGER, {"BDAT 4\r\nab\r\n", "250 "}}, SESSION_OPEN,
	TXN_TEXT, HOP_TXN_DEAD, HOP_TXN_DEAD},
    {"chunk to the next hop", WITH_CHUNKS, "BDAT", FAKE_SILENT,
	{HELLO, MAIL, FRIEND, {"BDAT 4\r\nab", NULL}}, SESSION_OPEN, TXN_TEXT,
	HOP_TXN_BODY, HOP_TXN_DEAD},
    {"chunk refused", WITH_CHUNKS, NULL, NULL,
	{HELLO, MAIL, {"BDAT 2\r\n\r\n", "554 "}}, SESSION_OPEN, TXN_ENVELOPE,
	HOP_TXN_NONE, HOP_TXN_NONE},
    {"connection of its own", WITH_XCLIENT, FAKE_OPEN, FAKE_SILENT,
	{HELLO, MAIL, {"RCPT TO:<f@known.test>\r\n", NULL}}, SESSION_OPEN,
	TXN_RCPT, HOP_TXN_CONNECTING, HOP_TXN_NONE},
    {"XCLIENT asked", WITH_XCLIENT, "XCLIENT", FAKE_SILENT,
	{HELLO, MAIL, {"RCPT TO:<f@known.test>\r\n", NULL}}, SESSION_OPEN,
	TXN_RCPT, HOP_TXN_CONNECTING, HOP_TXN_NONE},
    {"RCPT taken over its own", WITH_XCLIENT, NULL, NULL, {HELLO, MAIL, FRIEND},
	SESSION_OPEN, TXN_ENVELOPE, HOP_TXN_OPEN, HOP_TXN_NONE},
    {"reply awaited over its own", WITH_XCLIENT, FAKE_END, FAKE_SILENT,
	{HELLO, MAIL, FRIEND, {"DATA\r\n", "354 "}, {"x\r\n.\r\n", NULL}},
	SESSION_OPEN, TXN_END, HOP_TXN_END, HOP_TXN_DEAD},
    {"AUTH asked", WITH_LOGIN, "AUTH", FAKE_SILENT,
	{HELLO, {"AUTH PLAIN AGFsaWNlAHB3\r\n", NULL}},
	.session = SESSION_OPEN},
    {"AUTH without a next hop", WITH_LOGIN, FAKE_OPEN, FAKE_SILENT,
	{HELLO, {"AUTH PLAIN AGFsaWNlAHB3\r\n", NULL}},
	.session = SESSION_OPEN},
    {"AUTH challenged", WITH_LOGIN, "AUTH", "334 ",
	{HELLO, {"AUTH PLAIN\r\n", "334"}}, .session = SESSION_OPEN},
    {"AUTH slowed down", WITH_LOGIN, "AUTH", "535 5.7.8 no",
	{HELLO, {"AUTH PLAIN AGFsaWNlAHB3\r\n", NULL}},
	.session = SESSION_OPEN},
    {"logged in", WITH_LOGIN, "AUTH", "235 2.7.0 yes", {HELLO, LOGIN},
	.session = SESSION_OPEN},
    {"logged in, RCPT taken", WITH_LOGIN, "AUTH", "235 2.7.0 yes",
	{HELLO, LOGIN, MAIL, FRIEND, STRANGER}, SESSION_OPEN, TXN_ENVELOPE,
	HOP_TXN_OPEN, HOP_TXN_OPEN},
    {"logged in, text", WITH_LOGIN, "AUTH", "235 2.7.0 yes",
	{HELLO, LOGIN, MAIL, FRIEND, {"DATA\r\n", "354 "}, {"x\r\n", NULL}},
	SESSION_OPEN, TXN_TEXT, HOP_TXN_BODY, HOP_TXN_DEAD},
    {"reply of LMTP awaited", IN_LMTP, FAKE_END, FAKE_SILENT,
	{HELLO, MAIL, FRIEND, {"RCPT TO:<g@known.test>\r\n", "250 "}, STRANGER,
	    {"DATA\r\n", "354 "}, {"x\r\n.\r\n", NULL}},
	SESSION_OPEN, TXN_END, HOP_TXN_END, HOP_TXN_DEAD},
    {"one reply of LMTP awaited", IN_LMTP, FAKE_END, "250 2.0.0 fine",
	{HELLO, MAIL, FRIEND, {"RCPT TO:<g@known.test>\r\n", "250 "}, STRANGER,
	    {"DATA\r\n", "354 "}, {"x\r\n.\r\n", NULL}},
	SESSION_OPEN, TXN_END, HOP_TXN_END, HOP_TXN_DEAD},
    {"STARTTLS", PLAIN, NULL, NULL, {HELLO, {"STARTTLS\r\n", "220 "}},
	.session = SESSION_SHAKING},
    {"STARTTLS in a transaction", PLAIN, NULL, NULL,
	{HELLO, MAIL, FRIEND, {"STARTTLS\r\n", "220 "}},
	.session = SESSION_SHAKING},
};

/* ---- the ends ---- */

static void
say(struct world *w, const char *text)
{
	/* Nobody may be there any more. */
	ssize_t n = send(w->fd, text, strlen(text), MSG_NOSIGNAL);

	(void)n;
}

static void
end_quit(struct world *w)
{
	say(w, "QUIT\r\n");
}

static void
end_errors(struct world *w)
{
	for (int i = 0; i < 21; i++)
		say(w, "XYZZY\r\n");
}

static void
end_pipelined(struct world *w)
{
	say(w, "DATA\r\nNOOP\r\n");
}

static void
end_pipelined_hello(struct world *w)
{
	say(w, "EHLO again.test\r\nNOOP\r\n");
}

static void
end_reset(struct world *w)
{
	say(w, "RSET\r\n");
}

static void
end_hello(struct world *w)
{
	say(w, "EHLO again.test\r\n");
}

static void
end_starttls(struct world *w)
{
	say(w, "STARTTLS\r\n");
}

static void
end_bad_chunk(struct world *w)
{
	say(w, "BDAT many\r\n");
}

static void
end_dot(struct world *w)
{
	say(w, "\r\n.\r\n");
}

static void
end_half_close(struct world *w)
{
	shutdown(w->fd, SHUT_WR);
}

static void
hang_up(struct world *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

static void
abort_connection(struct world *w)
{
	const struct linger none = {.l_onoff = 1};

	if (w->fd >= 0)
		setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	hang_up(w);
}

/* All deadlines of the sessions pass. */
static void
pass_time(struct world *w)
{
	struct list *e, *next;
	int64_t now = loop_now(w->loop) + LATER_MS;

	list_each_safe (e, next, &w->relay->sessions) {
		struct session *s = LIST_ITEM(e, struct session, entry);

		s->timer.fn(s, now);
	}
}

static void
end_hop_closes(struct world *w)
{
	fake_kick_out(w->fake, NULL);
}

static void
end_hop_says_421(struct world *w)
{
	fake_kick_out(w->fake, "421 4.3.2 bye");
}

static void
end_hop_is_full(struct world *w)
{
	struct list *e, *next;
	int64_t now = loop_now(w->loop);

	list_each_safe (e, next, &w->relay->txns) {
		struct txn *t = LIST_ITEM(e, struct txn, entry);

		hop_txn_give_up(&t->probe, now);
		hop_txn_give_up(&t->cut, now);
	}
}

static void
end_by_owner(struct world *w)
{
	struct smtp_reply bye = smtp_reply_make(421, "4.3.2", "bye");
	struct list *e, *next;

	list_each_safe (e, next, &w->relay->sessions)
		session_close(LIST_ITEM(e, struct session, entry), &bye,
		    loop_now(w->loop));
}

static bool
is_stored(void *arg)
{
	return spool_is_idle(((const struct world *)arg)->spool);
}

/* As the daemon does it: nothing of the spool is told after it. */
static void
end_of_relay(struct world *w)
{
	assert_true(pump_until(w->loop, is_stored, w));
	relay_free(w->relay);
	w->relay = NULL;
}

static const struct {
	const char *name;
	void (*fn)(struct world *w);
} ends[] = {
    {"QUIT", end_quit},
    {"errors", end_errors},
    {"pipelined DATA", end_pipelined},
    {"pipelined EHLO", end_pipelined_hello},
    {"RSET", end_reset},
    {"EHLO", end_hello},
    {"STARTTLS", end_starttls},
    {"bad BDAT", end_bad_chunk},
    {"dot", end_dot},
    {"half-close", end_half_close},
    {"close", hang_up},
    {"reset", abort_connection},
    {"timeout", pass_time},
    {"hop closes", end_hop_closes},
    {"hop says 421", end_hop_says_421},
    {"hop is full", end_hop_is_full},
    {"421", end_by_owner},
    {"relay_free", end_of_relay},
};

/* ---- the world ---- */

static void
on_spool(void *arg, int64_t now)
{
	(void)now;
	spool_dispatch(arg);
}

static void
on_nothing(void *arg)
{
	(void)arg;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	(void)arg;
	(void)freeze;
}

static const struct gate_callbacks gate_callbacks = {.on_released = on_nothing,
    .on_freeze = on_freeze,
    .on_schedule = on_nothing};

static void
open_spool(struct world *w)
{
	const struct spool_settings settings = {
	    .dir = w->dir,
	    .large_body_bytes = 256 << 10,
	    .body_memory_bytes = 16 << 20,
	    .outstanding_max = 100000,
	};
	int status;

	memcpy(w->dir, "/tmp/weir-ends-XXXXXX", 22);
	assert_non_null(mkdtemp(w->dir));
	w->spool = spool_open(&settings, NULL, err, sizeof(err), &status);
	if (w->spool == NULL)
		fail_msg("%s", err);
	w->watch =
	    loop_watch_new(w->loop, spool_fd(w->spool), on_spool, w->spool);
}

static void
open_gate(struct world *w)
{
	w->gate_settings = (struct gate_settings){
	    .policies = read_policies(
		"policy \"default\" { initial = 0 interval = \"1d\"\n"
		"freeze_at = 100000\n"
		"queue_max = 1000000 exempt_recipients = {\"@known.test\"} "
		"}\n"),
	    .recipient_key = smtp_address_key,
	};
	if (w->gate_settings.policies == NULL)
		fail_msg("%s", err);
	w->events = events_new();
	w->gate = gate_new(&w->gate_settings, w->spool, w->events, &w->counters,
	    NULL, &gate_callbacks, w);
	assert_int_equal(gate_load(w->gate, loop_now(w->loop), 1), 0);
	assert_true(gate_load_wait(w->gate, 30000));
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	char file[128];
	const char *files[] = {file};
	const struct tls_server_settings tls = {.certs = {files, 1}};

	w->loop = loop_new();
	w->fake = fake_new(w->loop);
	w->fd = -1;
	kit_init(&w->kit);
	kit_cert(&w->kit, "relay.test", "DNS:relay.test", 100, file, NULL);
	w->tls = tls_server_new(&tls, err, sizeof(err));
	if (w->tls == NULL)
		fail_msg("%s", err);
	open_spool(w);
	open_gate(w);
	assert_true(ip_net_parse(STR("127.0.0.0/8"), &w->proxies));
	*state = w;
	return 0;
}

static void
remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[512];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (unlink(path) != 0)
			remove_dir(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

static int
teardown(void **state)
{
	struct world *w = *state;

	gate_free(w->gate);
	loop_watch_free(w->watch);
	spool_close(w->spool);
	remove_dir(w->dir);
	policies_free(w->gate_settings.policies);
	events_free(w->events);
	tls_server_unref(w->tls);
	kit_clear(&w->kit);
	fake_free(w->fake);
	pump_turns(w->loop, 3);
	loop_free(w->loop);
	free(w);
	return 0;
}

/* ---- one case ---- */

static void
open_relay(struct world *w, const struct phase *p)
{
	char address[NET_ADDR_TEXT_MAX + 8];
	const char *addresses[] = {address};
	const struct nexthop_settings hops = {
	    .addresses = addresses,
	    .address_count = 1,
	    .hostname = "relay.test",
	    .connect_timeout_ms = LATER_MS,
	    .timeouts = {LATER_MS, LATER_MS, LATER_MS, LATER_MS},
	    .connections_max = 20,
	    .idle_max = 20,
	    .idle_timeout_ms = LATER_MS,
	    .login_in_clear = true,
	};

	snprintf(address, sizeof(address), "%s%s",
	    p->quirks & IN_LMTP ? "lmtp:" : "", w->fake->address);
	w->n =
	    nexthop_new(w->loop, &hops, &w->counters, NULL, err, sizeof(err));
	if (w->n == NULL)
		fail_msg("%s", err);
	w->settings = (struct relay_settings){
	    .hostname = "relay.test",
	    .limits = {.recipients_max = 100,
		.errors_max = 20,
		.idle_commands_max = 1000,
		.refused_max = 20,
		.line_max = 2048,
		.command_timeout_ms = LATER_MS / 2,
		.data_timeout_ms = LATER_MS / 2,
		.message_timeout_ms = LATER_MS / 2,
		.data = {.size_max = 1 << 20,
		    .line_max = 10000,
		    .header_max = 10000,
		    .received_max = 50}},
	    .message_size_max = 1 << 20,
	    .verify_held = true,
	    .sessions_max = 10,
	    .client_sessions_max = 10,
	    .envelope_memory = 1 << 20,
	    .greeting_delay_ms = p->quirks & LATE_GREETING ? LATER_MS / 2 : 0,
	    .next_hop_wait_ms = LATER_MS,
	    .answer_timeout_ms = LATER_MS / 2,
	    .proxy_nets = &w->proxies,
	    .proxy_net_count = 1,
	    .next_hop_xclient = p->quirks & WITH_XCLIENT,
	    .auth_failures_max = 1000,
	};
	w->relay = relay_new(&(struct relay_parts){.loop = w->loop,
				 .gate = w->gate,
				 .spool = w->spool,
				 .nexthop = w->n,
				 .events = w->events,
				 .counters = &w->counters},
	    &w->settings);
}

static void
open_session(struct world *w, const struct phase *p)
{
	const struct relay_listen listen = {
	    .name = "test",
	    .auth = p->quirks & WITH_LOGIN ? RELAY_AUTH_PASS : RELAY_AUTH_NONE,
	    .auth_in_clear = true,
	    .proxy = p->quirks & WITH_PROXY,
	    .tls = RELAY_TLS_MAY,
	    .tls_server = w->tls,
	    .tls_timeout_ms = LATER_MS,
	};
	struct net_addr peer;
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_true(
	    net_addr_parse(STR("127.0.0.1:2000"), &peer, err, sizeof(err)));
	w->fd = fds[0];
	w->heard_n = 0;
	relay_accept(w->relay, fds[1], &peer, &listen, loop_now(w->loop));
}

struct wish {
	struct world *w;
	const char *text;
};

/* The last line that came begins so. */
static bool
is_heard(void *arg)
{
	const struct wish *wish = arg;
	struct world *w = wish->w;
	struct str heard;
	ssize_t n = recv(w->fd, w->heard + w->heard_n,
	    sizeof(w->heard) - w->heard_n, MSG_DONTWAIT);

	if (n > 0)
		w->heard_n += (size_t)n;
	heard = (struct str){w->heard, w->heard_n};
	if (!str_iends(heard, STR("\r\n")))
		return false;
	heard = str_sub(heard, 0, heard.n - 2);
	if (str_rindex(heard, '\n') < heard.n)
		heard = str_sub(heard, str_rindex(heard, '\n') + 1, heard.n);
	return str_istarts(heard, str_from(wish->text));
}

static bool
hop_was_asked(void *arg)
{
	const struct world *w = arg;
	const struct list *e;

	list_each (e, &w->relay->txns) {
		const struct txn *t = LIST_ITEM(e, struct txn, entry);

		if (t->cut.state == HOP_TXN_CONNECTING ||
		    t->probe.state == HOP_TXN_CONNECTING)
			return false;
	}
	return true;
}

struct place {
	struct world *w;
	const struct phase *phase;
};

static bool
is_there(void *arg)
{
	const struct place *place = arg;
	const struct phase *p = place->phase;
	const struct session *s;
	const struct txn *t;

	if (p->session == SESSION_NEW)
		return true;
	s = LIST_ITEM(place->w->relay->sessions.next, struct session, entry);
	t = s->txn;
	if (s->state != p->session ||
	    (t != NULL ? t->state : TXN_NEW) != p->txn)
		return false;
	return t == NULL ||
	       (t->cut.state == p->cut && t->probe.state == p->probe);
}

static void
fail_place(const struct world *w, const struct phase *p)
{
	const struct session *s =
	    LIST_ITEM(w->relay->sessions.next, struct session, entry);
	const struct txn *t = s->txn;

	fail_msg("%s: session %d, transaction %d, cut %d, probe %d", p->name,
	    s->state, t != NULL ? (int)t->state : 0,
	    t != NULL ? (int)t->cut.state : 0,
	    t != NULL ? (int)t->probe.state : 0);
}

static void
reach(struct world *w, const struct phase *p)
{
	struct wish wish = {.w = w, .text = "220 "};
	struct place place = {w, p};

	if (p->steps[0].say != NULL)
		assert_true(pump_until(w->loop, is_heard, &wish));
	for (size_t i = 0; i < ARRAY_LEN(p->steps); i++) {
		const struct step *s = &p->steps[i];

		if (s->say == NULL)
			break;
		if (s->say[0] == '\0')
			continue;
		w->heard_n = 0;
		say(w, s->say);
		wish.text = s->expect;
		if (s->expect == NULL)
			pump_swiftly(w->loop, TURNS);
		else if (!pump_until(w->loop, is_heard, &wish))
			fail_msg("%s: after %s: %.*s", p->name, s->say,
			    (int)w->heard_n, w->heard);
	}
	/* A next hop that does not even greet leaves it connecting. */
	if (p->command != NULL && p->command[0] != '\0' &&
	    strcmp(p->command, "XCLIENT") != 0)
		assert_true(pump_until(w->loop, hop_was_asked, w));
	if (!pump_until(w->loop, is_there, &place))
		fail_place(w, p);
}

static void
on_drained(void *arg)
{
	struct world *w = arg;

	w->drained = true;
}

static bool
is_over(void *arg)
{
	struct world *w = arg;

	pass_time(w);
	return list_is_empty(&w->relay->sessions) &&
	       list_is_empty(&w->relay->txns) && spool_is_idle(w->spool);
}

static void
close_case(struct world *w, bool drains)
{
	fake_clear_rules(w->fake);
	fake_kick_out(w->fake, NULL);
	abort_connection(w);
	if (w->relay != NULL) {
		assert_true(pump_until(w->loop, is_over, w));
		assert_int_equal(w->relay->session_count, 0);
		assert_int_equal(share_used(w->relay->envelopes), 0);
		assert_int_equal(drains, w->drained);
		assert_true(list_is_empty(&w->relay->txns_over));
		assert_true(list_is_empty(&w->relay->private_conns_over));
		assert_true(list_is_empty(&w->relay->logins_over));
		relay_free(w->relay);
	}
	fake_kick_out(w->fake, NULL);
	nexthop_free(w->n);
	w->relay = NULL;
	w->drained = false;
}

enum drain { DRAIN_BEFORE, DRAIN_AFTER };

static void
drain(struct world *w)
{
	if (w->relay != NULL)
		relay_drain(w->relay, on_drained, w);
}

static void
try(struct world *w, const struct phase *p, void (*end)(struct world *w),
    enum drain when)
{
	static const char ehlo[] = "250-fake\r\n250-PIPELINING\r\n";
	char text[256];

	snprintf(text, sizeof(text), "%s%s%s%s250 8BITMIME", ehlo,
	    p->quirks & WITH_XCLIENT ? "250-XCLIENT NAME ADDR LOGIN\r\n" : "",
	    p->quirks & WITH_LOGIN ? "250-AUTH PLAIN\r\n" : "",
	    p->quirks & WITH_CHUNKS ? "250-CHUNKING\r\n" : "");
	w->fake->ehlo = text;
	if (p->quirks & IN_LMTP)
		fake_rule(w->fake, "LHLO", text, -1, 0);
	if (p->command != NULL)
		fake_rule(w->fake, p->command, p->reply, -1, 0);
	/* What the next hop offers is known as a rule. */
	open_relay(w, p);
	if (p->command != NULL && p->command[0] == '\0' &&
	    (p->quirks & (WITH_LOGIN | WITH_XCLIENT)))
		w->fake->rules[0].after = 1;
	open_session(w, p);
	reach(w, p);
	if (when == DRAIN_BEFORE)
		drain(w);
	if (w->relay != NULL)
		end(w);
	pump_swiftly(w->loop, TURNS);
	if (when == DRAIN_AFTER)
		drain(w);
	pump_swiftly(w->loop, TURNS);
	close_case(w, when == DRAIN_BEFORE ||
			  (when == DRAIN_AFTER && end != end_of_relay));
}

static void
try_all(struct world *w, enum drain when)
{
	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		for (size_t j = 0; j < ARRAY_LEN(ends); j++)
			try(w, &phases[i], ends[j].fn, when);
	}
}

static void
test_every_end_while_draining(void **state)
{
	try_all(*state, DRAIN_BEFORE);
}

static void
test_drain_after_every_end(void **state)
{
	try_all(*state, DRAIN_AFTER);
}

/* ---- moves that nobody may make ---- */

static void
move_session(struct relay *r)
{
	struct session s = {.relay = r, .state = SESSION_ENDED};

	session_set_state(&s, SESSION_OPEN);
}

static void
move_txn(struct relay *r)
{
	struct txn t = {.relay = r, .state = TXN_TEXT};

	txn_set_state(&t, TXN_RCPT);
}

static void
end_twice(struct relay *r)
{
	struct txn t = {.relay = r, .state = TXN_OVER};

	txn_set_state(&t, TXN_OVER);
}

static void
move_hop_txn(struct relay *r)
{
	struct txn t = {.relay = r};
	struct hop_txn l = {.txn = &t, .state = HOP_TXN_DEAD};

	hop_txn_set_state(&l, HOP_TXN_CONNECTING);
}

static void
move_legally(struct relay *r)
{
	struct txn t = {.relay = r, .state = TXN_DATA};

	txn_set_state(&t, TXN_ENVELOPE);
	assert_int_equal(t.state, TXN_ENVELOPE);
}

/* The signal that ended it; 0: none. */
static int
end_of_child(void (*fn)(struct relay *r))
{
	struct relay r = {0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		fn(&r);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
test_illegal_moves(void **state)
{
	(void)state;
	assert_int_equal(end_of_child(move_legally), 0);
	assert_int_equal(end_of_child(move_session), SIGABRT);
	assert_int_equal(end_of_child(move_txn), SIGABRT);
	assert_int_equal(end_of_child(end_twice), SIGABRT);
	assert_int_equal(end_of_child(move_hop_txn), SIGABRT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_illegal_moves),
	    cmocka_unit_test(test_every_end_while_draining),
	    cmocka_unit_test(test_drain_after_every_end),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
