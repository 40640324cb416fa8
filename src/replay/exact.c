/* SPDX-License-Identifier: BSD-3-Clause */
/* See exact.h. */
#include "replay/exact.h"

#include "base/map.h"
#include "replay/pairs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX 100000 /* transactions at once */

struct exact {
	struct world *w;
	struct map *open; /* by number */
	struct exact_stats stats;
	int64_t offset; /* from the daemon's clock to the world's */
	int64_t last;   /* of the daemon's clock */
	uint64_t last_number;
	bool has_time;
};

/* A line's pairs, those that are known. */
struct asked {
	uint64_t number, code;
	int64_t now;
	struct str verdict, to, how, enhanced, flags;
	bool stays;
	struct gate_facts facts;
	char texts[5][PAIRS_VALUE_MAX];
};

static const char *const verdict_names[] = {
    [THROTTLE_PASS] = "pass",
    [THROTTLE_HOLD] = "hold",
    [THROTTLE_REFUSE] = "refuse",
};

struct exact *
exact_new(struct world *w)
{
	struct exact *e = xcalloc(1, sizeof(*e));

	e->w = w;
	e->open = map_new();
	return e;
}

static struct str
key_of(const uint64_t *number)
{
	return (struct str){(const char *)number, sizeof(*number)};
}

/* What the daemon left open when it ended. */
static void
cancel_all(struct exact *e)
{
	struct str key;
	void *txn;
	size_t pos = 0;

	while (map_each(e->open, &pos, &key, &txn))
		world_end(e->w, txn, WORLD_CANCEL);
	map_free(e->open, NULL);
	e->open = map_new();
}

void
exact_free(struct exact *e)
{
	if (e == NULL)
		return;
	cancel_all(e);
	map_free(e->open, NULL);
	free(e);
}

const struct exact_stats *
exact_stats(const struct exact *e)
{
	return &e->stats;
}

/* ---- a line ---- */

static bool
take_number(struct str s, uint64_t *out)
{
	return str_to_u64(s, out) && *out <= INT64_MAX;
}

static bool
read_pair(struct asked *a, struct str key, struct str value)
{
	uint64_t n;

	if (str_eq(key, STR("txn")))
		return take_number(value, &a->number);
	if (str_eq(key, STR("now_ms"))) {
		if (!take_number(value, &n) || n > (uint64_t)1 << 53)
			return false;
		a->now = (int64_t)n;
	} else if (str_eq(key, STR("code"))) {
		return take_number(value, &a->code) && a->code < 1000;
	} else if (str_eq(key, STR("client"))) {
		struct ip *out = &a->facts.client;

		*out = (struct ip){.family = IP_NONE};
		return value.n == 0 || str_eq(value, STR("local")) ||
		       ip_parse(value, out);
	} else if (str_eq(key, STR("user"))) {
		a->facts.user = pairs_unescape(value, a->texts[0]);
	} else if (str_eq(key, STR("from"))) {
		a->facts.sender = pairs_unescape(value, a->texts[1]);
	} else if (str_eq(key, STR("helo"))) {
		a->facts.helo = pairs_unescape(value, a->texts[2]);
	} else if (str_eq(key, STR("to"))) {
		a->to = pairs_unescape(value, a->texts[3]);
	} else if (str_eq(key, STR("enhanced"))) {
		/* A reply's is a string. */
		a->enhanced =
		    str_sub(pairs_unescape(value, a->texts[4]), 0, 11);
		a->texts[4][a->enhanced.n] = '\0';
	} else if (str_eq(key, STR("verdict"))) {
		a->verdict = value;
	} else if (str_eq(key, STR("how"))) {
		a->how = value;
	} else if (str_eq(key, STR("flags"))) {
		a->flags = value;
	} else if (str_eq(key, STR("stays"))) {
		a->stays = str_eq(value, STR("yes"));
	}
	return true;
}

static bool
has_flag(const struct asked *a, char letter)
{
	return str_index(a->flags, letter) < a->flags.n;
}

static bool
read_pairs(struct asked *a, struct str s)
{
	struct str key, value;

	a->now = -1;
	while (pairs_take(&s, &key, &value)) {
		if (!read_pair(a, key, value))
			return false;
	}
	a->facts.exact_user = has_flag(a, 'x');
	a->facts.local = has_flag(a, 'l');
	a->facts.by_command = has_flag(a, 'c');
	a->facts.front_end = has_flag(a, 'f');
	a->facts.has_routes = has_flag(a, 'r');
	a->facts.teaches = has_flag(a, 't');
	return a->number > 0 && a->now >= 0;
}

