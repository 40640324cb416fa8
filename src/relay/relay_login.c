/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client's login. weir carries the exchange, to the next hop on a connection
 * of the session's own (auth = pass) or to Dovecot, and reads along whose it
 * is. A line that does not tell that, where it must, goes no further: the user
 * who logs in is the one who is throttled.
 *
 * A refusal waits before it is answered, the longer the more there were from
 * this address; where there were too many, a login may have to wait before it
 * is checked (auth_guard.h). Nothing of a password is kept past its line, but
 * for one that waits for its turn, or while the connection is made.
 */
#include "relay/relay_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_WAIT_MS 60000 /* for the one who checks it */

enum login_state {
	LOGIN_NEW,
	LOGIN_IN_LINE,    /* its turn comes at due */
	LOGIN_CONNECTING, /* to the next hop */
	LOGIN_ASKED,      /* the next word is the next hop's or Dovecot's */
	LOGIN_CHALLENGED, /* the client's */
	LOGIN_SLOWED,     /* refused; the client hears it at due */
	LOGIN_OVER,
};

#define BIT(state) (1u << (state))

static const char *const login_names[] = {
    [LOGIN_NEW] = "new",
    [LOGIN_IN_LINE] = "in-line",
    [LOGIN_CONNECTING] = "connecting",
    [LOGIN_ASKED] = "asked",
    [LOGIN_CHALLENGED] = "challenged",
    [LOGIN_SLOWED] = "slowed",
    [LOGIN_OVER] = "over",
};

static const uint16_t login_may_follow[] = {
    [LOGIN_NEW] = 0,
    [LOGIN_IN_LINE] = BIT(LOGIN_NEW) | BIT(LOGIN_CHALLENGED),
    [LOGIN_CONNECTING] = BIT(LOGIN_NEW) | BIT(LOGIN_IN_LINE),
    [LOGIN_ASKED] = BIT(LOGIN_NEW) | BIT(LOGIN_IN_LINE) |
		    BIT(LOGIN_CONNECTING) | BIT(LOGIN_CHALLENGED),
    [LOGIN_CHALLENGED] = BIT(LOGIN_ASKED),
    /* Who it must be known of is refused before anybody is asked. */
    [LOGIN_SLOWED] = BIT(LOGIN_NEW) | BIT(LOGIN_ASKED) | BIT(LOGIN_CHALLENGED),
    [LOGIN_OVER] = BIT(LOGIN_OVER) - 1,
};

static const struct relay_states login_states = {
    "login", login_names, login_may_follow};

struct login {
	struct list entry; /* among what is over */
	enum login_state state;
	struct sasl_watch watch;
	struct auth_try *attempt; /* Dovecot's; NULL: none */
	bool has_initial;
	bool admitted;      /* the guard has been asked */
	bool initial_waits; /* IN_LINE: line is the initial response */
	struct buf line;    /* that waits */
	int64_t waited_ms;  /* in line */
	int64_t due;
	unsigned code;
	char enhanced[SMTP_ENHANCED_MAX], text[300];
};

static void
login_set_state(struct session *s, enum login_state state)
{
	struct login *g = s->login;

	relay_move(&login_states, s->relay, s, NULL, g->state, state);
	g->state = state;
}

static void
login_over(struct session *s)
{
	struct login *g = s->login;

	login_set_state(s, LOGIN_OVER);
	s->login = NULL;
	if (g->attempt != NULL)
		auth_try_cancel(g->attempt);
	g->attempt = NULL;
	sasl_wipe(&g->line);
	relay_reap_later(s->relay, &s->relay->logins_over, &g->entry);
}

void
login_free_all(struct list *over)
{
	struct list *e, *next;

	list_each_safe (e, next, over) {
		list_remove(e);
		free(LIST_ITEM(e, struct login, entry));
	}
}

static void
login_log(const struct session *s, enum log_event_id event, const char *result,
    const struct smtp_reply *reply)
{
	const struct sasl_watch *w = &s->login->watch;
	char words[LOG_QUOTE_MAX];

	log_write(s->relay->parts.log, event, KV(result, result),
	    KV(user, sasl_watch_user(w)),
	    KV(mechanism, sasl_mech_name(w->mech)), KV(client, &s->client),
	    KV(failures, auth_guard_count(s->relay->guard, &s->client,
			     loop_now(s->relay->parts.loop))),
	    KV(code, reply->code),
	    KV(reply, sasl_hide(reply->text, words, sizeof(words))));
}

/* ---- the end ---- */

