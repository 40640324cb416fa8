/* SPDX-License-Identifier: BSD-3-Clause */
/* See attack.h. */
#include "replay/attack.h"

#include "base/units.h"
#include "replay/stamp.h"

#include <stdio.h>

#define COUNT_MAX 10000

static bool
fail(const char *text, const char *what, struct err *err)
{
	char shown[100];

	err_set(err, "--attack: \"%s\": %s",
	    str_escape(str_sub(str_from(text), 0, 60), shown, sizeof(shown)),
	    what);
	return false;
}

static bool
parse_count(struct str s, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (!str_to_u64(s, &v) || v < 1 || v > max)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool
parse_window(struct str s, int64_t *out)
{
	uint64_t seconds;

	if (str_to_u64(s, &seconds)) {
		*out = (int64_t)(seconds * 1000);
		return seconds >= 1 && seconds <= ATTACK_MS / 1000;
	}
	return units_parse_duration(s, out) && *out >= 1 && *out <= ATTACK_MS;
}

static bool
parse_rate(struct str s, struct attack_plan *out)
{
	size_t slash = str_index(s, '/');

	out->window_ms = 1000;
	if (slash < s.n &&
	    !parse_window(str_sub(s, slash + 1, s.n), &out->window_ms))
		return false;
	return parse_count(str_sub(s, 0, slash), COUNT_MAX, &out->count);
}

/* What is behind the key. */
static bool
after(struct str *s, struct str key)
{
	if (!str_starts(*s, key))
		return false;
	*s = str_sub(*s, key.n, s->n);
	return true;
}

static bool
parse_share(struct str s, uint32_t *out)
{
	return str_iends(s, STR("%")) &&
	       parse_count(str_sub(s, 0, s.n - 1), 100, out);
}

static bool
parse_time(struct str s, struct attack_plan *out)
{
	struct stamp_clock clock;

	stamp_init(&clock, 0, 0);
	if (units_parse_duration(s, &out->at))
		return out->at >= 0;
	out->at = -1;
	return stamp_take_iso(&clock, &s, &out->at_wall) && s.n == 0;
}

static bool
parse_outbreak(struct str s, struct attack_plan *out)
{
	if (after(&s, STR("users=")))
		return parse_count(s, ATTACK_USERS_MAX, &out->users);
	if (after(&s, STR("networks=")))
		return parse_count(s, ATTACK_NETWORKS_MAX, &out->networks);
	if (after(&s, STR("decoys=")))
		return parse_share(s, &out->decoys);
	return after(&s, STR("at=")) && parse_time(s, out);
}

static bool
parse_more(struct str s, struct attack_plan *out)
{
	if (parse_outbreak(s, out))
		return true;
	if (str_eq(s, STR("packed"))) {
		out->is_packed = true;
		return true;
	}
	if (str_starts(s, STR("unknown=")) && str_iends(s, STR("%")))
		return parse_count(str_sub(s, sizeof("unknown=") - 1,
				       s.n - sizeof("unknown=")),
		    100, &out->unknown);
	if (str_eq(s, STR("udp"))) {
		out->is_udp = true;
		return true;
	}
	return after(&s, STR("known=")) &&
	       (parse_share(s, &out->known_share) ||
		   parse_count(s, ATTACK_KNOWN_MAX, &out->known));
}

bool
attack_parse(const char *text, struct attack_plan *out, struct err *err)
{
	struct str rest = str_from(text);

	*out = (struct attack_plan){.text = text, .at = -1};
	if (!parse_rate(str_cut(&rest, ','), out))
		return fail(text,
		    "is not a rate; write recipients per second from 1 to "
		    "10000, as in 10, or per time up to a day, as in 1/60 or "
		    "100/1d",
		    err);
	while (rest.n > 0) {
		if (!parse_more(str_cut(&rest, ','), out))
			return fail(text,
			    "after the rate may come known=NUMBER (1 to "
			    "5000), packed and unknown=SHARE (1% to 100%); of "
			    "flows udp; with users=NUMBER (1 to 1000) also "
			    "known=SHARE, at=TIME (40d, or as in RFC 3339), "
			    "networks=NUMBER (1 to 60) and decoys=SHARE",
			    err);
	}
	if (out->users == 0 &&
	    (out->known_share > 0 || out->networks > 0 || out->decoys > 0 ||
		out->at >= 0 || out->at_wall != 0))
		return fail(text,
		    "known=SHARE, at, networks and decoys need users=NUMBER",
		    err);
	return true;
}

int64_t
attack_at(const struct attack_plan *plan, uint32_t i)
{
	return (int64_t)i * plan->window_ms / plan->count;
}

/* So many percent of the first i, evenly. */
static uint32_t
part_of(uint32_t i, uint32_t percent)
{
	return (uint32_t)((uint64_t)i * percent / 100);
}

uint32_t
attack_known(const struct attack_plan *plan, uint32_t i, uint32_t book)
{
	uint32_t before = part_of(i, plan->known_share);
	bool is_one = plan->known_share > 0
			  ? part_of(i + 1, plan->known_share) > before
			  : i < plan->known;

	if (plan->known_share == 0)
		before = i;
	return is_one && before < book ? before : book;
}

bool
attack_has_decoy(const struct attack_plan *plan, uint32_t n)
{
	return part_of(n + 1, plan->decoys) > part_of(n, plan->decoys);
}

bool
attack_is_unknown(const struct attack_plan *plan, uint32_t i)
{
	return ((uint64_t)i + 1) * plan->unknown / 100 >
	       (uint64_t)i * plan->unknown / 100;
}

uint32_t
attack_message_size(const struct attack_plan *plan)
{
	return plan->is_packed ? ATTACK_PACK : 1;
}

int64_t
attack_history_at(uint32_t known)
{
	return known * ATTACK_HISTORY_MS;
}

int64_t
attack_start(const struct attack_plan *plan)
{
	int64_t at = attack_history_at(plan->known) + ATTACK_QUIET_MS;

	return at > ATTACK_AFTER_MS ? at : ATTACK_AFTER_MS;
}
