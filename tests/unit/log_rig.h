/* SPDX-License-Identifier: BSD-3-Clause */
/* Logs as text in, what was sent as text out. One test at a time. */
#ifndef TESTS_LOG_RIG_H
#define TESTS_LOG_RIG_H

#include "base/units.h"
#include "replay/feed.h"
#include "replay/submissions.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2026-11-29T00:00:00Z, when the files were last written. */
#define RIG_NEWEST INT64_C(1795910400000)

static struct {
	struct submissions s;
	struct locals *locals;
	struct join *join;
	struct feed *feed;
	uint32_t files;
	struct feed_stats stats;
	struct join_stats joined;
	char text[8192];
} rig;

static void
rig_begin_bounded(size_t messages_max)
{
	struct join_settings join = {.messages_max = messages_max,
	    .on_message = submissions_add,
	    .arg = &rig.s};
	struct err err;

	setenv("TZ", "UTC0", 1);
	memset(&rig, 0, sizeof(rig));
	submissions_init(&rig.s);
	join.names = rig.s.names;
	rig.join = join_new(&join);
	rig.feed = feed_new(NULL, rig.join);
	rig.locals = locals_new(LOCALS_ADDRESS, smtp_address_key);
	if (!locals_add_domain(rig.locals, STR("example.org"), ERR_ROOM(&err)))
		abort();
}

static void
rig_begin(void)
{
	rig_begin_bounded(0);
}

/* In pieces of so many bytes. */
static void
rig_file_cut(struct str text, size_t step)
{
	feed_begin(rig.feed, "log", rig.files++, RIG_NEWEST, 0);
	for (size_t i = 0; i < text.n; i += step)
		feed_push(rig.feed, str_sub(text, i, step));
	feed_end(rig.feed);
}

static void
rig_file(const char *text)
{
	rig_file_cut(str_from(text), strlen(text) + 1);
}

static void
rig_say(const char *text)
{
	size_t n = strlen(rig.text);

	snprintf(rig.text + n, sizeof(rig.text) - n, "%s", text);
}

static void
rig_say_name(uint32_t id)
{
	char shown[300];

	rig_say(id == 0 ? "<>"
			: str_escape(names_text(rig.s.names, id), shown,
			      sizeof(shown)));
}

/* "2026-11-28T19:19:32Z alice@example.org: bob@example.net carol@...\n"; with
 * "in" before the sender where it comes in. */
static const char *
rig_end(void)
{
	const struct trace *t = &rig.s.trace;

	join_end(rig.join);
	rig.stats = *feed_stats(rig.feed);
	rig.joined = *join_stats(rig.join);
	submissions_finish(&rig.s, rig.locals);
	for (uint32_t i = 0; i < t->message_count; i++) {
		const struct trace_message *m = &t->messages[i];
		const struct submission *sent = &rig.s.v[rig.s.of[i]];
		char at[UNITS_TEXT_MAX];

		rig_say(units_format_time(sent->at, at));
		rig_say(sent->comes_in ? " in " : " ");
		rig_say_name(m->sender);
		rig_say(":");
		for (uint32_t k = 0; k < m->count; k++) {
			rig_say(" ");
			rig_say_name(t->recipients[m->first + k]);
		}
		rig_say("\n");
	}
	return rig.text;
}

static void
rig_clear(void)
{
	feed_free(rig.feed);
	join_free(rig.join);
	locals_free(rig.locals);
	submissions_clear(&rig.s);
}

#endif