/* No answer is open any more, or is given by the caller. */
void
login_drop(struct session *s, int64_t now)
{
	if (s->login == NULL)
		return;
	login_over(s);
	if (!s->login_passed)
		private_conn_forget(s, now);
}

static void
login_answer(struct session *s, const struct smtp_reply *reply, int64_t now)
{
	login_drop(s, now);
	smtp_server_reply(s->server, reply, now);
	session_pump(s, now);
}

/* It cannot be checked now: nobody's fault, no delay. */
static void
login_unavailable(struct session *s, const char *why, int64_t now)
{
	struct smtp_reply reply = smtp_reply_make(
	    454, "4.7.0", "Temporary authentication failure, try again later");
	struct smtp_reply cause = smtp_reply_make(454, "4.7.0", why);

	login_log(s, LOG_EV_SMTP_AUTH_FAILED, "unavailable", &cause);
	login_answer(s, &reply, now);
}

static void
login_refused(struct session *s, const struct smtp_reply *reply, int64_t now)
{
	struct login *g = s->login;
	int64_t delay = auth_guard_failed(
	    s->relay->guard, &s->client, sasl_watch_user(&g->watch), now);

	counters_add(s->relay->parts.counters, COUNT_AUTH_FAILURES, 1);
	login_log(s, LOG_EV_SMTP_AUTH_FAILED, "refused", reply);
	login_set_state(s, LOGIN_SLOWED);
	/* Who stood in line was slow already. */
	g->due = now + (delay > g->waited_ms ? delay - g->waited_ms : 0);
	g->code = reply->code;
	str_copy(str_from(reply->enhanced), g->enhanced, sizeof(g->enhanced));
	str_copy(reply->text, g->text, sizeof(g->text));
	if (!s->login_passed)
		private_conn_forget(s, now);
	session_set_timer(s);
}

static void
login_refused_here(struct session *s, const char *text, int64_t now)
{
	struct smtp_reply reply = smtp_reply_make(535, "5.7.8", text);

	login_refused(s, &reply, now);
}

static void
login_succeeded(struct session *s, struct str user,
    const struct smtp_reply *reply, bool passed, int64_t now)
{
	counters_add(s->relay->parts.counters, COUNT_AUTH_LOGINS, 1);
	login_log(s, LOG_EV_SMTP_AUTH, "ok", reply);
	auth_guard_passed(s->relay->guard, &s->client,
	    sasl_watch_user(&s->login->watch), now);
	free(s->user);
	s->user = str_dup(user);
	s->login_passed = passed;
	/* Dovecot told the one name that the account has. */
	s->proof = passed ? s->login->watch.proof : 0;
	login_over(s);
	smtp_server_auth_done(s->server, reply, now);
	conn_set_secret(s->conn, false);
	session_pump(s, now);
}

/* Not checked at all: the guesses before it were too many. */
static void
login_locked(struct session *s, const struct auth_guard_answer *no, int64_t now)
{
	struct relay *r = s->relay;
	char text[200];
	struct smtp_reply reply;

	snprintf(text, sizeof(text),
	    "Too many failed logins %sfrom your address, try again in %lld "
	    "seconds",
	    no->of_user ? "of this user " : "",
	    (long long)(no->wait_ms / 1000 + 1));
	reply = smtp_reply_make(421, "4.7.0", text);
	counters_add(r->parts.counters, COUNT_AUTH_LOCKED, 1);
	relay_report_limit(r, RELAY_AUTH_FAILURES_MAX, NULL, &s->client, now);
	login_answer(s, &reply, now);
}

int64_t
login_due(const struct session *s)
{
	if (s->login == NULL || s->login->state == LOGIN_CHALLENGED)
		return INT64_MAX;
	return s->login->due;
}

/* The refusal's time is over. */
static void
login_answer_refused(struct session *s, int64_t now)
{
	struct login *g = s->login;
	struct smtp_reply reply;
	char text[300];

	if (auth_guard_is_locked(s->relay->guard, &s->client,
		sasl_watch_user(&g->watch), s->settings->auth_failures_max,
		now)) {
		reply = smtp_reply_make(421, "4.7.0",
		    "Too many failed logins from your address, try again "
		    "later");
	} else {
		str_copy(str_from(g->text), text, sizeof(text));
		reply = smtp_reply_make(g->code, g->enhanced, text);
	}
	login_answer(s, &reply, now);
}

static void login_go_on(struct session *s, int64_t now);

