/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `scope` sections: options, defaults and what is wrong with them.
 */
#include "gate/scope_rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct scope_conf, field)
#define MS_MINUTE INT64_C(60000)

static const char *const by_names[] = {"user", "client", "domain", "all", NULL};

const struct option scope_options[] = {
    {
	.name = "by",
	.type = OPTION_ENUM,
	.offset = AT(by),
	.preset = "all",
	.names = by_names,
	.reloadable = true,
	.doc = "How new recipients are counted together. user: those of one "
	       "login, whatever its policy's key. client: those of one client "
	       "address (IPv6: ipv6_prefix of the policy; programs of this "
	       "machine are one client). domain: those of all logins of one "
	       "domain, and under key = envelope of all envelope senders of "
	       "one; a login without a domain is in none. all: those of all "
	       "senders. With domain, no sender of one domain can use up the "
	       "limit of another.",
    },
    {
	.name = "match",
	.type = OPTION_STRINGS,
	.offset = AT(match),
	.reloadable = true,
	.sample = "{\"user:@example.org\"}",
	.doc = "Senders that the scope applies to, with entries as in a "
	       "policy's match. If not set, all. Scopes may overlap: a new "
	       "recipient needs room in each of them.",
    },
    {
	.name = "limit",
	.type = OPTION_RATES,
	.offset = AT(limit),
	.reloadable = true,
	.sample = "{\"500/1h\", \"2000/1d\"}",
	.doc =
	    "Maximum number of new recipients released in any window of this "
	    "length, for all senders with the same key together. Others wait "
	    "in their sender's queue until there is room. A scope never "
	    "freezes a sender; freeze_at counts what would be waiting without "
	    "the scope. Up to four limits. A window opens in steps of 1/48 of "
	    "its length. Two scopes are built in, for programs of this machine "
	    "that no policy names in its match: \"local\", by client, "
	    "{\"1000/1d\"}; and \"new-local\", {\"10/10m\"} for all those "
	    "together that weir first saw less than a day ago. Recipients that "
	    "such programs have reached before are free there. A section of "
	    "that name sets another limit; limit = {} turns it off. Give "
	    "mailing lists and other busy programs a policy of their own.",
    },
    {
	.name = "warn_at",
	.type = OPTION_STRINGS,
	.offset = AT(warn_at),
	.preset = WARN_PRESET,
	.reloadable = true,
	.check = warn_check,
	.doc = "Warn when this part of a limit of the scope is used, as in a "
	       "policy.",
    },
    {.name = NULL},
};

PRINTF_LIKE(4, 5)
static bool
fail(const struct scope_conf *conf, char *err, size_t err_cap, const char *fmt,
    ...)
{
	char what[512], name[80];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	str_escape(str_from(conf->name), name, sizeof(name));
	if (conf->place.file == NULL)
		snprintf(err, err_cap, "scope \"%s\": %s", name, what);
	else
		snprintf(err, err_cap, "%s:%u: scope \"%s\": %s",
		    conf->place.file, conf->place.line, name, what);
	return false;
}

static bool
is_built_in(const char *name)
{
	return strcmp(name, SCOPE_LOCAL) == 0 ||
	       strcmp(name, SCOPE_NEW_LOCAL) == 0;
}

static bool
check(const struct scope_rules *rules, const struct scope_conf *conf, char *err,
    size_t err_cap)
{
	size_t n = strlen(conf->name);

	if (n == 0 || n > SCOPE_NAME_MAX)
		return fail(conf, err, err_cap,
		    "its name must have 1 to %d bytes", SCOPE_NAME_MAX);
	for (size_t i = 0; i < rules->n; i++) {
		if (strcmp(rules->v[i].name, conf->name) == 0)
			return fail(conf, err, err_cap,
			    "duplicate scope name; give each its own");
	}
	if (rules->n == SCOPES_MAX - 2 && !is_built_in(conf->name))
		return fail(
		    conf, err, err_cap, "more than %d scopes", SCOPES_MAX - 2);
	if (conf->limit.n == 0 && !is_built_in(conf->name))
		return fail(conf, err, err_cap,
		    "it has no limit; write one as limit = {\"500/1h\"}");
	if (is_built_in(conf->name) && conf->match.n > 0)
		return fail(conf, err, err_cap,
		    "match: not allowed in this built-in scope; remove match "
		    "or rename the scope");
	return true;
}

