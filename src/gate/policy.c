/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A set of policies as one configuration file gives it. The set is immutable
 * and counted: the configuration holds one reference and each source that was
 * given one of its policies another, so that a source which is never seen
 * again after a reload keeps valid memory. What outlives the configuration is
 * copied. Errors are one line for the administrator.
 */
#include "gate/policy.h"

#include "base/map.h"
#include "gate/match.h"
#include "gate/owners.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_NAME "default"

/* Policies of one source each, to which many add that do not answer for one
 * another: they go on at a second's pace and never freeze. */
enum shared { SHARED_NULL, SHARED_OVERFLOW, SHARED_MAX };
static const char *const shared_names[] = {"null", "overflow"};
#define SHARED_INTERVAL_MS 1000
#define SHARED_BURST 100
#define SHARED_SET 1024

struct policies {
	uint64_t refs;
	size_t n;
	struct policy *v; /* in the order of the file */
	struct policy *fallback;
	struct policy *shared[SHARED_MAX]; /* by enum shared */
};

PRINTF_LIKE(4, 5)
static bool
fail(const struct policy_conf *conf, char *err, size_t err_cap, const char *fmt,
    ...)
{
	char what[512], name[80];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	str_escape(str_from(conf->name), name, sizeof(name));
	if (conf->place.file == NULL)
		snprintf(err, err_cap, "policy \"%s\": %s", name, what);
	else if (conf->place.line == 0)
		snprintf(err, err_cap, "%s: policy \"%s\": %s",
		    conf->place.file, name, what);
	else
		snprintf(err, err_cap, "%s:%u: policy \"%s\": %s",
		    conf->place.file, conf->place.line, name, what);
	return false;
}

static const struct throttle_policy *
profile_of(const struct policy_conf *conf)
{
	switch ((enum policy_profile)conf->profile) {
	case POLICY_PROFILE_MAIL:
		return &throttle_profile_mail;
	case POLICY_PROFILE_TCP:
	case POLICY_PROFILE_PAPER:
		return &throttle_profile_tcp;
	case POLICY_PROFILE_UDP:
		return &throttle_profile_udp;
	}
	panic("policy profile %d", conf->profile);
}

static uint32_t
either(uint32_t given, uint32_t otherwise)
{
	return given != 0 ? given : otherwise;
}

static void
set_limits(const struct policy_conf *conf, struct throttle_policy *t)
{
	t->freeze_growth = (struct throttle_limit){
	    conf->freeze_growth.count, conf->freeze_growth.window_ms};
	for (size_t i = 0;
	     i < conf->limit.n && t->limit_count < THROTTLE_LIMITS_MAX; i++)
		t->limits[t->limit_count++] = (struct throttle_limit){
		    conf->limit.v[i].count, conf->limit.v[i].window_ms};
}

/* SHARED_MAX: it is for whom its match names. */
static enum shared
shared_of(const struct policy_conf *conf)
{
	enum shared which = SHARED_NULL;

	while (
	    which < SHARED_MAX &&
	    (conf->match.n > 0 || strcmp(conf->name, shared_names[which]) != 0))
		which++;
	return which;
}

/* What is left of the profile where the file gives no number. */
static void
set_shared(struct throttle_policy *t)
{
	t->interval_ms = SHARED_INTERVAL_MS;
	t->burst = SHARED_BURST;
	t->working_set = SHARED_SET;
}

static void
set_throttle(const struct policy_conf *conf, struct throttle_policy *t)
{
	bool is_shared = shared_of(conf) != SHARED_MAX;

	*t = *profile_of(conf);
	if (is_shared)
		set_shared(t);
	t->working_set = either(conf->working_set, t->working_set);
	t->burst = either(conf->burst, t->burst);
	t->initial = conf->initial < t->burst ? conf->initial : t->burst;
	t->freeze_at = conf->freeze_at;
	if (conf->queue_max != 0)
		t->queue_max = conf->queue_max;
	else if (t->queue_max < t->freeze_at)
		t->queue_max = t->freeze_at;
	if (conf->interval_ms != 0)
		t->interval_ms = conf->interval_ms;
	if (conf->idle_expiry_ms != 0)
		t->idle_expiry_ms = conf->idle_expiry_ms;
	t->hold_when_frozen = conf->when_frozen == POLICY_FROZEN_HOLD;
	set_limits(conf, t);
	if (!is_shared)
		return;
	if (conf->initial == throttle_profile_mail.initial) /* not given */
		t->initial = t->burst;
	t->freeze_at = 0;
	t->freeze_growth = (struct throttle_limit){0};
}

