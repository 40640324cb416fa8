/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Limits, freezes and waiting times in words, for log lines, replies and
 * administrators. Replies go into SMTP: ASCII alone, one line, under 400 bytes
 * whatever the names in them are.
 */
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_NAME 120
#define SHOWN_CONTACT 80

/* Printable ASCII; the rest as \xHH; cut with "..." at the end. */
static const char *
ascii(const char *s, char *out, size_t cap)
{
	size_t n = 0;

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		bool plain = c >= 0x20 && c < 0x7f;

		if (n + (plain ? 1 : 4) + 4 > cap) {
			n += str_copy(STR("..."), out + n, cap - n);
			break;
		}
		if (plain)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, cap - n, "\\x%02x", c);
	}
	out[n] = '\0';
	return out;
}

/* " in 40s", to the second, rounded up; "" when there is no such moment. */
static const char *
in_time(const char *before, int64_t at, int64_t now, char out[64])
{
	char text[UNITS_TEXT_MAX];
	int64_t left = at > now ? at - now : 0;

	out[0] = '\0';
	if (at == INT64_MAX)
		return out;
	left = (left + 999) / 1000 * 1000;
	snprintf(
	    out, 64, "%s in %s", before, units_format_duration(left, text));
	return out;
}

/* of: "", "familiar ". */
static void
why_held(const char *of, const struct throttle_source_info *info,
    const struct throttle_policy *policy, const struct throttle_reservation *r,
    int64_t now, char out[WORDS_MAX])
{
	uint32_t most = policy->paper ? policy->working_set : policy->burst;
	char when[64];

	snprintf(out, WORDS_MAX,
	    "%sallowance used up, %" PRIu32 " of %" PRIu32 " left; %" PRIu32
	    " ahead of it%s",
	    of, info->allowance, most, r->queue_length,
	    in_time("; goes", r->due_ms, now, when));
}

static void
why_limited(const struct throttle_source_info *info,
    const struct throttle_policy *policy, const struct throttle_reservation *r,
    int64_t now, char out[WORDS_MAX])
{
	uint8_t i = r->limit_index < THROTTLE_LIMITS_MAX ? r->limit_index : 0;
	char window[UNITS_TEXT_MAX], when[64];

	snprintf(out, WORDS_MAX,
	    "%" PRIu32 " of %" PRIu32 " new recipients in %s used; %" PRIu32
	    " ahead of it%s",
	    info->limit_used[i], policy->limits[i].count,
	    units_format_duration(policy->limits[i].window_ms, window),
	    r->queue_length, in_time("; goes", r->due_ms, now, when));
}

static void
why_full(const char *of, const struct throttle_source_info *info,
    const struct throttle_policy *policy, bool is_spared,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX])
{
	uint32_t places = policy->queue_max;
	char when[64];

	if (policy->freeze_at > 0 && !is_spared && !policy->hold_when_frozen &&
	    info->queue_length >= policy->freeze_at &&
	    policy->freeze_at < places)
		places = policy->freeze_at;
	snprintf(out, WORDS_MAX,
	    "queue of %s recipients full, %" PRIu32 " of %" PRIu32
	    " places used%s",
	    of, r->queue_length, places,
	    in_time("; next place free", info->next_release, now, when));
}

void
words_why(struct gate *g, struct throttle_source *src,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX])
{
	const struct throttle_policy *policy = throttle_source_policy(src);
	struct throttle_source_info info;

	if (r->reason == THROTTLE_KNOWN || r->reason == THROTTLE_NEW) {
		str_copy(r->reason == THROTTLE_KNOWN
			     ? STR("known recipient")
			     : STR("new recipient within the allowance"),
		    out, WORDS_MAX);
		return;
	}
	throttle_source_info(g->throttle, src, now, &info);
	switch (r->reason) {
	case THROTTLE_KNOWN:
	case THROTTLE_NEW:
		break;
	case THROTTLE_BARRED:
	case THROTTLE_QUEUED:
		why_held("", &info, policy, r, now, out);
		break;
	case THROTTLE_LIMITED:
		why_limited(&info, policy, r, now, out);
		break;
	case THROTTLE_FULL:
		why_full(
		    "new", &info, policy, throttle_is_spared(src), r, now, out);
		break;
	case THROTTLE_FROZEN:
		str_copy(STR("sender is frozen, held until it is thawed"), out,
		    WORDS_MAX);
		break;
	}
}