static bool
compile_match(struct scope_rule *rule, const struct scope_conf *conf, char *err,
    size_t err_cap)
{
	char why[400], entry[80];

	if (conf->match.n == 0)
		return true;
	rule->match = match_new(MATCH_SENDERS);
	for (size_t i = 0; i < conf->match.n; i++) {
		if (match_add(rule->match, str_from(conf->match.v[i]), why,
			sizeof(why)))
			continue;
		str_escape(str_from(conf->match.v[i]), entry, sizeof(entry));
		return fail(
		    conf, err, err_cap, "match: \"%s\": %s", entry, why);
	}
	if (match_has_null(rule->match))
		return fail(conf, err, err_cap,
		    "match: from:<> has a policy of its own and cannot be "
		    "matched by a scope; remove it");
	return true;
}

/* False: the rule's parts are freed with the rules. */
static bool
add(struct scope_rules *rules, const struct scope_conf *conf, char *err,
    size_t err_cap)
{
	struct scope_rule *rule = &rules->v[rules->n];
	char why[100];

	if (!check(rules, conf, err, err_cap))
		return false;
	rules->n++;
	rule->name = xstrdup(conf->name);
	rule->by = (enum scope_by)conf->by;
	rule->is_new = strcmp(conf->name, SCOPE_NEW_LOCAL) == 0;
	rule->is_local = is_built_in(conf->name);
	if (rule->is_local && !rule->is_new)
		rule->by = SCOPE_CLIENT;
	else if (rule->is_new)
		rule->by = SCOPE_ALL;
	for (size_t i = 0; i < conf->limit.n; i++)
		rule->limits[rule->limit_count++] = conf->limit.v[i];
	if (!warn_read(&conf->warn_at, &rule->warn, why, sizeof(why)))
		return fail(conf, err, err_cap, "warn_at: %s", why);
	return compile_match(rule, conf, err, err_cap);
}

static bool
has_rule(const struct scope_rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (strcmp(rules->v[i].name, name) == 0)
			return true;
	}
	return false;
}

static bool
add_built_in(struct scope_rules *rules, const char *name, uint32_t count,
    int64_t window_ms, char *err, size_t err_cap)
{
	char copy[16];
	struct scope_conf conf = {
	    .name = copy,
	    .limit = {.v = {{count, window_ms}}, .n = 1},
	};

	str_copy(str_from(name), copy, sizeof(copy));
	if (has_rule(rules, name))
		return true;
	if (!add(rules, &conf, err, err_cap))
		return false;
	rules->v[rules->n - 1].warn = warn_default;
	return true;
}

struct scope_rules *
scope_rules_new(
    const struct scope_conf *confs, size_t n, char *err, size_t err_cap)
{
	struct scope_rules *rules = xcalloc(1, sizeof(*rules));
	bool ok = true;

	rules->refs = 1;
	for (size_t i = 0; ok && i < n; i++) {
		const struct scope_rule *rule = &rules->v[rules->n];

		ok = add(rules, &confs[i], err, err_cap);
		if (ok)
			rules->is_void[i] = rule->match != NULL &&
					    match_count(rule->match) == 0;
	}
	ok = ok &&
	     add_built_in(
		 rules, SCOPE_LOCAL, 1000, 1440 * MS_MINUTE, err, err_cap) &&
	     add_built_in(
		 rules, SCOPE_NEW_LOCAL, 10, 10 * MS_MINUTE, err, err_cap);
	if (ok)
		return rules;
	scope_rules_free(rules);
	return NULL;
}

struct scope_rules *
scope_rules_ref(struct scope_rules *rules)
{
	rules->refs++;
	return rules;
}

void
scope_rules_free(struct scope_rules *rules)
{
	if (rules == NULL || --rules->refs > 0)
		return;
	for (size_t i = 0; i < rules->n; i++) {
		free(rules->v[i].name);
		match_free(rules->v[i].match);
	}
	free(rules);
}

bool
scope_rules_is_void(const struct scope_rules *rules, size_t i)
{
	return i < SCOPES_MAX && rules->is_void[i];
}
