/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: logins. The first byte chooses the part: a client's dialogue
 * with the server engine, whose owner reads along who it is; Dovecot's side of
 * its protocol; or what a server says of a login, for the log. The second how
 * the input is cut and what the owner says, or the room.
 * Checked: a name that was read is fit for keys and logs, questions come in
 * order, nothing comes after the end, output is whole lines.
 */
#include "smtp/dovecot.h"
#include "smtp/server.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
	struct smtp_server *server;
	struct sasl_watch watch;
	unsigned choice, count;
	bool open, closed;
};

static void
check(bool ok, const char *what)
{
	if (!ok)
		panic("%s", what);
}

static void
check_user(struct str user)
{
	check(user.n <= SASL_USER_MAX && str_is_utf8(user), "user");
	for (size_t i = 0; i < user.n; i++)
		check((unsigned char)user.p[i] >= ' ' && user.p[i] != 0x7F,
		    "control character in a user");
}

static void
on_write(void *arg, const char *p, size_t n)
{
	struct owner *o = arg;

	check(!o->closed, "write after close");
	check(n > 5 && p[n - 2] == '\r' && p[n - 1] == '\n', "half a line");
	check(memchr(p, '\0', n) == NULL, "NUL in a reply");
}

static void
on_helo(void *arg, struct str name, bool esmtp)
{
	struct owner *o = arg;
	struct smtp_caps caps = {
	    .ext = SMTP_EXT_AUTH | SMTP_EXT_XCLIENT | SMTP_EXT_ENHANCED,
	    .auth = SASL_PLAIN | SASL_LOGIN | SASL_CRAM_MD5 | SASL_XOAUTH2 |
		    SASL_OAUTHBEARER,
	    .xclient = XCLIENT_ATTRS};

	(void)name;
	(void)esmtp;
	check(!o->open, "HELO within a login");
	smtp_server_helo_done(o->server, &caps, 1);
}

static void
on_mail(void *arg, const struct smtp_mail *m)
{
	struct owner *o = arg;
	struct smtp_reply no = smtp_reply_make(530, "5.7.0", "log in");

	(void)m;
	check(!o->open, "MAIL within a login");
	smtp_server_reply(o->server, &no, 1);
}

/* Three answers are a refusal, one a success, others a challenge. */
static void
decide(struct owner *o, enum sasl_verdict verdict)
{
	struct smtp_reply no = smtp_reply_make(535, "5.7.8", "no");
	struct smtp_reply yes = smtp_reply_make(235, "2.7.0", "yes");
	unsigned turn = (o->choice + o->count++) % 4;

	check_user(sasl_watch_user(&o->watch));
	if (verdict != SASL_GOES_ON || turn == 0) {
		o->open = false;
		smtp_server_reply(o->server, &no, 1);
	} else if (turn == 1 && o->watch.user[0] != '\0') {
		o->open = false;
		smtp_server_auth_done(o->server, &yes, 1);
	} else {
		o->open = true;
		check(smtp_server_auth_challenge(o->server, STR("YQ=="), 1),
		    "challenge");
	}
}

static void
on_auth(void *arg, enum sasl_mech mech, bool has_initial, struct str initial)
{
	struct owner *o = arg;
	enum sasl_verdict verdict = SASL_GOES_ON;

	check(!o->open, "a login within a login");
	check(initial.n == 0 || has_initial, "initial response");
	sasl_watch_init(&o->watch, mech, 7);
	if (has_initial)
		verdict = sasl_watch_line(&o->watch, initial);
	decide(o, verdict);
}

static void
on_auth_line(void *arg, struct str line)
{
	struct owner *o = arg;

	check(o->open, "a response to no challenge");
	check(line.n < SASL_LINE_MAX && sasl_is_base64(line), "response");
	decide(o, sasl_watch_line(&o->watch, line));
}

static void
on_auth_cancel(void *arg)
{
	struct owner *o = arg;

	check(o->open, "nothing to cancel");
	o->open = false;
}

static void
on_xclient(void *arg, const struct xclient *x)
{
	struct owner *o = arg;

	check(!o->open, "XCLIENT within a login");
	check_user(str_from(x->login));
	smtp_server_xclient_done(o->server, x->login[0] != '\0', 1);
}

