/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a valid configuration may not mean: said by -t, at the start and at a
 * reload. A warning never keeps the daemon from running.
 */
#include "maild/maild_warn.h"

#include "gate/login.h"

#include <stdarg.h>
#include <stdio.h>

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

/* Earlier versions held it against the envelope sender as well. */
static void
warn_of_bare_entries(const struct warning *w, const struct maild_config *c)
{
	const struct policy_conf *confs = c->policy.v;

	for (size_t i = 0; i < c->policy.n; i++) {
		const struct policy *policy =
		    policies_find(c->policies, str_from(confs[i].name));
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

		if (l->auth != MAILD_AUTH_PASS)
			continue;
		warn_at(w, &l->place,
		    "auth = pass: users log in at the next hop, weir does not; "
		    "if the next hop takes mail from those alone who have "
		    "logged in, held mail waits in the queue. Let it take mail "
		    "from this machine, or set next_hop_auth%s",
		    c->verify_held ? ""
				   : "; with verify_held = false nobody hears "
				     "of it before the release");
		return;
	}
}

/* Only the next hop knows which logins are one account to it. */
static void
warn_of_logins(const struct warning *w, const struct maild_config *c)
{
	if (c->login_form == LOGIN_LOCALPART || c->local_domains.n > 0)
		return;
	for (size_t i = 0; i < c->listen.n; i++) {
		const struct maild_listen *l = maild_config_listen(c, i);

		if (l->auth == MAILD_AUTH_PASS)
			warn_at(w, &l->place,
			    "listen \"%s\": auth = pass: if the next hop "
			    "takes a login with any domain, each spelling "
			    "counts as a sender of its own; set local_domains "
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

void
maild_warn(const struct maild_config *c, maild_warn_fn *fn, void *arg)
{
	const struct warning w = {fn, arg};

	warn_of_tcp_services(&w, c);
	warn_of_bare_entries(&w, c);
	warn_of_no_login(&w, c);
	warn_of_logins(&w, c);
}