void
login_run(struct session *s, int64_t now)
{
	switch (s->login->state) {
	case LOGIN_IN_LINE:
		login_go_on(s, now);
		break;
	case LOGIN_SLOWED:
		login_answer_refused(s, now);
		break;
	case LOGIN_CONNECTING:
	case LOGIN_ASKED:
	case LOGIN_CHALLENGED:
		login_unavailable(s, "no answer in time", now);
		break;
	case LOGIN_NEW:
	case LOGIN_OVER:
		break;
	}
}

/* ---- the exchange ---- */

static void
login_challenge(struct session *s, struct str challenge, int64_t now)
{
	login_set_state(s, LOGIN_CHALLENGED);
	if (!smtp_server_auth_challenge(s->server, challenge, now)) {
		login_unavailable(s, "a challenge that is not base64", now);
		return;
	}
	session_pump(s, now);
}

static void
on_dovecot_answer(void *arg, const struct dovecot_answer *answer)
{
	struct session *s = arg;
	struct login *g = s->login;
	int64_t now = loop_now(s->relay->parts.loop);
	struct smtp_reply reply;

	if (answer->what != DOVECOT_CONTINUE)
		g->attempt = NULL;
	/* Nobody asked: Dovecot is gone, or has given up, while the client has
	 * yet to answer a challenge. The client hears of it with its line. */
	if (g->state != LOGIN_ASKED)
		return;
	if (answer->what == DOVECOT_CONTINUE) {
		login_challenge(s, answer->challenge, now);
	} else if (answer->what == DOVECOT_FAIL && answer->temporary) {
		login_unavailable(s, "temporary failure in Dovecot", now);
	} else if (answer->what == DOVECOT_FAIL) {
		login_refused_here(s, "Authentication failed", now);
	} else if (answer->user.n == 0 || answer->user.n > SASL_USER_MAX) {
		login_unavailable(s, "Dovecot names no user", now);
	} else {
		reply = smtp_reply_make(235, "2.7.0", "Authenticated");
		login_succeeded(s, answer->user, &reply, false, now);
	}
}

static void
start_dovecot(struct session *s, struct str initial)
{
	struct login *g = s->login;
	struct dovecot_client client = {
	    .remote = s->client,
	    .local = s->local,
	    .remote_port = s->client_port,
	    .local_port = s->local_port,
	    .secure = conn_is_tls(s->conn),
	};

	login_set_state(s, LOGIN_ASKED);
	g->attempt = auth_link_start(s->relay->auth_link, g->watch.mech,
	    &client, g->has_initial, initial, on_dovecot_answer, s);
}

static void
keep_line(struct login *g, struct str line)
{
	(void)buf_reserve(&g->line, line.n + 1);
	if (line.n > 0 && !buf_append_str(&g->line, line))
		panic("login: a line does not fit");
}

static void
start_pass(struct session *s, struct str initial, int64_t now)
{
	struct login *g = s->login;

	login_set_state(s, LOGIN_CONNECTING);
	keep_line(g, initial);
	private_conn_start_login(s, now);
}

/* A token that stands for its user (RFC 7628 section 3.1): Dovecot tells who it
 * is, a next hop does not. */
static bool
may_be_nameless(const struct session *s)
{
	return s->login->watch.mech == SASL_OAUTHBEARER &&
	       (s->listen.auth == RELAY_AUTH_DOVECOT ||
		   s->listen.auth_nameless == RELAY_NAMELESS_ADDRESS);
}

/* Who it is must be known before another learns the rest. False: answered. */
static bool
watch(struct session *s, struct str line, int64_t now)
{
	struct smtp_reply bad =
	    smtp_reply_make(501, "5.5.2", "The response is malformed");

	switch (sasl_watch_line(&s->login->watch, line)) {
	case SASL_GOES_ON:
		return true;
	case SASL_MALFORMED:
		login_log(s, LOG_EV_SMTP_AUTH, "malformed", &bad);
		login_answer(s, &bad, now);
		return false;
	case SASL_OPAQUE:
		if (may_be_nameless(s))
			return true;
		login_refused_here(s,
		    "The response must name the user (a=); the token alone "
		    "does not identify one",
		    now);
		return false;
	case SASL_NAMELESS:
		login_refused_here(s, "The response names no user", now);
		return false;
	}
	panic("login: verdict");
}

/* False: it stands in line, or was answered. Asked when it is known who it is,
 * before anybody who could check it hears that. */
