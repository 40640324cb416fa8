/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * problems: what does not go as it should, a row each with the command or the
 * option that helps. What is wrong with the machine comes first, then who
 * waits, the longest first, then who was refused, the latest first; of each
 * kind a bounded number. Rows are made in steps, kept, and sent when all are
 * known, since only then it is known who waits for longest.
 */
#include "config.h"

#include "maild/control_private.h"

#include "base/units.h"
#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROWS 100 /* of a kind, where max does not say */
#define ROWS_MAX 1000
#define LOOK_MAX 500 /* senders looked at in one step */
#define LONG_MS (60 * 60 * INT64_C(1000))
#define NAME_MAX_BYTES 2100 /* a source's key, each byte quoted */
#define HELP_MAX 4400

enum { NEVER_UNKNOWN = -1 };

struct row {
	const char *kind, *who, *reason, *option, *help;
	int64_t count; /* -1: says nothing */
	/* Wall ms; 0: says nothing. */
	int64_t since, oldest, last, next, accepted_at;
	int never_accepted; /* within the hour */
};

static json_t *
make(const struct row *r, int64_t wall)
{
	int64_t from = r->oldest != 0 ? r->oldest : r->since;
	bool knows_never = r->never_accepted != NEVER_UNKNOWN;

	return json_pack(
	    "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}",
	    "kind", r->kind, "who", control_text(r->who), "count",
	    r->count >= 0 ? json_integer((json_int_t)r->count) : json_null(),
	    "since", control_time(r->since), "oldest", control_time(r->oldest),
	    "last", control_time(r->last), "next", control_time(r->next),
	    "last_accepted", control_time(r->accepted_at), "never_accepted",
	    knows_never ? json_boolean(r->never_accepted) : json_null(),
	    "reason", control_text(r->reason), "option",
	    control_text(r->option), "age_s",
	    (json_int_t)(from > 0 && wall > from ? (wall - from) / 1000 : 0),
	    "help", control_text(r->help));
}

/* What is kept: the rows; who waits, the longest first; and where a kind had
 * more than is shown, one value more. */
enum { KEPT_ROWS, KEPT_WAITING };

static json_t *
kept(const struct control_conn *c, size_t which)
{
	return json_array_get(c->kept, which);
}

static void
keep(struct control_conn *c, const struct row *r, int64_t wall)
{
	json_array_append_new(kept(c, KEPT_ROWS), make(r, wall));
}

static void
note_more(struct control_conn *c)
{
	if (json_array_size(c->kept) == KEPT_WAITING + 1)
		json_array_append_new(c->kept, json_true());
}

static size_t
rows_max(const struct control_conn *c)
{
	uint32_t max = c->request.given & CONTROL_MAX ? c->request.max : ROWS;

	return max < ROWS_MAX ? max : ROWS_MAX;
}

/* The hour, or since the start. */
static int64_t
looked_from(const struct control_conn *c, int64_t wall)
{
	int64_t start = control_parts(c)->started_at;

	return start > wall - PROBLEMS_SPAN_MS ? start
					       : wall - PROBLEMS_SPAN_MS;
}

/* ---- words ---- */

/* A sender as a word for the shell, without the brackets of an address: it is
 * what strangers called themselves. Returns out; "" where it is too long. */
