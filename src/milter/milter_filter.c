/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libmilter's callbacks, which run in its threads, one for each connection of
 * the MTA. A callback translates, posts to the loop and waits with a deadline;
 * it decides nothing and owns nothing but the struct milter_conn of its
 * connection. No answer in time is a 451: the client keeps its mail and the MTA
 * goes on.
 *
 * Of the MTA only what is needed is asked: no replies are waited for at HELO
 * and headers, and a message whose recipients are all known is let go at DATA.
 */
#include "milter/milter_filter.h"

#include "milter/milter_message.h"
#include "os/clock.h"

#include <libmilter/mfapi.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libmilter knows one filter per process and gives its callbacks no argument:
 * the one place outside the programs where a file keeps a pointer. Set before
 * libmilter's threads start. */
static struct milter_filter *the_filter;

void
milter_filter_set(struct milter_filter *f)
{
	the_filter = f;
}

/* Some commands come through without a negotiation before them, or after
 * SMFIC_QUIT_NC has ended the connection's first client: nobody is there to
 * judge for. libmilter has a value of its own that closes the connection, and
 * names it only to itself (_SMFIS_ABORT); where it means nothing, nothing is
 * answered. */
#define CLOSE_CONNECTION ((sfsistat)21)

/* ---- answers to the MTA ---- */