static bool
is_admitted(struct session *s, struct str line, bool initial, int64_t now)
{
	struct login *g = s->login;
	struct str user = sasl_watch_user(&g->watch);
	struct auth_guard_answer answer;

	if (g->admitted ||
	    (user.n == 0 && !(g->watch.lines > 0 && may_be_nameless(s))))
		return true;
	g->admitted = true;
	answer = auth_guard_ask(s->relay->guard, &s->client, user,
	    s->settings->auth_failures_max, now);
	if (!answer.may) {
		login_locked(s, &answer, now);
		return false;
	}
	if (answer.wait_ms == 0)
		return true;
	keep_line(g, line);
	g->initial_waits = initial;
	login_set_state(s, LOGIN_IN_LINE);
	g->waited_ms = answer.wait_ms;
	g->due = now + answer.wait_ms;
	session_set_timer(s);
	return false;
}

static void
begin(struct session *s, struct str initial, int64_t now)
{
	s->login->due = now + LOGIN_WAIT_MS;
	if (s->listen.auth == RELAY_AUTH_DOVECOT)
		start_dovecot(s, initial);
	else
		start_pass(s, initial, now);
	session_set_timer(s);
}

static void
send_line(struct session *s, struct str line, int64_t now)
{
	struct login *g = s->login;

	login_set_state(s, LOGIN_ASKED);
	g->due = now + LOGIN_WAIT_MS;
	if (g->attempt != NULL)
		auth_try_continue(g->attempt, line);
	else if (private_conn_client(s) != NULL)
		smtp_client_auth_line(private_conn_client(s), line, 0, now);
	else
		login_unavailable(
		    s, "the connection that checks it is gone", now);
	if (s->login != NULL)
		session_set_timer(s);
}

static void
login_go_on(struct session *s, int64_t now)
{
	struct login *g = s->login;
	struct buf line = g->line;

	buf_init(&g->line, SASL_LINE_MAX);
	if (g->initial_waits)
		begin(s, buf_str(&line), now);
	else
		send_line(s, buf_str(&line), now);
	sasl_wipe(&line);
}

void
login_start(struct session *s, enum sasl_mech mech, bool has_initial,
    struct str initial, int64_t now)
{
	struct login *g = xcalloc(1, sizeof(*g));

	s->login = g;
	sasl_watch_init(&g->watch, mech, s->relay->proof_seed);
	buf_init(&g->line, SASL_LINE_MAX);
	g->has_initial = has_initial;
	g->due = now + LOGIN_WAIT_MS;
	if (has_initial &&
	    (!watch(s, initial, now) || !is_admitted(s, initial, true, now)))
		return;
	begin(s, initial, now);
}

void
login_line(struct session *s, struct str line, int64_t now)
{
	if (watch(s, line, now) && is_admitted(s, line, false, now))
		send_line(s, line, now);
}

/* ---- the next hop's part ---- */

void
login_on_hop_ready(struct session *s, int64_t now)
{
	struct login *g = s->login;

	if (g == NULL || g->state != LOGIN_CONNECTING)
		return;
	if (!(private_conn_mechs(s) & g->watch.mech)) {
		login_unavailable(s,
		    "the next hop does not offer this mechanism now, or "
		    "passwords are not sent to it without TLS "
		    "(next_hop_auth_in_clear)",
		    now);
		return;
	}
	login_set_state(s, LOGIN_ASKED);
	private_conn_auth(
	    s, g->watch.mech, g->has_initial, buf_str(&g->line), now);
	sasl_wipe(&g->line);
}

void
login_on_hop_reply(
    struct session *s, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply answer = *reply;

	if (s->login == NULL || s->login->state != LOGIN_ASKED)
		return;
	if (reply->code == 334) {
		login_challenge(s, reply->text, now);
	} else if (reply->code == 235) {
		struct str user = sasl_watch_user(&s->login->watch);

		if (user.n > 0 || may_be_nameless(s))
			login_succeeded(s, user, &answer, true, now);
		else
			login_unavailable(s,
			    "the next hop accepted the login without asking "
			    "for a user name",
			    now);
	} else if (reply->code < 500) {
		char text[300];

		str_copy(reply->text, text, sizeof(text));
		login_unavailable(s, text, now);
	} else {
		if (answer.code == 535 && answer.enhanced[0] == '\0')
			str_copy(STR("5.7.8"), answer.enhanced,
			    sizeof(answer.enhanced));
		login_refused(s, &answer, now);
	}
}

void
login_on_hop_fail(
    struct session *s, const struct smtp_reply *reply, int64_t now)
{
	char text[300];

	if (s->login == NULL || s->login->state == LOGIN_SLOWED)
		return;
	str_copy(reply->text, text, sizeof(text));
	if (s->login->state != LOGIN_CHALLENGED)
		login_unavailable(s, text, now);
}
