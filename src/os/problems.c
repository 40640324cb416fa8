/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A list a kind, what happened last at its end, and one map for all. The hour
 * is counted in buckets of five minutes by the wall clock; when that is set
 * back, counting goes on in the bucket that is open.
 */
#include "os/problems.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 12
#define BUCKET_MS (PROBLEMS_SPAN_MS / BUCKETS)
#define WHO_MAX 520 /* any source, behind its kind */
#define WHY_MAX 256

const size_t problems_max[PROBLEM_KINDS] = {
    [PROBLEM_SENDER] = 4096,
    [PROBLEM_CLIENT] = 1024,
    [PROBLEM_COMMAND] = 16,
};

struct entry {
	struct list mates;
	char *key, *why;
	const char *who; /* within the key */
	const char *option;
	uint64_t seq;
	int64_t last;
	int64_t bucket; /* the open one, counted from the epoch */
	uint32_t counts[BUCKETS];
};

struct problems {
	struct list of_kind[PROBLEM_KINDS];
	size_t count[PROBLEM_KINDS];
	struct map *entries; /* by key: the kind's digit and who */
	uint64_t last_seq;
	struct event_follower follower;
};

static void
entry_free(struct entry *e)
{
	list_remove(&e->mates);
	free(e->key);
	free(e->why);
	free(e);
}

static struct entry *
entry_of(const struct list *mates)
{
	return LIST_ITEM(mates, struct entry, mates);
}

static struct entry *
add_entry(struct problems *p, enum problem_kind kind, const char *key)
{
	struct entry *e;

	if (p->count[kind] == problems_max[kind]) {
		e = entry_of(p->of_kind[kind].next);
		map_remove(p->entries, str_from(e->key));
		entry_free(e);
		p->count[kind]--;
	}
	e = xcalloc(1, sizeof(*e));
	list_init(&e->mates);
	e->key = xstrdup(key);
	e->who = e->key + 1;
	map_set(p->entries, str_from(key), e);
	p->count[kind]++;
	return e;
}

/* Empties what is older than the hour, and opens the bucket of that time. */
static void
turn(struct entry *e, int64_t wall)
{
	int64_t bucket = wall / BUCKET_MS;

	if (bucket - e->bucket >= BUCKETS)
		memset(e->counts, 0, sizeof(e->counts));
	for (int64_t b = e->bucket + 1;
	     b <= bucket && bucket - e->bucket < BUCKETS; b++)
		e->counts[b % BUCKETS] = 0;
	if (bucket > e->bucket)
		e->bucket = bucket;
}

void
problems_note(struct problems *p, enum problem_kind kind, const char *who,
    const char *option, const char *why, int64_t wall)
{
	char key[WHO_MAX];
	struct entry *e;

	if (wall < 0)
		wall = 0;
	snprintf(key, sizeof(key), "%d%s", (int)kind, who);
	e = map_find(p->entries, str_from(key));
	if (e == NULL)
		e = add_entry(p, kind, key);
	turn(e, wall);
	if (e->counts[e->bucket % BUCKETS] < UINT32_MAX)
		e->counts[e->bucket % BUCKETS]++;
	if (option != NULL || e->option == NULL ||
	    wall - e->last > PROBLEMS_SPAN_MS) {
		free(e->why);
		e->why = str_dup(str_sub(str_from(why), 0, WHY_MAX));
		e->option = option;
	}
	e->last = wall;
	e->seq = ++p->last_seq;
	list_remove(&e->mates);
	list_append(&p->of_kind[kind], &e->mates);
}

static uint64_t
count_of(const struct entry *e, int64_t wall)
{
	struct entry now = *e;
	uint64_t n = 0;

	turn(&now, wall);
	for (size_t i = 0; i < BUCKETS; i++)
		n += now.counts[i];
	return n;
}

void
problems_each(const struct problems *p, enum problem_kind kind, uint64_t seq,
    int64_t wall, bool (*fn)(void *arg, const struct problem *problem),
    void *arg)
{
	const struct list *all = &p->of_kind[kind];

	for (const struct list *l = all->prev; l != all; l = l->prev) {
		const struct entry *e = LIST_ITEM(l, struct entry, mates);
		struct problem problem = {.seq = e->seq,
		    .who = e->who,
		    .option = e->option,
		    .why = e->why,
		    .count = count_of(e, wall),
		    .last = e->last};

		if (e->seq >= seq || problem.count == 0)
			continue;
		if (!fn(arg, &problem))
			return;
	}
}

/* ---- events ---- */

static void
on_event(void *arg, const struct event_item *item)
{
	static const struct {
		enum event_type type;
		enum problem_kind kind;
	} heard[] = {{EVENT_REFUSE, PROBLEM_SENDER},
	    {EVENT_LIMIT, PROBLEM_CLIENT}, {EVENT_COMMAND, PROBLEM_COMMAND}};

	for (size_t i = 0; i < ARRAY_LEN(heard); i++) {
		if (heard[i].type == item->type)
			problems_note(arg, heard[i].kind, item->sender,
			    item->option, item->detail, item->at);
	}
}

struct problems *
problems_new(struct events *events)
{
	struct problems *p = xcalloc(1, sizeof(*p));

	for (size_t k = 0; k < PROBLEM_KINDS; k++)
		list_init(&p->of_kind[k]);
	p->entries = map_new();
	p->follower.on_event = on_event;
	p->follower.arg = p;
	events_follow(events, &p->follower);
	return p;
}

void
problems_free(struct problems *p)
{
	if (p == NULL)
		return;
	events_unfollow(&p->follower);
	for (size_t k = 0; k < PROBLEM_KINDS; k++) {
		while (!list_is_empty(&p->of_kind[k]))
			entry_free(entry_of(p->of_kind[k].next));
	}
	map_free(p->entries, NULL);
	free(p);
}