static sfsistat
no_reply(const struct milter_conn *c, unsigned long bit)
{
	return (c->steps & bit) != 0 ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

/* A '%' is doubled: the MTA takes it for the start of a format. */
static sfsistat
refuse(SMFICTX *ctx, unsigned code, const char *enhanced, const char *words)
{
	char text[2 * MILTER_TEXT_MAX], number[8], xcode[16];
	size_t n = 0;

	for (const char *p = words; *p != '\0' && n + 3 < sizeof(text); p++) {
		if (*p == '%')
			text[n++] = '%';
		text[n++] = *p == '\r' || *p == '\n' ? ' ' : *p;
	}
	text[n] = '\0';
	snprintf(number, sizeof(number), "%u", code);
	str_copy(str_from(enhanced), xcode, sizeof(xcode));
	(void)smfi_setreply(ctx, number, xcode, text);
	return code >= 500 ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static sfsistat
refuse_late(SMFICTX *ctx)
{
	return refuse(ctx, 451, "4.3.2",
	    "The message could not be checked in time, try again later");
}

static sfsistat
refuse_with_reply(SMFICTX *ctx, struct milter_ask *ask)
{
	sfsistat status = refuse(ctx, ask->code, ask->enhanced, ask->words);

	milter_ask_free(ask);
	return status;
}

/* ---- the connection ---- */

#define WANTED_STEPS                                                      \
	(SMFIP_NOUNKNOWN | SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_HDR | \
	    SMFIP_NR_EOH | SMFIP_HDR_LEADSPC | SMFIP_SKIP | SMFIP_RCPT_REJ)
#define NO_TEXT_STEPS (SMFIP_NOHDRS | SMFIP_NOEOH | SMFIP_NOBODY)

static void
ask_for_macros(SMFICTX *ctx)
{
	static char connect[] = "{client_addr}", helo[] = "j";
	static char mail[] = "{auth_authen} {client_addr}";
	static char rcpt[] = "{rcpt_mailer} {rcpt_host}";
	static char id[] = "i", end[] = "i j";

	(void)smfi_setsymlist(ctx, SMFIM_CONNECT, connect);
	(void)smfi_setsymlist(ctx, SMFIM_HELO, helo);
	(void)smfi_setsymlist(ctx, SMFIM_ENVFROM, mail);
	(void)smfi_setsymlist(ctx, SMFIM_ENVRCPT, rcpt);
	(void)smfi_setsymlist(ctx, SMFIM_DATA, id);
	(void)smfi_setsymlist(ctx, SMFIM_EOM, end);
}

static unsigned long
needed_actions(enum milter_hold hold)
{
	switch (hold) {
	case MILTER_TAKE:
		return SMFIF_DELRCPT;
	case MILTER_QUARANTINE:
		return SMFIF_QUARANTINE;
	case MILTER_TEMPFAIL:
		break;
	}
	return 0;
}

static unsigned long
unneeded_steps(enum milter_hold hold)
{
	switch (hold) {
	case MILTER_TAKE:
		return 0;
	case MILTER_QUARANTINE:
		return SMFIP_NOBODY;
	case MILTER_TEMPFAIL:
		break;
	}
	return NO_TEXT_STEPS;
}

static void
note_refusal(struct milter_filter *f, const struct ip *client, unsigned open)
{
	milter_post(f->desk->port, milter_ask_new(MILTER_FULL, NULL));
	if (!peer_is_news(&f->full_due, clock_mono_ms()))
		return;
	log_write(f->desk->parts.log, LOG_EV_MILTER_REFUSE, KV(client, client),
	    KV(limit, "milter_connections_max"), KV(open, open));
}

/* How many there are with it. 0: it is refused. The connection ends, and with
 * it its thread: the MTA does what it does without a filter (Postfix:
 * milter_default_action). */
static unsigned
count_connection(struct milter_filter *f)
{
	uint32_t max = f->desk->settings.connections_max;
	unsigned open = atomic_fetch_add(&f->open, 1);

	if (max == 0 || open < places_most(max))
		return open + 1;
	atomic_fetch_sub(&f->open, 1);
	note_refusal(f, NULL, open);
	return 0;
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
    unsigned long f2, unsigned long f3, unsigned long *want_actions,
    unsigned long *want_steps, unsigned long *want2, unsigned long *want3)
{
	struct milter_desk *d = the_filter->desk;
	enum milter_hold hold = d->settings.hold;
	unsigned long need = needed_actions(hold);
	struct milter_conn *c;
	unsigned open;

	(void)f2;
	(void)f3;
	*want2 = *want3 = 0;
	if (smfi_getpriv(ctx) != NULL)
		return SMFIS_REJECT;
	if ((actions & need) != need) {
		log_write(d->parts.log, LOG_EV_MILTER_NEGOTIATE_FAILED,
		    KV(error, "the mail server does not allow the changes "
			      "that milter_hold requires"));
		return SMFIS_REJECT;
	}
	*want_actions = need;
	if ((actions & SMFIF_SETSYMLIST) != 0) {
		*want_actions |= SMFIF_SETSYMLIST;
		ask_for_macros(ctx);
	}
	*want_steps = steps & (WANTED_STEPS | unneeded_steps(hold));
	open = count_connection(the_filter);
	if (open == 0)
		return SMFIS_REJECT;
	/* A client that has more than its share is told so when it connects,
	 * which is not to cost a question where there is room. */
	if (open > d->settings.connections_max / 2)
		*want_steps &= ~(unsigned long)SMFIP_NR_CONN;
	c = milter_conn_new(d->port, &d->settings);
	c->steps = *want_steps;
	(void)smfi_setpriv(ctx, c);
	return SMFIS_CONTINUE;
}

static void
set_client(struct milter_conn *c, const struct sockaddr *sa)
{
	struct net_addr addr = {.len = 0};

	if (sa == NULL)
		return;
	if (sa->sa_family == AF_INET)
		addr.len = sizeof(struct sockaddr_in);
	else if (sa->sa_family == AF_INET6)
		addr.len = sizeof(struct sockaddr_in6);
	else
		return;
	memcpy(&addr.ss, sa, addr.len);
	c->client = net_addr_ip(&addr);
	c->client_port = net_addr_port(&addr);
}

/* The mail server's clients share its connections, so that one of them cannot
 * keep all others out. */
static bool
take_place(struct milter_conn *c)
{
	struct milter_filter *f = the_filter;
	bool may_answer = (c->steps & SMFIP_NR_CONN) == 0;
	struct ip site;

	places_give(f->places, c->place);
	c->place = places_take(f->places, ip_site_key(&c->client, &site),
	    may_answer ? f->desk->settings.connections_max : 0);
	if (c->place != NULL)
		return true;
	note_refusal(f, &c->client, places_used(f->places));
	return false;
}

static sfsistat
on_connect(SMFICTX *ctx, char *hostname, _SOCK_ADDR *sa)
{
	struct milter_conn *c = smfi_getpriv(ctx);

	(void)hostname;
	if (c == NULL)
		return CLOSE_CONNECTION;
	set_client(c, sa);
	if (atomic_load(&the_filter->expects_own)) {
		struct milter_ask *ask = milter_ask_new(MILTER_MET, NULL);

		ask->client = c->client;
		ask->client_port = c->client_port;
		milter_post(the_filter->desk->port, ask);
	}
	if (!take_place(c))
		return SMFIS_TEMPFAIL;
	return no_reply(c, SMFIP_NR_CONN);
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	struct milter_conn *c = smfi_getpriv(ctx);

	if (c == NULL)
		return CLOSE_CONNECTION;
	free(c->helo);
	c->helo = str_dup(str_sub(str_from(name), 0, 255));
	return no_reply(c, SMFIP_NR_HELO);
}

static sfsistat
on_close(SMFICTX *ctx)
{
	struct milter_conn *c = smfi_getpriv(ctx);

	if (c == NULL)
		return SMFIS_CONTINUE;
	(void)smfi_setpriv(ctx, NULL);
	places_give(the_filter->places, c->place);
	milter_conn_free(c);
	atomic_fetch_sub(&the_filter->open, 1);
	return SMFIS_CONTINUE;
}

/* ---- the envelope ---- */

static char *
symbol(SMFICTX *ctx, const char *name)
{
	char copy[32];

	str_copy(str_from(name), copy, sizeof(copy));
	return smfi_getsymval(ctx, copy);
}

static void
keep_queue_id(SMFICTX *ctx, struct milter_conn *c)
{
	const char *id = c->queue_id == NULL ? symbol(ctx, "i") : NULL;

	if (id != NULL)
		c->queue_id = str_dup(str_sub(str_from(id), 0, 63));
}

static sfsistat
on_envfrom(SMFICTX *ctx, char **argv)
{
	struct milter_conn *c = smfi_getpriv(ctx);
	const char *user = symbol(ctx, "{auth_authen}");
	struct milter_ask *ask;

	if (c == NULL)
		return CLOSE_CONNECTION;
	ask = milter_conn_mail(c, argv);
	if (user != NULL && user[0] != '\0')
		ask->user = xstrdup(user);
	ask->local = ask->user == NULL && (c->client.family == IP_NONE ||
					      ip_is_loopback(&c->client));
	ask = milter_wait(c->port, ask, c->settings->command_timeout_ms);
	if (ask == NULL) {
		milter_conn_drop(c);
		return refuse_late(ctx);
	}
	if (ask->status == MILTER_REFUSED) {
		c->in_txn = false;
		return refuse_with_reply(ctx, ask);
	}
	milter_ask_free(ask);
	return SMFIS_CONTINUE;
}

/* The mail server keeps the recipient. For an address of a virtual alias domain
 * Postfix names the mailer error, though it takes the mail. */
static bool
is_staying(SMFICTX *ctx)
{
	static const char *const mailers[] = {
	    "local", "virtual", "lmtp", "error"};
	const char *mailer = symbol(ctx, "{rcpt_mailer}");

	for (size_t i = 0; mailer != NULL && i < ARRAY_LEN(mailers); i++) {
		if (strcmp(mailer, mailers[i]) == 0)
			return true;
	}
	return false;
}

/* The mail server has refused it, and tells so: in place of a host it names the
 * enhanced code. For an address of a virtual alias domain Postfix has words
 * behind that, and takes it. */
static bool
read_refusal(SMFICTX *ctx, const struct milter_conn *c, char out[16])
{
	const char *mailer = symbol(ctx, "{rcpt_mailer}");
	struct str code = str_from(symbol(ctx, "{rcpt_host}"));
	size_t dots = 0;

	if ((c->steps & SMFIP_RCPT_REJ) == 0 || mailer == NULL ||
	    strcmp(mailer, "error") != 0 || code.n < 5 || code.n > 11)
		return false;
	for (size_t i = 0; i < code.n; i++) {
		dots += code.p[i] == '.';
		if (strchr("0123456789.", code.p[i]) == NULL)
			return false;
	}
	str_copy(code, out, 16);
	return dots == 2;
}

static sfsistat
on_envrcpt(SMFICTX *ctx, char **argv)
{
	struct milter_conn *c = smfi_getpriv(ctx);
	struct milter_ask *ask;
	char refusal[sizeof(ask->refusal)] = "";
	bool is_refused;

	if (c == NULL)
		return CLOSE_CONNECTION;
	is_refused = read_refusal(ctx, c, refusal);
	if (is_refused &&
	    !gate_reply_is_unknown(&(struct gate_reply){550, refusal, true}))
		return SMFIS_CONTINUE;
	ask = milter_conn_rcpt(c, argv);
	str_copy(str_from(refusal), ask->refusal, sizeof(ask->refusal));
	ask->stays = !is_refused && is_staying(ctx);
	ask = milter_wait(c->port, ask, c->settings->command_timeout_ms);
	if (ask == NULL) {
		/* The loop may still count it: the message is given up. */
		milter_conn_drop(c);
		return refuse_late(ctx);
	}
	if (is_refused) {
		milter_ask_free(ask);
		return SMFIS_CONTINUE;
	}
	if (ask->status == MILTER_REFUSED) {
		c->has_refused = true;
		c->known = ask->known;
		return refuse_with_reply(ctx, ask);
	}
	milter_conn_add_rcpt(c, argv[0], ask->status == MILTER_HELD);
	c->known = ask->known;
	c->freezes = ask->freezes;
	milter_ask_free(ask);
	return SMFIS_CONTINUE;
}

/* ---- the message ---- */

static sfsistat
pass(SMFICTX *ctx, struct milter_conn *c)
{
	keep_queue_id(ctx, c);
	milter_conn_passed(c);
	return SMFIS_ACCEPT;
}

/* The gate's word: the sender is not frozen by now, and what the message spends
 * is on disk. False: the MTA is to hear *status. */
static bool
is_secure(SMFICTX *ctx, struct milter_conn *c, sfsistat *status)
{
	struct milter_ask *ask = milter_wait(
	    c->port, milter_conn_secure(c), c->settings->answer_timeout_ms);

	if (ask == NULL) {
		milter_conn_drop(c);
		*status = refuse_late(ctx);
		return false;
	}
	if (ask->status == MILTER_REFUSED) {
		c->in_txn = false;
		*status = refuse_with_reply(ctx, ask);
		return false;
	}
	milter_ask_free(ask);
	return true;
}

/* Somebody was frozen since the last recipient was asked about; as a rule
 * nobody, and then nobody is asked. */
static bool
may_be_frozen(const struct milter_conn *c)
{
	return gate_freezes(the_filter->desk->parts.gate) != c->freezes;
}

/* Known recipients alone: how the message ends makes no difference to the
 * throttle, and the MTA need not show it. */
static bool
may_go_now(const struct milter_conn *c)
{
	return c->in_txn && c->rcpt_count > 0 && c->held_count == 0 &&
	       c->known && c->report == NULL;
}

static sfsistat
on_data(SMFICTX *ctx)
{
	struct milter_conn *c = smfi_getpriv(ctx);
	sfsistat status;

	if (c == NULL)
		return CLOSE_CONNECTION;
	keep_queue_id(ctx, c);
	if (c->in_txn && c->rcpt_count > 0 && may_be_frozen(c) &&
	    !is_secure(ctx, c, &status))
		return status;
	return may_go_now(c) ? pass(ctx, c) : SMFIS_CONTINUE;
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	struct milter_conn *c = smfi_getpriv(ctx);

	if (c == NULL)
		return CLOSE_CONNECTION;
	if (c->settings->hold != MILTER_QUARANTINE)
		milter_conn_look(c, name, value);
	milter_conn_names(c, name, value);
	(void)(milter_conn_report(c, str_from(name)) &&
	       milter_conn_report(c, STR(": ")) &&
	       milter_conn_report(c, str_from(value)) &&
	       milter_conn_report(c, STR("\r\n")));
	if (c->held_count > 0)
		milter_conn_header(
		    c, name, value, (c->steps & SMFIP_HDR_LEADSPC) != 0);
	(void)ctx;
	return no_reply(c, SMFIP_NR_HDR);
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	struct milter_conn *c = smfi_getpriv(ctx);

	if (c == NULL)
		return CLOSE_CONNECTION;
	(void)milter_conn_report(c, STR("\r\n"));
	if (c->held_count > 0)
		milter_conn_text(c, STR("\r\n"));
	return no_reply(c, SMFIP_NR_EOH);
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *p, size_t n)
{
	struct milter_conn *c = smfi_getpriv(ctx);

	if (c == NULL)
		return CLOSE_CONNECTION;
	if (!milter_conn_report(c, (struct str){(const char *)p, n}) &&
	    (c->held_count == 0 || c->failed))
		return (c->steps & SMFIP_SKIP) != 0 ? SMFIS_SKIP
						    : SMFIS_CONTINUE;
	if (c->held_count > 0 && !c->failed)
		milter_conn_text(c, (struct str){(const char *)p, n});
	return SMFIS_CONTINUE;
}

/* The MTA hears what to do with the message. False: it does not hear. */
static bool
report_take(SMFICTX *ctx, const struct milter_conn *c, bool all, bool drop)
{
	if (smfi_progress(ctx) != MI_SUCCESS)
		return false;
	/* Over TCP the first write to a mail server that is gone succeeds; what
	 * comes back fails the second. The answer itself cannot be watched. */
	if (drop && smfi_progress(ctx) != MI_SUCCESS)
		return false;
	for (size_t i = 0; i < c->rcpt_count && !drop; i++) {
		if ((all || c->rcpts[i].held) &&
		    smfi_delrcpt(ctx, c->rcpts[i].raw) != MI_SUCCESS)
			return false;
	}
	return true;
}

/* The same for a message that goes to its hold queue. */
static bool
report_quarantine(SMFICTX *ctx)
{
	static char reason[] = "held by weir";

	return smfi_progress(ctx) == MI_SUCCESS &&
	       smfi_quarantine(ctx, reason) == MI_SUCCESS;
}

static char server_macro[] = "j";

static sfsistat
end_held(SMFICTX *ctx, struct milter_conn *c)
{
	struct milter_ask *ask = milter_conn_end(c);
	const char *server = smfi_getsymval(ctx, server_macro);
	bool in_mta = c->settings->hold == MILTER_QUARANTINE, all, drop;

	if (server != NULL)
		ask->server = str_dup(str_sub(str_from(server), 0, 255));
	ask = milter_wait(c->port, ask, c->settings->answer_timeout_ms);
	if (ask == NULL) {
		milter_conn_drop(c);
		return refuse_late(ctx);
	}
	if (ask->status == MILTER_REFUSED) {
		c->in_txn = false;
		return refuse_with_reply(ctx, ask);
	}
	if (ask->status == MILTER_OK) { /* our own, come round */
		milter_ask_free(ask);
		return pass(ctx, c);
	}
	all = ask->all;
	drop = all && !ask->kept && !in_mta;
	milter_ask_free(ask);
	if (in_mta ? !report_quarantine(ctx)
		   : !report_take(ctx, c, all, drop)) {
		milter_conn_undo(c);
		return SMFIS_TEMPFAIL;
	}
	milter_conn_taken(c);
	return drop ? SMFIS_DISCARD : SMFIS_CONTINUE;
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	struct milter_conn *c = smfi_getpriv(ctx);
	sfsistat status;

	if (c == NULL)
		return CLOSE_CONNECTION;
	keep_queue_id(ctx, c);
	if (!c->in_txn)
		return refuse_late(ctx);
	if (c->rcpt_count == 0 && c->has_refused) {
		/* No mail server goes on with a message to nobody. */
		milter_conn_drop(c);
		return SMFIS_REJECT;
	}
	if (c->held_count == 0)
		return is_secure(ctx, c, &status) ? pass(ctx, c) : status;
	if (c->failed) {
		milter_conn_drop(c);
		return c->header_too_big
			   ? refuse(ctx, 552, "5.3.4", "The header is too long")
			   : refuse_late(ctx);
	}
	return end_held(ctx, c);
}

static sfsistat
on_abort(SMFICTX *ctx)
{
	struct milter_conn *c = smfi_getpriv(ctx);

	if (c != NULL)
		milter_conn_drop(c);
	return SMFIS_CONTINUE;
}

/* ---- all of them ---- */

bool
milter_filter_register(char *address)
{
	static char name[] = "weir";
	struct smfiDesc desc = {
	    .xxfi_name = name,
	    .xxfi_version = SMFI_VERSION,
	    .xxfi_flags = SMFIF_DELRCPT | SMFIF_QUARANTINE | SMFIF_SETSYMLIST,
	    .xxfi_connect = on_connect,
	    .xxfi_helo = on_helo,
	    .xxfi_envfrom = on_envfrom,
	    .xxfi_envrcpt = on_envrcpt,
	    .xxfi_header = on_header,
	    .xxfi_eoh = on_eoh,
	    .xxfi_body = on_body,
	    .xxfi_eom = on_eom,
	    .xxfi_abort = on_abort,
	    .xxfi_close = on_close,
	    .xxfi_data = on_data,
	    .xxfi_negotiate = on_negotiate,
	};

	return smfi_register(desc) == MI_SUCCESS &&
	       smfi_setconn(address) == MI_SUCCESS;
}