static struct match *
compile(const struct option_strings *list, enum match_kind kind,
    const char *option, const struct policy_conf *conf, char *err,
    size_t err_cap)
{
	struct match *m = match_new(kind);
	char why[400];

	for (size_t i = 0; i < list->n; i++) {
		char entry[80];

		if (match_add(m, str_from(list->v[i]), why, sizeof(why)))
			continue;
		str_escape(str_from(list->v[i]), entry, sizeof(entry));
		fail(conf, err, err_cap, "%s: \"%s\": %s", option, entry, why);
		match_free(m);
		return NULL;
	}
	return m;
}

static bool
compile_owners(struct policy *policy, const struct policy_conf *conf, char *err,
    size_t err_cap)
{
	char why[400];

	if (conf->sender_address_file == NULL)
		return true;
	policy->owners =
	    owners_read(conf->sender_address_file, why, sizeof(why));
	return policy->owners != NULL ||
	       fail(conf, err, err_cap, "sender_address_file: %s", why);
}

/* The copy owns name and contact; lists stay with the configuration. */
static void
copy_conf(struct policy *policy, const struct policy_conf *conf)
{
	policy->own = *conf;
	policy->own.name = xstrdup(conf->name);
	policy->own.contact =
	    conf->contact != NULL ? xstrdup(conf->contact) : NULL;
	policy->own.match = (struct option_strings){0};
	policy->own.exempt_recipients = (struct option_strings){0};
	policy->own.sender_address_file = NULL;
	policy->own.place = (struct option_place){0};
	policy->conf = &policy->own;
}

static bool
policy_compile(struct policies *set, const struct policy_conf *conf, char *err,
    size_t err_cap)
{
	struct policy *policy = &set->v[set->n];
	bool is_default = strcmp(conf->name, DEFAULT_NAME) == 0;
	enum shared shared = shared_of(conf);
	const char *error;

	set_throttle(conf, &policy->throttle);
	policy->inbound = (struct inbound_rules){
	    .set = conf->inbound_set,
	    .rate = {conf->inbound_rate.count, conf->inbound_rate.window_ms},
	    .expiry_ms = conf->inbound_expiry_ms,
	};
	if (policy->throttle.freeze_at > policy->throttle.queue_max)
		return fail(conf, err, err_cap,
		    "queue_max (%u) is below freeze_at (%u); raise the one or "
		    "lower the other",
		    policy->throttle.queue_max, policy->throttle.freeze_at);
	error = throttle_policy_error(&policy->throttle);
	if (error != NULL)
		return fail(conf, err, err_cap, "%s", error);
	if (conf->learn_inbound &&
	    conf->inbound_expiry_ms < conf->inbound_rate.window_ms)
		return fail(conf, err, err_cap,
		    "inbound_expiry is shorter than the time in inbound_rate; "
		    "make it as long or longer");
	if (conf->match.n == 0 && !is_default && shared == SHARED_MAX)
		return fail(conf, err, err_cap,
		    "it has no match and would never be used; say whom it is "
		    "for, or call it \"" DEFAULT_NAME "\"");
	policy->match =
	    compile(&conf->match, MATCH_SENDERS, "match", conf, err, err_cap);
	if (policy->match == NULL)
		return false;
	policy->exempt_recipients = compile(&conf->exempt_recipients,
	    MATCH_RECIPIENTS, "exempt_recipients", conf, err, err_cap);
	if (policy->exempt_recipients == NULL) {
		match_free(policy->match);
		return false;
	}
	if (!compile_owners(policy, conf, err, err_cap)) {
		match_free(policy->match);
		match_free(policy->exempt_recipients);
		return false;
	}
	copy_conf(policy, conf);
	policy->set = set;
	set->n++;
	if (is_default)
		set->fallback = policy;
	if (shared != SHARED_MAX)
		set->shared[shared] = policy;
	return true;
}

