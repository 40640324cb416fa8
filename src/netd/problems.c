/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * problems: what does not go as it should, a row each with the command or the
 * option that helps. The rules and what met a bound since the start come first,
 * then hosts that are frozen or have waited for long, of each kind a bounded
 * number. The rows are those of weir-maild.
 */
#include "config.h"

#include "netd/internal.h"

#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define STEP 500 /* hosts looked at in one step */
#define ROWS 100 /* hosts of a kind, where max does not say */
#define LONG_MS 10000
#define HELP_MAX (2 * IP_TEXT_MAX + 80)
#define MACHINE_ROWS 7

struct row {
	const char *kind, *who, *reason, *option, *help;
	uint64_t count;      /* 0: says nothing */
	int64_t since, next; /* wall ms; 0: says nothing */
};

static json_t *
make(const struct row *r, int64_t wall)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}",
	    "kind", r->kind, "who", control_text(r->who), "count",
	    r->count > 0 ? json_integer((json_int_t)r->count) : json_null(),
	    "since", control_time(r->since), "next", control_time(r->next),
	    "reason", control_text(r->reason), "option",
	    control_text(r->option), "age_s",
	    (json_int_t)(r->since > 0 && wall > r->since
			     ? (wall - r->since) / 1000
			     : 0),
	    "help", control_text(r->help));
}

/* One of the machine's; reason NULL: there is no such trouble. */
static struct row
machine_row(const struct netd *n, size_t which)
{
	const uint64_t *counters = netgate_counters(n->gate);
	const struct nfqueue_stats *q = nfqueue_get_stats(n->queue);
	const struct {
		const char *kind, *reason, *option, *help;
		uint64_t count;
	} rows[MACHINE_ROWS] = {
	    {"rules", n->rules_trouble, "rules",
		"weirctl status; restart "
		"weir-netd",
		n->rules_trouble != NULL},
	    {"rules", "another program removed or changed them", "rules_watch",
		"weirctl events; OTHER FIREWALLS in "
		"weir-netd(8)",
		n->rules_restored},
	    {"limit", "packets that the kernel's queue had no room for",
		"queue_length", "queue_length in weir-netd.conf(5)",
		q->overruns},
	    {"limit", "packets dropped at held_max", "held_max",
		"weirctl senders; held_max in weir-netd.conf(5)",
		counters[NETGATE_COUNT_OVERFLOW]},
	    {"limit",
		"packets of hosts beyond hosts_max, which share a "
		"throttle",
		"hosts_max", "hosts_max in weir-netd.conf(5)",
		counters[NETGATE_COUNT_OVERFLOWED]},
	    {"lost", "held packets that the kernel threw away", NULL,
		"What comes by in weir-netd(8)", counters[NETGATE_COUNT_LOST]},
	    {"malformed", "packets whose headers cannot be read", NULL,
		"SECURITY in weir-netd(8)", n->malformed},
	};

	return (struct row){.kind = rows[which].kind,
	    .reason = rows[which].count > 0 ? rows[which].reason : NULL,
	    .option = rows[which].option,
	    .help = rows[which].help,
	    .count = rows[which].count};
}

/* False: it goes well. */
static bool
host_row(const struct netgate_host_info *h, int64_t wall, struct row *r,
    char reason[HELP_MAX], char help[HELP_MAX])
{
	*r = (struct row){.who = h->source, .reason = reason, .help = help};
	if (h->frozen) {
		r->kind = "frozen";
		r->reason = h->freeze_reason;
		r->since = h->frozen_at;
		snprintf(help, HELP_MAX, "weirctl show %s; weirctl thaw %s",
		    h->source, h->source);
		return true;
	}
	if (h->queue_length == 0 || h->next_release < wall + LONG_MS)
		return false;
	r->kind = "held";
	r->next = h->next_release;
	r->option = "limit";
	snprintf(reason, HELP_MAX, "%" PRIu32 " attempts wait; policy %s",
	    h->queue_length, h->policy);
	snprintf(help, HELP_MAX,
	    "weirctl queue %s; weirctl release --sender %s", h->source,
	    h->source);
	return true;
}

/* c->cursor: rows of the machine, then hosts. c->kept: hosts shown, frozen and
 * held; whether there were more. */
static void
end(struct control_conn *c, int64_t wall)
{
	const struct netd *n = netd_of(c);
	int64_t hour = wall - 3600 * INT64_C(1000);
	bool more = json_is_true(json_array_get(c->kept, 2));

	control_done(
	    c, json_pack("{s:o, s:b}", "since",
		   control_time(n->started_at > hour ? n->started_at : hour),
		   "more", (int)more));
}

static json_int_t
shown(const struct control_conn *c, bool frozen)
{
	return json_integer_value(json_array_get(c->kept, frozen ? 0 : 1));
}

/* False: it is to be sent again when there is room. */
static bool
send_host(
    struct control_conn *c, const struct row *r, bool frozen, int64_t wall)
{
	uint32_t max = c->request.given & CONTROL_MAX ? c->request.max : ROWS;
	json_int_t n = shown(c, frozen);

	if (n >= (json_int_t)max) {
		json_array_set_new(c->kept, 2, json_true());
		return true;
	}
	if (!control_send(c, "row", make(r, wall)))
		return false;
	json_array_set_new(c->kept, frozen ? 0 : 1, json_integer(n + 1));
	return true;
}

static void
step_problems(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	char reason[HELP_MAX], help[HELP_MAX];
	int64_t wall = clock_wall_ms();
	struct netgate_host_info h;
	struct row r;

	for (; c->cursor < MACHINE_ROWS; c->cursor++) {
		r = machine_row(n, (size_t)c->cursor);
		if (r.reason != NULL && !control_send(c, "row", make(&r, wall)))
			return; /* again when there is room */
	}
	for (int i = 0; i < STEP; i++) {
		size_t at = (size_t)c->cursor - MACHINE_ROWS;

		if (!netgate_host_each(n->gate, &at, now, wall, &h)) {
			end(c, wall);
			return;
		}
		if (host_row(&h, wall, &r, reason, help) &&
		    !send_host(c, &r, h.frozen, wall))
			return;
		c->cursor++;
	}
}

void
netd_show_problems(struct control_conn *c, int64_t now)
{
	c->kept = json_pack("[i, i, b]", 0, 0, 0);
	c->on_step = step_problems;
	step_problems(c, now);
}
