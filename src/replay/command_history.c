/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-replay history: the last day under another configuration. weirctl
 * explain --policy runs it.
 */
#include "replay/command.h"
#include "replay/input.h"
#include "replay/past_run.h"
#include "replay/setup.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* Nothing to say of the others. */
static bool
is_touched(const struct past_sender *s)
{
	return s->waits > 0 || s->waited > 0 || s->refused > 0 ||
	       s->frozen_at != 0;
}

/* The most touched first. */
static int
by_weight(const void *a, const void *b)
{
	const struct past_sender *x = a, *y = b;

	if ((x->frozen_at != 0) != (y->frozen_at != 0))
		return x->frozen_at != 0 ? -1 : 1;
	if (x->waits + x->refused != y->waits + y->refused)
		return x->waits + x->refused > y->waits + y->refused ? -1 : 1;
	return strcmp(x->source.p, y->source.p);
}

/* ---- JSON ---- */

static json_t *
time_of(int64_t wall)
{
	char text[UNITS_TEXT_MAX];

	return wall != 0 ? json_string(units_format_time(wall, text))
			 : json_null();
}

static json_t *
json_sender(const struct past_sender *s)
{
	return json_pack(
	    "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:s?}",
	    "sender", s->source.p, "policy", s->policy, "messages",
	    (json_int_t)s->messages, "recipients", (json_int_t)s->recipients,
	    "waited", (json_int_t)s->waited, "would_wait", (json_int_t)s->waits,
	    "would_stay", (json_int_t)s->never, "would_be_refused",
	    (json_int_t)s->refused, "longest_wait_s", (double)s->longest / 1000,
	    "would_be_frozen_at", time_of(s->frozen_at), "reason", s->reason);
}

static bool
print_json(const struct past_result *r)
{
	json_t *senders = json_array(), *all;
	bool ok;

	for (uint32_t i = 0; i < r->count; i++) {
		if (is_touched(&r->senders[i]))
			json_array_append_new(
			    senders, json_sender(&r->senders[i]));
	}
	all = json_pack("{s:o, s:o, s:I, s:I, s:I, s:o}", "from",
	    time_of(r->began), "to", time_of(r->ended), "messages",
	    (json_int_t)r->messages, "recipients", (json_int_t)r->recipients,
	    "senders", (json_int_t)r->count, "touched", senders);
	ok = json_dumpf(all, stdout, JSON_INDENT(1)) == 0 && puts("") >= 0;
	json_decref(all);
	return ok && fflush(stdout) == 0;
}

/* ---- text ---- */

/* Names are written by whoever sends. */
static void
print_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		putchar(c >= 0x20 && c != 0x7f ? c : '?');
	}
}

static void
print_sender(const struct past_sender *s)
{
	char text[UNITS_TEXT_MAX];

	print_name(s->source);
	printf(" (policy %s): %" PRIu64 " of %" PRIu64 " recipients would wait",
	    s->policy, s->waits, s->recipients);
	if (s->longest > 0)
		printf(", up to %s", units_format_duration(s->longest, text));
	if (s->never > 0)
		printf(", %" PRIu64 " until somebody releases them", s->never);
	if (s->waited != s->waits)
		printf(" (%" PRIu64 " did)", s->waited);
	if (s->refused > 0)
		printf("; %" PRIu64 " would be refused", s->refused);
	if (s->frozen_at != 0)
		printf("; would be frozen at %s: %s",
		    units_format_time(s->frozen_at, text), s->reason);
	putchar('\n');
}

static bool
print_text(const struct past_result *r)
{
	char from[UNITS_TEXT_MAX], to[UNITS_TEXT_MAX];
	uint64_t waits = 0, waited = 0, frozen = 0, touched = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		const struct past_sender *s = &r->senders[i];

		waits += s->waits;
		waited += s->waited;
		frozen += s->frozen_at != 0;
		touched += is_touched(s);
	}
	printf("mail from %s to %s: %" PRIu64 " messages to %" PRIu64
	       " recipients by %" PRIu32 " senders\n",
	    units_format_time(r->began, from), units_format_time(r->ended, to),
	    r->messages, r->recipients, r->count);
	printf("%" PRIu64 " recipients would wait (%" PRIu64 " did), %" PRIu64
	       " senders would be frozen\n",
	    waits, waited, frozen);
	if (touched > 0)
		putchar('\n');
	for (uint32_t i = 0; i < r->count; i++) {
		if (is_touched(&r->senders[i]))
			print_sender(&r->senders[i]);
	}
	return fflush(stdout) == 0 && !ferror(stdout);
}

int
command_history(const struct command_args *args, char *err, size_t cap)
{
	struct past past = {0};
	struct past_result result = {0};
	struct setup setup;
	int status = setup_load(&setup, args->config, args->policy, err, cap);
	bool ok = true;

	if (status == 0)
		status =
		    input_read(args->files[0], past_add_line, &past, err, cap);
	if (status == 0 && past.count == 0) {
		snprintf(err, cap, "%s: holds no message", args->files[0]);
		status = EX_DATAERR;
	}
	if (status == 0)
		status = past_run(
		    &past, &setup.world, args->stop, &result, err, cap);
	if (status == 0) {
		qsort(result.senders, result.count, sizeof(*result.senders),
		    by_weight);
		ok = args->json ? print_json(&result) : print_text(&result);
	}
	if (!ok) {
		snprintf(err, cap, "the report cannot be written");
		status = EX_IOERR;
	}
	past_result_clear(&result);
	past_clear(&past);
	setup_clear(&setup);
	return status;
}
