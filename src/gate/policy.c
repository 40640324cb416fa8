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
#include "os/entries.h"

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

/* What policies have that give no numbers of their own. */
#define DAY_MS (24 * INT64_C(3600000))
#define MAIL_A_DAY 100
#define STRANGER_MESSAGES_A_DAY 40
#define MACHINE_A_DAY 2000

struct policies {
	uint64_t refs;
	size_t n;
	struct policy *v; /* in the order of the file */
	struct policy *fallback;
	struct policy *shared[SHARED_MAX]; /* by enum shared */
	struct match *decoys;              /* NULL: none */
	struct match *spared;              /* never_freeze; NULL: nobody */
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
	case POLICY_PROFILE_MACHINE:
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

static enum shared
shared_by_name(const struct policy_conf *conf)
{
	enum shared which = SHARED_NULL;

	while (
	    which < SHARED_MAX &&
	    (conf->match.n > 0 || strcmp(conf->name, shared_names[which]) != 0))
		which++;
	return which;
}

/* SHARED_MAX: it is for whom its match names. */
static enum shared
shared_of(const struct policy_conf *conf)
{
	static const struct str null_entry = STR("from:<>");

	if (conf->match.n == 1 &&
	    str_ieq(str_from(conf->match.v[0]), null_entry))
		return SHARED_NULL;
	return shared_by_name(conf);
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

/* ---- familiar recipients ---- */

#define FAMILIAR_FOR_MS (365 * 24 * INT64_C(3600000))
#define FAMILIAR_BURST 100
#define FAMILIAR_INTERVAL_MS 10000
/* A source of it goes as soon as it has all of its allowance. */
#define FAMILIAR_EXPIRY_MS 1000

/* Where the file gives no number, nobody familiar waits longer than a stranger
 * would. */
static void
set_familiar(const struct policy_conf *conf, const struct throttle_policy *t,
    struct throttle_policy *f)
{
	uint32_t freeze_at = conf->familiar_freeze_at;
	bool is_given = freeze_at != POLICY_FAMILIAR_FREEZE_AT;

	*f = (struct throttle_policy){
	    .working_set = 1,
	    .burst = conf->familiar_burst,
	    .interval_ms = conf->familiar_interval_ms,
	    .queue_max = t->queue_max,
	    .idle_expiry_ms = FAMILIAR_EXPIRY_MS,
	    .hold_when_frozen = t->hold_when_frozen,
	};
	if (f->burst == 0)
		f->burst =
		    t->burst > FAMILIAR_BURST ? t->burst : FAMILIAR_BURST;
	if (f->interval_ms == 0)
		f->interval_ms = t->interval_ms < FAMILIAR_INTERVAL_MS
				     ? t->interval_ms
				     : FAMILIAR_INTERVAL_MS;
	f->initial = f->burst;
	if (!is_given && freeze_at < t->freeze_at)
		freeze_at = t->freeze_at;
	if (!is_given && freeze_at > t->queue_max)
		freeze_at = t->queue_max;
	f->freeze_at = !is_given && t->freeze_at == 0 ? 0 : freeze_at;
}

static bool
check_familiar(const struct policy *policy, const struct policy_conf *conf,
    char *err, size_t err_cap)
{
	const struct throttle_policy *t = &policy->throttle;
	const struct throttle_policy *f = &policy->familiar;
	const char *error;

	if (f->burst < t->burst)
		return fail(conf, err, err_cap,
		    "familiar_burst (%u) is below burst (%u), so familiar "
		    "recipients would wait before strangers do; raise it or "
		    "lower burst",
		    f->burst, t->burst);
	if (f->interval_ms > t->interval_ms)
		return fail(conf, err, err_cap,
		    "familiar_interval is longer than interval, so familiar "
		    "recipients would wait longer than strangers; shorten it "
		    "or lengthen interval");
	if (f->freeze_at > f->queue_max)
		return fail(conf, err, err_cap,
		    "queue_max (%u) is below familiar_freeze_at (%u); raise "
		    "the former or lower the latter",
		    f->queue_max, f->freeze_at);
	error = throttle_policy_error(f);
	return error == NULL ||
	       fail(conf, err, err_cap, "familiar recipients: %s", error);
}

static void
give_limit(struct policy_conf *conf, uint32_t count)
{
	if (conf->has_limit)
		return;
	conf->has_limit = true;
	conf->limit.v[0] = (struct option_rate){count, DAY_MS};
	conf->limit.n = 1;
}

void
policy_conf_fill(struct policy_conf *conf)
{
	bool is_own = conf->interval_ms != 0 || conf->burst != 0 ||
		      conf->has_freeze_at || conf->has_limit ||
		      shared_of(conf) != SHARED_MAX;

	switch ((enum policy_profile)conf->profile) {
	case POLICY_PROFILE_MAIL:
		if (is_own)
			return;
		give_limit(conf, MAIL_A_DAY);
		if (!conf->has_stranger_messages)
			conf->stranger_messages = (struct option_rate){
			    STRANGER_MESSAGES_A_DAY, DAY_MS};
		break;
	case POLICY_PROFILE_MACHINE:
		give_limit(conf, MACHINE_A_DAY);
		break;
	case POLICY_PROFILE_TCP:
	case POLICY_PROFILE_UDP:
	case POLICY_PROFILE_PAPER:
		return;
	}
	conf->has_stranger_messages = true;
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

/* The source <> never freezes and is shared by all programs: nobody else has
 * its policy. */
static bool
check_null(const struct policies *set, const struct policy *policy,
    const struct policy_conf *conf, char *err, size_t err_cap)
{
	if (shared_of(conf) == SHARED_NULL && set->shared[SHARED_NULL] != NULL)
		return fail(conf, err, err_cap,
		    "policy \"%s\" already covers mail without an envelope "
		    "sender; keep only one of the two",
		    set->shared[SHARED_NULL]->conf->name);
	if (match_has_null(policy->match) &&
	    (shared_of(conf) != SHARED_NULL ||
		strcmp(conf->name, DEFAULT_NAME) == 0))
		return fail(conf, err, err_cap,
		    "match: from:<> must be the only entry, since that sender "
		    "never freezes; give it a policy of its own");
	return true;
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
	policy->own.warn_at = (struct option_strings){0};
	policy->own.sender_address_file = NULL;
	policy->own.place = (struct option_place){0};
	policy->conf = &policy->own;
}

/* All but the lists. */
static bool
set_numbers(struct policy *policy, const struct policy_conf *conf,
    enum shared shared, char *err, size_t err_cap)
{
	const char *error;
	char why[100];

	set_throttle(conf, &policy->throttle);
	policy->met = (struct acquaintance_rules){
	    .set = conf->inbound_set,
	    .rate = {conf->inbound_rate.count, conf->inbound_rate.window_ms},
	    .expiry_ms = conf->inbound_expiry_ms,
	};
	/* Of <> and of those who share a source nobody knows whose they are. */
	if (shared == SHARED_MAX && !policy->throttle.paper)
		policy->credit = (struct credit_rules){
		    conf->refused_credit, conf->credit_freeze_ms};
	policy->networks = (struct networks_rules){
	    conf->client_networks.count, conf->client_networks.window_ms};
	if (policy->networks.count > NETWORKS_COUNT_MAX ||
	    policy->networks.window_ms > NETWORKS_LEARN_MS)
		return fail(conf, err, err_cap,
		    "client_networks: write at most 32 networks, in a day at "
		    "most");
	if (policy->throttle.freeze_at > policy->throttle.queue_max)
		return fail(conf, err, err_cap,
		    "queue_max (%u) is below freeze_at (%u); raise the former "
		    "or lower the latter",
		    policy->throttle.queue_max, policy->throttle.freeze_at);
	if (!warn_read(&conf->warn_at, &policy->warn, why, sizeof(why)))
		return fail(conf, err, err_cap, "warn_at: %s", why);
	error = throttle_policy_error(&policy->throttle);
	if (error != NULL)
		return fail(conf, err, err_cap, "%s", error);
	policy->familiar_for_ms =
	    policy->throttle.paper ? 0 : conf->familiar_for_ms;
	policy->met_for_ms = conf->learn_inbound ? conf->inbound_expiry_ms : 0;
	policy->has_familiar =
	    policy->familiar_for_ms > 0 || policy->met_for_ms > 0;
	policy->remembers = policy->has_familiar && shared == SHARED_MAX;
	set_familiar(conf, &policy->throttle, &policy->familiar);
	if (!policy->has_familiar) /* given for nothing, but it must be valid */
		policy->familiar.freeze_at = 0;
	else if (!check_familiar(policy, conf, err, err_cap))
		return false;
	if (conf->learn_inbound &&
	    conf->inbound_expiry_ms < conf->inbound_rate.window_ms)
		return fail(conf, err, err_cap,
		    "inbound_expiry is shorter than the time in inbound_rate; "
		    "make it as long or longer");
	return true;
}

static bool
policy_compile(struct policies *set, const struct policy_conf *given, char *err,
    size_t err_cap)
{
	struct policy *policy = &set->v[set->n];
	struct policy_conf filled = *given;
	const struct policy_conf *conf = &filled;
	bool is_default = strcmp(conf->name, DEFAULT_NAME) == 0;
	enum shared shared = shared_of(conf);

	policy_conf_fill(&filled);
	if (!set_numbers(policy, conf, shared, err, err_cap))
		return false;
	if (conf->match.n == 0 && !is_default && shared == SHARED_MAX)
		return fail(conf, err, err_cap,
		    "it has no match and would never be used; add match, or "
		    "name it \"" DEFAULT_NAME "\"");
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
	if (!check_null(set, policy, conf, err, err_cap)) {
		match_free(policy->match);
		match_free(policy->exempt_recipients);
		owners_free(policy->owners);
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
	    .refused_credit = CREDIT_PRESET,
	    .credit_freeze_ms = CREDIT_PRESET_FREEZE_MS,
	    .inbound_set = 1, /* it learns nothing */
	    .inbound_expiry_ms = 1,
	    .familiar_for_ms = FAMILIAR_FOR_MS,
	    .familiar_freeze_at = POLICY_FAMILIAR_FREEZE_AT,
	};

	str_copy(str_from(name), copy, sizeof(copy));
	if (!policy_compile(set, &conf, err, err_cap))
		return false;
	set->v[set->n - 1].warn = warn_default;
	return true;
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
			    "duplicate policy name; give each its own");
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
	match_free(set->spared);
	match_free(set->decoys);
	free(set->v);
	free(set);
}

const struct policy *
policies_select(const struct policies *set, const struct gate_facts *facts)
{
	const struct policy *named =
	    facts->policy.n > 0 ? policies_find(set, facts->policy) : NULL;

	if (named != NULL)
		return named;
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

/* ---- never_freeze ---- */

static bool
spare_policy(struct policies *set, struct str name, char *err, size_t err_cap)
{
	char shown[80];

	for (size_t i = 0; i < set->n; i++) {
		if (!str_eq(str_from(set->v[i].own.name), name))
			continue;
		set->v[i].is_spared = true;
		return true;
	}
	snprintf(err, err_cap, "there is no policy \"%s\"; check the name",
	    str_escape(name, shown, sizeof(shown)));
	return false;
}

static bool
spare_one(void *arg, struct str entry, char *err, size_t err_cap)
{
	struct policies *set = arg;

	if (str_istarts(entry, STR("policy:")))
		return spare_policy(
		    set, str_sub(entry, 7, entry.n), err, err_cap);
	if (set->spared == NULL)
		set->spared = match_new(MATCH_SENDERS);
	if (!match_add(set->spared, entry, err, err_cap))
		return false;
	if (!match_has_null(set->spared))
		return true;
	snprintf(err, err_cap, "that sender never freezes; remove it");
	return false;
}

bool
policies_spare(
    struct policies *set, struct str entry, char *err, size_t err_cap)
{
	return entries_read(entry, spare_one, set, err, err_cap);
}

bool
policies_spares(
    const struct policies *set, const struct policy *policy, struct str key)
{
	struct gate_facts facts;
	struct match_facts own;

	if (policy->is_spared || set->spared == NULL)
		return policy->is_spared;
	policy_key_facts(key, &facts);
	own = (struct match_facts){
	    .user = facts.user,
	    .sender = facts.sender,
	    .own = facts.sender,
	    .client = facts.client,
	};
	return match_sender(set->spared, &own);
}

bool
policies_add_decoy(
    struct policies *set, struct str entry, char *err, size_t err_cap)
{
	if (set->decoys == NULL)
		set->decoys = match_new(MATCH_RECIPIENTS);
	return match_add(set->decoys, entry, err, err_cap);
}

bool
policies_have_decoys(const struct policies *set)
{
	return set->decoys != NULL;
}

bool
policies_is_decoy(const struct policies *set, struct str address)
{
	return set->decoys != NULL && match_recipient(set->decoys, address);
}

bool
policy_meets(const struct policy *policy)
{
	return policy->met_for_ms > 0 && policy->remembers &&
	       !policy->conf->exempt && policy->conf->key != POLICY_KEY_CLIENT;
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

int64_t
policies_familiar_for(const struct policies *set)
{
	int64_t most = 0;

	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].own.familiar_for_ms > most)
			most = set->v[i].own.familiar_for_ms;
	}
	return most;
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