void
words_credit(const struct gate_credit *credit,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX])
{
	char when[64];

	snprintf(out, WORDS_MAX,
	    "too many unknown recipients, %" PRIu32 " of %" PRIu32
	    " credit left; %" PRIu32 " ahead of it%s",
	    credit->left, credit->max, r->queue_length,
	    in_time("; goes", r->due_ms, now, when));
}

void
words_networks(const struct gate_networks *networks,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX])
{
	char window[UNITS_TEXT_MAX], when[64];

	snprintf(out, WORDS_MAX,
	    "used from too many networks, %" PRIu32 " of %" PRIu32
	    " in %s; %" PRIu32 " ahead of it%s",
	    networks->fresh, networks->max,
	    units_format_duration(networks->window_ms, window), r->queue_length,
	    in_time("; goes", r->due_ms, now, when));
}

void
words_familiar(struct gate *g, struct throttle_source *src,
    const struct throttle_reservation *r, const char *by, int64_t now,
    char out[WORDS_MAX])
{
	const struct throttle_policy *policy = &source_policy(src)->familiar;
	struct throttle_source_info info;

	throttle_source_info(g->familiar, tier_of(src), now, &info);
	switch (r->reason) {
	case THROTTLE_KNOWN:
	case THROTTLE_NEW:
		snprintf(out, WORDS_MAX, "familiar recipient (%.60s)", by);
		break;
	case THROTTLE_BARRED:
	case THROTTLE_LIMITED:
	case THROTTLE_QUEUED:
		why_held("familiar ", &info, policy, r, now, out);
		break;
	case THROTTLE_FULL:
		why_full("familiar", &info, policy, throttle_is_spared(src), r,
		    now, out);
		break;
	case THROTTLE_FROZEN:
		words_why(g, src, r, now, out);
		break;
	}
}

void
words_scope(const struct scope_info *full, int64_t now, char out[WORDS_MAX])
{
	char window[UNITS_TEXT_MAX], when[64], name[SHOWN_NAME];

	snprintf(out, WORDS_MAX,
	    "scope \"%s\" is full, %" PRIu32 " of %" PRIu32
	    " new recipients in %s used%s",
	    ascii(full->name, name, 64), full->used, full->count,
	    units_format_duration(full->window_ms, window),
	    in_time("; next free", full->open_at, now, when));
}

void
words_scope_use(const struct scope_info *info, char out[WORDS_MAX])
{
	char window[UNITS_TEXT_MAX], name[SHOWN_NAME], key[SHOWN_NAME];

	snprintf(out, WORDS_MAX,
	    "scope \"%s\" (%s): %" PRIu32 " of %" PRIu32
	    " new recipients in %s used",
	    ascii(info->name, name, 64), ascii(info->key, key, 64), info->used,
	    info->count, units_format_duration(info->window_ms, window));
}

static const char *
recipients(uint32_t n)
{
	return n == 1 ? "recipient" : "recipients";
}

