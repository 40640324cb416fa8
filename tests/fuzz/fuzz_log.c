/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: logs of mail servers, through heads, readers and the table of
 * messages. Where the input is cut makes no difference, each line becomes one
 * thing, and what comes out has a recipient and names that are there.
 */
#include "fuzz.h"

#include "replay/feed.h"

#include <stdlib.h>

#define NEWEST INT64_C(1795910400000)
#define TABLE 8 /* messages: a full table is of interest, too */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const unsigned fuzz_runs = 20000;

struct outcome {
	struct names *names;
	struct feed_stats stats;
	struct join_stats joined;
	uint64_t recipients, sum;
};

static void
on_message(void *arg, const struct join_message *m)
{
	struct outcome *o = arg;

	fuzz_check(m->count > 0, "no recipient");
	fuzz_check(m->user <= names_count(o->names), "a login");
	fuzz_check(m->sender <= names_count(o->names), "a sender");
	for (uint32_t i = 0; i < m->count; i++) {
		fuzz_check(m->recipients[i] > 0 &&
			       m->recipients[i] <= names_count(o->names),
		    "a recipient");
		o->sum = o->sum * 31 + m->recipients[i];
	}
	o->recipients += m->count;
	o->sum = o->sum * 31 + (uint64_t)m->at + m->key + m->user;
}

static void
take(struct outcome *o, const struct reader *format, struct str in, size_t step)
{
	struct join_settings settings = {
	    .messages_max = TABLE, .on_message = on_message, .arg = o};
	struct join *join;
	struct feed *feed;

	*o = (struct outcome){.names = names_new()};
	settings.names = o->names;
	join = join_new(&settings);
	feed = feed_new(format, join);
	feed_begin(feed, "in", 0, NEWEST, 0);
	for (size_t i = 0; i < in.n; i += step)
		feed_push(feed, str_sub(in, i, step));
	feed_end(feed);
	join_end(join);
	o->stats = *feed_stats(feed);
	o->joined = *join_stats(join);
	feed_free(feed);
	join_free(join);
}

static void
check_same(const struct outcome *a, const struct outcome *b)
{
	uint64_t uses = 0;

	fuzz_check(a->stats.lines == b->stats.lines, "lines differ");
	fuzz_check(a->joined.messages == b->joined.messages &&
		       a->recipients == b->recipients && a->sum == b->sum,
	    "messages differ");
	for (int i = 0; i < READER_USES; i++)
		uses += a->stats.uses[i];
	fuzz_check(uses == a->stats.lines, "a line is lost, or counts twice");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	unsigned which = fuzz_byte(&in), count = 0;
	size_t step = 1 + fuzz_byte(&in);
	const struct reader *format;
	struct outcome whole, cut;

	while (reader_list[count] != NULL)
		count++;
	/* The byte past the last stands for auto. */
	format = reader_list[which % (count + 1)];
	take(&whole, format, in, in.n > 0 ? in.n : 1);
	take(&cut, format, in, step);
	check_same(&whole, &cut);
	names_free(whole.names);
	names_free(cut.names);
	return 0;
}