static const char *
shell_word(struct str who, char out[NAME_MAX_BYTES])
{
	static const char plain[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    "@._+:-";
	size_t n = 0, safe = 0;

	if (who.n > 2 && str_starts(who, STR("<")) && who.p[who.n - 1] == '>')
		who = str_sub(who, 1, who.n - 2);
	while (safe < who.n && strchr(plain, who.p[safe]) != NULL)
		safe++;
	out[0] = '\0';
	if (who.n == 0 || who.n * 4 + 6 > NAME_MAX_BYTES)
		return out;
	if (who.p[0] == '-')
		n += (size_t)snprintf(out, NAME_MAX_BYTES, "-- ");
	if (safe == who.n) {
		str_copy(who, out + n, NAME_MAX_BYTES - n);
		return out;
	}
	out[n++] = '\'';
	for (size_t i = 0; i < who.n; i++) {
		if (who.p[i] == '\'') {
			memcpy(out + n, "'\\''", 4);
			n += 4;
		} else {
			out[n++] = who.p[i];
		}
	}
	out[n++] = '\'';
	out[n] = '\0';
	return out;
}

static void
help_refused(const struct problem *p, bool is_frozen, char out[HELP_MAX])
{
	char word[NAME_MAX_BYTES];

	shell_word(str_from(p->who), word);
	if (is_frozen)
		snprintf(out, HELP_MAX, "weirctl show %s; weirctl thaw %s",
		    word, word);
	else if (p->option == NULL || strcmp(p->option, "when_frozen") == 0)
		snprintf(out, HELP_MAX, "weirctl show %s", word);
	else if (strcmp(p->option, "queue_max") == 0)
		snprintf(out, HELP_MAX,
		    "weirctl queue %s; queue_max in weir.conf(5)", word);
	else
		snprintf(out, HELP_MAX, "%s in weir.conf(5)", p->option);
}

/* ---- the machine ---- */

static void
add_disk(struct control_conn *c, int64_t wall)
{
	const struct control_parts *p = control_parts(c);
	struct spool_stats stats;
	char reason[160];

	if (!spool_is_short(p->spool))
		return;
	spool_stats(p->spool, &stats);
	snprintf(reason, sizeof(reason),
	    "the spool is full: %" PRIu64 " MB are free; nothing more is held",
	    stats.free_bytes >> 20);
	keep(c,
	    &(struct row){.kind = "disk",
		.reason = reason,
		.option = "min_free",
		.help = "make room on its disk; weirctl discard; min_free in "
			"weir.conf(5)",
		.count = -1,
		.never_accepted = NEVER_UNKNOWN},
	    wall);
}

static void
add_next_hop(struct control_conn *c, const struct nexthop *n,
    const char *option, int64_t now, int64_t wall)
{
	struct nexthop_place place;
	char help[160];
	size_t pos = 0, rows = 0;

	snprintf(help, sizeof(help),
	    "%s in weir.conf(5); weirctl flush when it is back", option);
	while (
	    n != NULL && rows < rows_max(c) && nexthop_each(n, &pos, &place)) {
		if (!place.is_down)
			continue;
		rows++;
		keep(c,
		    &(struct row){.kind = "next_hop",
			.who = place.name,
			.reason = place.why,
			.option = option,
			.help = help,
			.count = -1,
			.last = wall + (place.failed_at - now),
			.next = place.rest_until > now
				    ? wall + (place.rest_until - now)
				    : 0,
			.never_accepted = NEVER_UNKNOWN},
		    wall);
	}
}

static void
add_login(struct control_conn *c, int64_t wall)
{
	const char *problem = delivery_problem(control_parts(c)->delivery);

	if (problem[0] == '\0')
		return;
	keep(c,
	    &(struct row){.kind = "next_hop",
		.reason = problem,
		.option = "next_hop_auth",
		.help = "next_hop_auth and next_hop_tls in weir.conf(5)",
		.count = -1,
		.never_accepted = NEVER_UNKNOWN},
	    wall);
}

static void
add_shared_node(struct control_conn *c, const struct redis_link_node *node,
    int64_t now, int64_t wall)
{
	char reason[REDIS_HOST_TEXT_MAX + REDIS_LINK_WHY_MAX];

	snprintf(reason, sizeof(reason), "%s: %s", node->at, node->why);
	keep(c,
	    &(struct row){.kind = "shared",
		.reason = reason,
		.option = "shared",
		.help = "start this server of the cluster, or repair the "
			"connection to it; until then each relay decides by "
			"itself about the senders that it has",
		.count = -1,
		.since = wall - (now - node->since),
		.never_accepted = NEVER_UNKNOWN},
	    wall);
}

static void
add_twin(struct control_conn *c, int64_t wall)
{
	const struct control_parts *p = control_parts(c);
	struct control_relays relays;

	if (p->relays == NULL || !p->relays(p->arg, &relays) ||
	    !relays.has_twin)
		return;
	keep(c,
	    &(struct row){.kind = "shared",
		.who = relays.name,
		.reason = "another relay has the same hostname",
		.option = "hostname",
		.help = "give each relay a hostname of its own: hostname in "
			"weir.conf(5)",
		.count = -1,
		.never_accepted = NEVER_UNKNOWN},
	    wall);
}

static void
add_shared(struct control_conn *c, int64_t now, int64_t wall)
{
	const struct control_parts *p = control_parts(c);
	struct redis_link_node node;
	struct freezes_info s;

	add_twin(c, wall);
	if (p->shared == NULL || !p->shared(p->arg, &s))
		return;
	for (size_t i = 0; redis_link_node(s.link, i, &node); i++) {
		if (!node.is_up)
			add_shared_node(c, &node, now, wall);
	}
	if (s.is_up)
		return;
	keep(c,
	    &(struct row){.kind = "shared",
		.reason = s.why[0] != '\0' ? s.why : "not reached yet",
		.option = "shared",
		.help =
		    "start the server, or repair the connection to it; shared "
		    "in weir.conf(5); freezes stay at this relay until then",
		.count = s.waiting > 0 ? (int64_t)s.waiting : -1,
		.since = s.since,
		.never_accepted = NEVER_UNKNOWN},
	    wall);
}

struct walk {
	struct control_conn *c;
	size_t rows;
	int64_t now, wall;
};

static bool
on_command(void *arg, const struct problem *p)
{
	struct walk *w = arg;
	char help[160];

	snprintf(
	    help, sizeof(help), "%s in weir.conf(5), and the log", p->option);
	keep(w->c,
	    &(struct row){.kind = "command",
		.who = p->who,
		.reason = p->why,
		.option = p->option,
		.help = help,
		.count = (int64_t)p->count,
		.last = p->last,
		.never_accepted = NEVER_UNKNOWN},
	    w->wall);
	return true;
}

/* ---- who was refused ---- */

static bool
on_refused(struct walk *w, const struct problem *p, bool is_client)
{
	struct control_conn *c = w->c;
	struct gate_sender_info s = {0};
	bool found = gate_sender_find(
	    control_parts(c)->gate, str_from(p->who), w->now, w->wall, &s);
	char help[HELP_MAX];

	if (w->rows++ >= rows_max(c)) {
		note_more(c);
		return false;
	}
	help_refused(p, s.t.frozen, help);
	keep(c,
	    &(struct row){.kind = is_client ? "client" : "refused",
		.who = p->who,
		.reason = p->why,
		.option = p->option,
		.help = help,
		.count = (int64_t)p->count,
		.last = p->last,
		.accepted_at = s.accepted_at,
		/* A client's mail counts for its login. */
		.never_accepted =
		    is_client && !found
			? NEVER_UNKNOWN
			: s.accepted_at < looked_from(c, w->wall)},
	    w->wall);
	return true;
}

static bool
on_sender(void *arg, const struct problem *p)
{
	return on_refused(arg, p, false);
}

static bool
on_client(void *arg, const struct problem *p)
{
	return on_refused(arg, p, true);
}

static void
add_noted(struct control_conn *c, enum problem_kind kind, int64_t now,
    int64_t wall, bool (*fn)(void *arg, const struct problem *p))
{
	struct walk w = {.c = c, .now = now, .wall = wall};

	problems_each(
	    control_parts(c)->problems, kind, UINT64_MAX, wall, fn, &w);
}

/* ---- the end: all is known ---- */

static void
step_send(struct control_conn *c, int64_t now)
{
	const json_t *rows = kept(c, KEPT_ROWS);
	bool more = json_array_size(c->kept) > KEPT_WAITING + 1;

	(void)now;
	for (; c->cursor < json_array_size(rows); c->cursor++) {
		/* Shared: the list keeps its own reference. */
		if (!control_send(c, "row",
			json_incref(json_array_get(rows, (size_t)c->cursor))))
			return;
	}
	control_done(c,
	    json_pack("{s:o, s:b}", "since",
		control_time(looked_from(c, clock_wall_ms())), "more", more));
}

static void
end_walk(struct control_conn *c, int64_t now)
{
	int64_t wall = clock_wall_ms();

	json_array_extend(kept(c, KEPT_ROWS), kept(c, KEPT_WAITING));
	json_array_clear(kept(c, KEPT_WAITING));
	add_noted(c, PROBLEM_SENDER, now, wall, on_sender);
	add_noted(c, PROBLEM_CLIENT, now, wall, on_client);
	c->cursor = 0;
	c->on_step = step_send;
	step_send(c, now);
}

/* ---- who waits ---- */

static json_int_t
age_of(const json_t *rows, size_t i)
{
	return json_integer_value(
	    json_object_get(json_array_get(rows, i), "age_s"));
}

/* Keeps the longest ones, in order. */
static void
keep_waiting(struct control_conn *c, const struct row *r, int64_t wall)
{
	json_t *waiting = kept(c, KEPT_WAITING), *row = make(r, wall);
	json_int_t age = json_integer_value(json_object_get(row, "age_s"));
	size_t low = 0, high = json_array_size(waiting);

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (age_of(waiting, mid) >= age)
			low = mid + 1;
		else
			high = mid;
	}
	json_array_insert_new(waiting, low, row);
	if (json_array_size(waiting) <= rows_max(c))
		return;
	json_array_remove(waiting, json_array_size(waiting) - 1);
	note_more(c);
}