void
words_freeze(struct gate *g, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now, char out[WORDS_MAX])
{
	const struct throttle_policy *policy = throttle_source_policy(src);
	struct throttle_source_info info;
	char window[UNITS_TEXT_MAX];

	throttle_source_info(g->throttle, src, now, &info);
	if (reason == THROTTLE_FREEZE_HAND)
		snprintf(out, WORDS_MAX,
		    "frozen by an administrator, %" PRIu32 " %s waiting",
		    source_queue(g, src), recipients(source_queue(g, src)));
	else if (reason == THROTTLE_FREEZE_RELAY)
		snprintf(out, WORDS_MAX,
		    "frozen at another relay, %" PRIu32 " %s waiting",
		    source_queue(g, src), recipients(source_queue(g, src)));
	else if (reason == THROTTLE_FREEZE_DECOY)
		str_copy(STR("wrote to a decoy"), out, WORDS_MAX);
	else if (reason == THROTTLE_FREEZE_CREDIT)
		str_copy(STR("too many unknown recipients"), out, WORDS_MAX);
	else if (reason == THROTTLE_FREEZE_NETWORKS)
		str_copy(STR("used from too many networks"), out, WORDS_MAX);
	else if (reason == THROTTLE_FREEZE_FAMILIAR)
		snprintf(out, WORDS_MAX,
		    "%" PRIu32 " of %" PRIu32 " familiar recipients waiting",
		    tier_queue(g, src), source_policy(src)->familiar.freeze_at);
	else if (reason == THROTTLE_FREEZE_STRANGERS &&
		 source_policy(src)->conf->stranger_messages.count > 0)
		strangers_words(src, out);
	else if (reason == THROTTLE_FREEZE_GROWTH &&
		 policy->freeze_growth.count > 0)
		snprintf(out, WORDS_MAX,
		    "%" PRIu32 " new recipients waiting, %" PRIu32
		    " arrived within %s",
		    info.queue_length, policy->freeze_growth.count,
		    units_format_duration(
			policy->freeze_growth.window_ms, window));
	else if (policy->freeze_at > 0 && info.blast > 0)
		snprintf(out, WORDS_MAX,
		    "%" PRIu32 " of %" PRIu32
		    " recipients waiting, and %" PRIu32 " of one message",
		    info.own_waiting, policy->freeze_at, info.blast);
	else if (policy->freeze_at > 0)
		snprintf(out, WORDS_MAX,
		    "%" PRIu32 " of %" PRIu32 " recipients waiting",
		    info.queue_length, policy->freeze_at);
	else
		snprintf(out, WORDS_MAX, "%" PRIu32 " %s waiting",
		    info.queue_length, recipients(info.queue_length));
}

static const char *
contact_of(const struct gate *g, const struct policy *policy)
{
	return policy->conf->contact != NULL ? policy->conf->contact
					     : g->contact;
}

void
words_not_own(const char *path, const char *login, char out[WORDS_MAX])
{
	char address[84], name[60];

	snprintf(out, WORDS_MAX,
	    "<%s>: Sender address rejected: not owned by user %s",
	    ascii(path, address, sizeof(address)),
	    ascii(login, name, sizeof(name)));
}

void
words_reply_frozen(struct gate *g, struct throttle_source *src, int64_t now,
    char out[WORDS_REPLY_MAX])
{
	const char *contact = contact_of(g, source_policy(src));
	char key[GATE_KEY_MAX], name[SHOWN_NAME], who[SHOWN_CONTACT];
	char since[UNITS_TEXT_MAX], why[WORDS_MAX];
	struct throttle_source_info info;

	throttle_source_info(g->throttle, src, now, &info);
	words_freeze(g, src, info.freeze_reason, now, why);
	/* Whoever stole an account is not told what gave him away. */
	if (info.freeze_reason == THROTTLE_FREEZE_DECOY)
		str_copy(STR("unusual recipients"), why, sizeof(why));
	snprintf(out, WORDS_REPLY_MAX, "%s has been frozen since %s: %s%s%s%s",
	    ascii(source_name(src, key), name, sizeof(name)),
	    units_format_time(source_data(src)->frozen_at, since), why,
	    contact != NULL ? "; write to " : "",
	    contact != NULL ? ascii(contact, who, sizeof(who)) : "",
	    contact != NULL ? " to have it released" : "");
}

void
words_reply(struct gate *g, const struct policy *policy, const char *key,
    const char *why, char out[WORDS_REPLY_MAX])
{
	const char *contact = contact_of(g, policy);
	char name[SHOWN_NAME], who[SHOWN_CONTACT];

	snprintf(out, WORDS_REPLY_MAX, "%s%s%s%s%s%s",
	    key != NULL ? ascii(key, name, sizeof(name)) : "",
	    key != NULL ? ": " : "", why, contact != NULL ? "; " : "",
	    contact != NULL ? ascii(contact, who, sizeof(who)) : "",
	    contact != NULL ? " can help" : "");
}