static void
on_xforward(void *arg, const struct xclient *x)
{
	struct owner *o = arg;
	struct smtp_reply ok = smtp_reply_make(250, "2.0.0", "ok");

	check_user(str_from(x->ident));
	smtp_server_reply(o->server, &ok, 1);
}

static void
on_close(void *arg, enum smtp_server_end why)
{
	struct owner *o = arg;

	(void)why;
	check(!o->closed, "closed twice");
	o->closed = true;
}

static const struct smtp_server_ops server_ops = {
    .write = on_write,
    .on_helo = on_helo,
    .on_mail = on_mail,
    .on_close = on_close,
    .on_auth = on_auth,
    .on_auth_line = on_auth_line,
    .on_auth_cancel = on_auth_cancel,
    .on_xclient = on_xclient,
    .on_xforward = on_xforward,
};

/* Up to and with the next line end, as a client that waits; or so many. */
static size_t
next_step(unsigned step, const char *p, size_t n)
{
	if (step % 4 == 0)
		step = (unsigned)str_index((struct str){p, n - 1}, '\n') + 1;
	return step < n ? step : n;
}

static void
run_server(unsigned choice, const char *p, size_t size)
{
	struct smtp_server_limits limits = {
	    .errors_max = 30, .idle_commands_max = 50, .line_max = 512};
	struct owner o = {.choice = choice};
	size_t from = 0, to = 0;

	o.server = smtp_server_new(&limits, "mx.example.org", &server_ops, &o);
	smtp_server_trust(o.server, choice & 1);
	smtp_server_greet(o.server, false, 1);
	while (to < size && !o.closed) {
		size_t n;
		char *copy;

		to += next_step(choice / 4, p + to, size - to);
		n = to - from;
		/* Exact size: ASan sees a read past the end. */
		copy = xmalloc(n);
		memcpy(copy, p + from, n);
		from += smtp_server_feed(o.server, copy, n, 1);
		free(copy);
		check(o.closed || to - from < SASL_LINE_MAX, "stuck");
	}
	smtp_server_close(o.server, NULL, 1);
	smtp_server_free(o.server);
}

/* ---- Dovecot ---- */

static void
on_dovecot_write(void *arg, const char *p, size_t n)
{
	(void)arg;
	check(n > 1 && p[n - 1] == '\n', "half a line");
	check(memchr(p, '\r', n) == NULL, "CR");
}

static void
on_dovecot_ready(void *arg, unsigned mechs)
{
	(void)arg;
	check(mechs < 2 * SASL_OAUTHBEARER, "mechanisms");
}

static void
on_dovecot_answer(void *arg, const struct dovecot_answer *a)
{
	unsigned *answers = arg;

	++*answers;
	check(
	    memchr(a->user.p != NULL ? a->user.p : "", '\t', a->user.n) == NULL,
	    "tab");
}

static const struct dovecot_ops dovecot_ops = {
    .write = on_dovecot_write,
    .on_ready = on_dovecot_ready,
    .on_answer = on_dovecot_answer,
};

static void
run_dovecot(unsigned choice, const char *p, size_t size)
{
	static const struct dovecot_client nobody;
	unsigned answers = 0;
	struct dovecot *d = dovecot_new(&dovecot_ops, &answers, 1);
	bool ok = true;

	for (size_t from = 0, n; from < size && ok; from += n) {
		n = next_step(choice, p + from, size - from);
		ok = dovecot_feed(d, p + from, n);
		check(answers == 0 || dovecot_is_ready(d), "early answer");
		if (ok && dovecot_is_ready(d))
			dovecot_auth(d, 1, SASL_PLAIN, &nobody, choice & 1,
			    STR("AGEAYg=="));
	}
	dovecot_free(d);
}

/* ---- a server's words ---- */

static void
run_words(unsigned choice, const char *p, size_t size)
{
	size_t cap = (size_t)choice * 8;
	char *out = xmalloc(cap);

	check(sasl_hide((struct str){p, size}, out, cap).n <= cap, "too long");
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 2;

	if (size < 2)
		return 0;
	if (data[0] == 'D')
		run_dovecot(data[1], p, size - 2);
	else if (data[0] == 'W')
		run_words(data[1], p, size - 2);
	else
		run_server(data[1], p, size - 2);
	return 0;
}