static void
look_at(struct control_conn *c, const struct gate_sender_info *s, int64_t wall)
{
	struct gate *gate = control_parts(c)->gate;
	char word[NAME_MAX_BYTES], help[HELP_MAX], reason[512];
	struct row r = {.kind = s->t.frozen ? "frozen" : "held",
	    .who = s->sender,
	    .reason = reason,
	    .help = help,
	    .count = s->waiting,
	    .since = s->frozen_at,
	    .next = s->t.frozen ? s->thaw_at : s->next_release,
	    .accepted_at = s->accepted_at,
	    .never_accepted = s->accepted_at < looked_from(c, wall)};

	if (!s->t.frozen && s->waiting == 0)
		return;
	r.oldest = gate_sender_oldest(gate, s->sender);
	if (!s->t.frozen && (r.oldest == 0 || wall - r.oldest < LONG_MS))
		return;
	shell_word(str_from(s->sender), word);
	if (s->t.frozen) {
		snprintf(reason, sizeof(reason), "%s%s%s",
		    control_freeze_reason(s->t.freeze_reason),
		    s->freeze_note != NULL ? ": " : "",
		    s->freeze_note != NULL ? s->freeze_note : "");
		snprintf(help, sizeof(help), "weirctl show %s; weirctl thaw %s",
		    word, word);
	} else {
		snprintf(reason, sizeof(reason),
		    "more recipients than its limits release");
		snprintf(help, sizeof(help),
		    "weirctl show %s; weirctl release --sender %s", word, word);
	}
	keep_waiting(c, &r, wall);
}