/* ---- what it says is done ---- */

static void
compare(struct exact *e, const struct asked *a, enum throttle_verdict ours,
    const char *of)
{
	char shown[200];

	e->stats.verdicts++;
	if (str_eq(a->verdict, str_from(verdict_names[ours])))
		return;
	if (e->stats.different < EXACT_SHOWN)
		snprintf(e->stats.shown[e->stats.different], EXACT_TEXT_MAX,
		    "line %" PRIu64 ", transaction %" PRIu64
		    ", %s%s: %.*s there, %s here",
		    e->stats.lines, a->number, of,
		    str_escape(a->to, shown, sizeof(shown)),
		    STR_ARG(str_sub(a->verdict, 0, 20)), verdict_names[ours]);
	e->stats.different++;
}

static bool
take_end(struct exact *e, struct world_txn *t, const struct asked *a)
{
	static const struct {
		const char *name;
		enum world_how how;
	} v[] = {
	    {"commit", WORLD_COMMIT},
	    {"cancel", WORLD_CANCEL},
	    {"doubt", WORLD_DOUBT},
	    {"defer", WORLD_DEFER},
	};

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		if (!str_eq(a->how, str_from(v[i].name)))
			continue;
		map_remove(e->open, key_of(&a->number));
		world_end(e->w, t, v[i].how);
		return true;
	}
	return false;
}

static bool
begin(struct exact *e, const struct asked *a)
{
	if (a->number <= e->last_number) {
		e->stats.restarts++;
		cancel_all(e);
	}
	if (map_count(e->open) == OPEN_MAX)
		return false;
	e->last_number = a->number;
	e->stats.transactions++;
	map_set(e->open, key_of(&a->number), world_begin(e->w, &a->facts));
	return true;
}

static bool
take(struct exact *e, struct str event, struct asked *a)
{
	struct world_txn *t;

	/* A clock that went back is that of another start of the machine. */
	if (!e->has_time || a->now < e->last)
		e->offset = world_now(e->w) - a->now;
	e->has_time = true;
	e->last = a->now;
	world_advance(e->w, a->now + e->offset);
	if (str_eq(event, STR("begin")))
		return begin(e, a);
	t = map_find(e->open, key_of(&a->number));
	if (t == NULL) {
		e->stats.unknown++;
		return true;
	}
	if (str_eq(event, STR("verdict"))) {
		if (a->to.n == 0)
			compare(e, a, world_ask_sender(e->w, t), "sender");
		else
			compare(e, a,
			    world_ask_recipient(e->w, t, a->to, a->stays),
			    "to ");
	} else if (str_eq(event, STR("secure"))) {
		/* Its answer is the disk's, or comes at the next line. */
		(void)world_ask_secure(e->w, t);
	} else if (str_eq(event, STR("drop"))) {
		struct gate_reply reply = {
		    .code = (unsigned)a->code,
		    .enhanced = a->texts[4],
		    .to_rcpt = true,
		};

		world_drop(e->w, t, a->code > 0 ? &reply : NULL,
		    a->code == 0 && str_eq(a->enhanced, STR("room")));
	} else {
		return take_end(e, t, a);
	}
	return true;
}

static bool
is_ours(struct str event)
{
	static const char *const names[] = {
	    "begin", "verdict", "secure", "drop", "end"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq(event, str_from(names[i])))
			return true;
	}
	return false;
}

bool
exact_add_line(void *exact, struct str line, struct err *why)
{
	static const char mark[] = "debug gate ";
	struct exact *e = exact;
	const char *at = memmem(line.p, line.n, mark, sizeof(mark) - 1);
	struct asked *a;
	struct str s, event;
	bool ok = true;

	e->stats.lines++;
	if (at == NULL)
		return true;
	s = str_sub(line, (size_t)(at - line.p) + sizeof(mark) - 1, line.n);
	event = str_cut(&s, ' ');
	if (!is_ours(event) || !str_starts(s, STR("txn=")))
		return true;
	a = xcalloc(1, sizeof(*a));
	if (read_pairs(a, s))
		ok = take(e, event, a);
	else
		ok = false;
	free(a);
	if (!ok)
		err_set(why, "a line of the gate that cannot be read");
	return ok;
}
