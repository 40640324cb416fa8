/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a valid configuration may not mean: said by -t, at the start and at a
 * reload. A warning never keeps the daemon from running.
 */
#include "maild/maild_warn.h"

#include "delivery/mta_queue.h"
#include "gate/login.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct warning {
	maild_warn_fn *fn;
	void *arg;
};

PRINTF_LIKE(3, 4)
static void
warn_at(const struct warning *w, const struct option_place *place,
    const char *fmt, ...)
{
	char what[600], text[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(
	    text, sizeof(text), "%s:%u: %s", place->file, place->line, what);
	w->fn(w->arg, text);
}

/* Of an option of the file's own part. */
static struct option_place
place_of(const struct maild_config *c, const char *option)
{
	return (struct option_place){
	    c->file, options_line(&maild_schema, c, option)};
}

/* Earlier versions held it against the envelope sender as well. */
static void
warn_of_bare_entries(const struct warning *w, const struct maild_config *c)
{
	const struct policy_conf *confs = c->policy.v;

	for (size_t i = 0; i < c->policy.n; i++) {
		const struct policy *policy =
		    policies_find(c->gate.policies, str_from(confs[i].name));
		const char *entry = policy_bare_entry(policy);
		char name[80], shown[120];

		if (entry == NULL)
			continue;
		str_escape(str_from(confs[i].name), name, sizeof(name));
		str_escape(str_from(entry), shown, sizeof(shown));
		warn_at(w, &confs[i].place,
		    "policy \"%s\": match: \"%s\" is a login and no longer an "
		    "envelope sender; write user:%s for the login, or from:%s "
		    "for an envelope sender, which can be forged",
		    name, shown, shown, shown);
	}
}

/* Users log in at the next hop, weir does not: questions and held mail go in
 * its own name, and such next hops refuse them. */
static void
warn_of_no_login(const struct warning *w, const struct maild_config *c)
{
	for (size_t i = 0; c->next_hop_auth == NULL && i < c->listen.n; i++) {
		const struct maild_listen *l =
		    &((const struct maild_listen *)c->listen.v)[i];

		if (l->relay.auth != RELAY_AUTH_PASS)
			continue;
		warn_at(w, &l->place,
		    "auth = pass: users log in at the next hop, weir does "
		    "not; if the next hop accepts mail only after a login, "
		    "held mail waits in the queue. Let it accept mail from "
		    "this machine, or set next_hop_auth%s",
		    c->relay.verify_held
			? ""
			: "; with verify_held = false it is noticed "
			  "only at the release");
		return;
	}
}

/* Only the next hop knows which logins are one account to it. */
static void
warn_of_logins(const struct warning *w, const struct maild_config *c)
{
	if (c->gate.login_form == LOGIN_LOCALPART || c->local_domains.n > 0)
		return;
	for (size_t i = 0; i < c->listen.n; i++) {
		const struct maild_listen *l = maild_config_listen(c, i);

		if (l->relay.auth == RELAY_AUTH_PASS)
			warn_at(w, &l->place,
			    "listen \"%s\": auth = pass: spellings of one "
			    "login (the next hop may accept any domain) count "
			    "as one sender only if they come with the same "
			    "password, by PLAIN or LOGIN; set local_domains "
			    "to the domains that users log in with, or "
			    "login_form = localpart, or use auth = dovecot",
			    l->name);
	}
}

/* Whoever asks there is believed. */
static void
warn_of_tcp_services(const struct warning *w, const struct maild_config *c)
{
	for (size_t i = 0; i < c->listen.n; i++) {
		const struct maild_listen *l = maild_config_listen(c, i);
		char name[80];

		if (l->protocol == MAILD_SMTP ||
		    l->addr.ss.ss_family == AF_UNIX)
			continue;
		str_escape(str_from(l->name), name, sizeof(name));
		warn_at(w, &l->place,
		    "listen \"%s\": address: over TCP every program on the "
		    "machines in clients may name any user; use a Unix socket "
		    "where the mail server is on this machine",
		    name);
	}
}

static void
warn_of_void_scopes(const struct warning *w, const struct maild_config *c)
{
	const struct scope_conf *confs = c->scope.v;
	char name[80];

	for (size_t i = 0; i < c->scope.n; i++) {
		if (!scope_rules_is_void(c->gate.scopes, i))
			continue;
		str_escape(str_from(confs[i].name), name, sizeof(name));
		warn_at(w, &confs[i].place,
		    "scope \"%s\": match: its files have no entries, so it "
		    "matches no sender",
		    name);
	}
}

/* More may be reached at once than may wait: the first large message to new
 * people freezes its sender. */
static void
warn_of_numbers(const struct warning *w, const struct maild_config *c)
{
	const struct policy_conf *confs = c->policy.v;

	for (size_t i = 0; i < c->policy.n; i++) {
		const struct policy *policy =
		    policies_find(c->gate.policies, str_from(confs[i].name));
		const struct throttle_policy *t = &policy->throttle;
		char name[80];

		if (t->paper || t->freeze_at == 0 || t->freeze_at >= t->burst)
			continue;
		str_escape(str_from(confs[i].name), name, sizeof(name));
		warn_at(w, &confs[i].place,
		    "policy \"%s\": freeze_at (%u) is below burst (%u): a "
		    "sender that may reach %u new recipients at once is frozen "
		    "when %u more wait; raise freeze_at or lower burst",
		    name, t->freeze_at, t->burst, t->burst, t->freeze_at);
	}
}

/* What would be learnt has no place. */
static void
warn_of_no_memory(const struct warning *w, const struct maild_config *c)
{
	const struct policy_conf *confs = c->policy.v;
	struct option_place place = place_of(c, "inbound_memory");

	for (size_t i = 0; i < c->policy.n; i++) {
		char name[80];

		if (!confs[i].learn_inbound || c->gate.acquaintances_bytes > 0)
			continue;
		str_escape(str_from(confs[i].name), name, sizeof(name));
		warn_at(w, &confs[i].place,
		    "policy \"%s\": learn_inbound learns nothing while "
		    "acquaintances_memory is 0; give it memory",
		    name);
	}
	if (place.line != 0)
		warn_at(w, &place,
		    "inbound_memory has no effect any more: "
		    "acquaintances_memory limits it, too; remove the line");
}

/* Postfix and Sendmail have one flag for it. */
static void
warn_of_shared_hold(const struct warning *w, const struct maild_config *c)
{
	for (size_t i = 0; i < c->listen.n; i++) {
		const struct maild_listen *l = maild_config_listen(c, i);
		char name[80];

		if (l->protocol != MAILD_MILTER ||
		    c->milter.hold != MILTER_QUARANTINE)
			continue;
		str_escape(str_from(l->name), name, sizeof(name));
		warn_at(w, &l->place,
		    "listen \"%s\": milter_hold = quarantine: a message that "
		    "others put on hold as well (HOLD in access maps or "
		    "header checks, another filter, postsuper -h) is released "
		    "when weir releases it; where such holds are used, set "
		    "milter_hold = take",
		    name);
	}
}

/* A program is looked for when its option is read; who is behind a socket may
 * come later. */
static void
warn_of_silent_sockets(const struct warning *w, const struct maild_config *c)
{
	const struct {
		const char *option, *text;
	} commands[] = {{"release_command", c->mta.release},
	    {"discard_command", c->mta.discard},
	    {"queue_command", c->mta.queue}, {"mta_hold_command", c->mta.hold}};

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		struct option_place place = place_of(c, commands[i].option);
		struct mta_command parsed;
		char err[200];

		if (commands[i].text == NULL ||
		    !mta_command_parse(
			commands[i].text, &parsed, err, sizeof(err)))
			continue;
		if (parsed.socket != NULL && access(parsed.socket, F_OK) != 0)
			warn_at(w, &place,
			    "%s: there is no socket %s: %s; start what is "
			    "behind it (weir-hold.socket)",
			    commands[i].option, parsed.socket, strerror(errno));
		mta_command_clear(&parsed);
	}
}

void
maild_warn(const struct maild_config *c, maild_warn_fn *fn, void *arg)
{
	const struct warning w = {fn, arg};

	warn_of_tcp_services(&w, c);
	warn_of_bare_entries(&w, c);
	warn_of_no_login(&w, c);
	warn_of_logins(&w, c);
	warn_of_void_scopes(&w, c);
	warn_of_numbers(&w, c);
	warn_of_no_memory(&w, c);
	warn_of_shared_hold(&w, c);
	warn_of_silent_sockets(&w, c);
}
