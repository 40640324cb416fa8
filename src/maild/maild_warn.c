/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a valid configuration may not mean: said by -t, at the start and at a
 * reload. A warning never keeps the daemon from running.
 */
#include "maild/maild_warn.h"

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

void
maild_warn(const struct maild_config *c, maild_warn_fn *fn, void *arg)
{
	const struct warning w = {fn, arg};

	warn_of_bare_entries(&w, c);
}