static void
step_senders(struct control_conn *c, int64_t now)
{
	struct gate *gate = control_parts(c)->gate;
	int64_t wall = clock_wall_ms();
	struct gate_sender_info s;

	for (int i = 0; i < LOOK_MAX; i++) {
		size_t at = (size_t)c->cursor;

		if (!gate_sender_each(gate, &at, now, wall, &s)) {
			end_walk(c, now);
			return;
		}
		c->cursor = at;
		look_at(c, &s, wall);
	}
}

/* ---- what is deferred ---- */

static void
on_deferred(void *arg, int error, const struct spool_deferred *rows, size_t n)
{
	struct control_conn *c = arg;
	int64_t wall = clock_wall_ms();

	if (!control_resume(c))
		return;
	if (error != 0) {
		control_fail_errno(c, error);
		return;
	}
	for (size_t i = 0; i < n && i < rows_max(c); i++)
		keep(c,
		    &(struct row){.kind = "deferred",
			.reason = rows[i].error,
			.help = "the next hop's log; weirctl queue; weirctl "
				"flush when that is fixed",
			.count = (int64_t)rows[i].recipients,
			.oldest = rows[i].oldest,
			.never_accepted = NEVER_UNKNOWN},
		    wall);
	if (n > rows_max(c))
		note_more(c);
	c->cursor = 0;
	c->on_step = step_senders;
}

void
control_problems(struct control_conn *c, int64_t now)
{
	const struct control_parts *p = control_parts(c);
	int64_t wall = clock_wall_ms();

	c->kept = json_pack("[[], []]");
	add_disk(c, wall);
	add_next_hop(c, p->nexthop, "next_hop", now, wall);
	add_next_hop(c, p->rest_hop, "milter_next_hop", now, wall);
	add_login(c, wall);
	add_shared(c, now, wall);
	add_noted(c, PROBLEM_COMMAND, now, wall, on_command);
	control_wait(c);
	spool_deferred(p->spool, on_deferred, c);
}