/* What an empty section of that name would give. */
static bool
add_empty(struct policies *set, const char *name, char *err, size_t err_cap)
{
	char copy[16];
	struct policy_conf conf = {
	    .name = copy,
	    .initial = throttle_profile_mail.initial,
	    .freeze_at = throttle_profile_mail.freeze_at,
	    .ipv6_prefix = 64,
	    .inbound_set = 1, /* it learns nothing */
	    .inbound_expiry_ms = 1,
	};

	str_copy(str_from(name), copy, sizeof(copy));
	return policy_compile(set, &conf, err, err_cap);
}

static bool
names_differ(
    const struct policy_conf *confs, size_t n, char *err, size_t err_cap)
{
	struct map *seen = map_new();
	bool ok = true;

	for (size_t i = 0; ok && i < n; i++) {
		ok = map_set(seen, str_from(confs[i].name),
			 (void *)(uintptr_t)&confs[i]) == NULL;
		if (!ok)
			fail(&confs[i], err, err_cap,
			    "there is another policy of this name; give each "
			    "its own");
	}
	map_free(seen, NULL);
	return ok;
}

struct policies *
policies_new(
    const struct policy_conf *confs, size_t n, char *err, size_t err_cap)
{
	struct policies *set = xcalloc(1, sizeof(*set));
	bool ok = names_differ(confs, n, err, err_cap);

	set->refs = 1;
	set->v = xcalloc(n + 1 + SHARED_MAX, sizeof(*set->v));
	for (size_t i = 0; ok && i < n; i++)
		ok = policy_compile(set, &confs[i], err, err_cap);
	if (ok && set->fallback == NULL)
		ok = add_empty(set, DEFAULT_NAME, err, err_cap);
	for (size_t i = 0; ok && i < SHARED_MAX; i++) {
		if (set->shared[i] == NULL)
			ok = add_empty(set, shared_names[i], err, err_cap);
	}
	if (ok)
		return set;
	policies_free(set);
	return NULL;
}

struct policies *
policies_ref(struct policies *set)
{
	set->refs++;
	return set;
}

void
policies_free(struct policies *set)
{
	if (set == NULL || --set->refs > 0)
		return;
	for (size_t i = 0; i < set->n; i++) {
		free(set->v[i].own.name);
		free(set->v[i].own.contact);
		match_free(set->v[i].match);
		match_free(set->v[i].exempt_recipients);
		owners_free(set->v[i].owners);
	}
	free(set->v);
	free(set);
}

const struct policy *
policies_select(const struct policies *set, const struct gate_facts *facts)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct policy *policy = &set->v[i];
		const struct match_facts own = {
		    .user = facts->user,
		    .sender = facts->sender,
		    .own = policy_own_name(policy, facts),
		    .client = facts->client,
		};

		if (match_sender(policy->match, &own))
			return policy;
	}
	return set->fallback;
}

const struct policy *
policies_find(const struct policies *set, struct str name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (str_eq(str_from(set->v[i].own.name), name))
			return &set->v[i];
	}
	return NULL;
}

const struct policy *
policies_default(const struct policies *set)
{
	return set->fallback;
}

const struct policy *
policies_of_key(const struct policies *set, struct str key)
{
	if (str_eq(key, STR("<>")))
		return set->shared[SHARED_NULL];
	if (str_eq(key, POLICY_KEY_OVERFLOW))
		return set->shared[SHARED_OVERFLOW];
	return NULL;
}

bool
policies_learn(const struct policies *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].own.learn_inbound)
			return true;
	}
	return false;
}

const char *
policy_bare_entry(const struct policy *policy)
{
	return policy->own.key == POLICY_KEY_ENVELOPE
		   ? NULL
		   : match_bare(policy->match);
}

bool
policy_exempts_recipient(const struct policy *policy, struct str address)
{
	return match_recipient(policy->exempt_recipients, address);
}
