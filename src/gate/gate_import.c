/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acquaintances that an administrator hands in. They are saved when the rows of
 * all their senders have been read, since nothing is written over a row that
 * was not.
 */
#include "base/hash.h"
#include "gate/gate_recall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_MAX_MS ACQUAINTANCE_DAY_MS /* clocks differ */

struct gate_import {
	struct gate *g;
	char *who;
	int64_t now, wall;
	uint64_t count;
	size_t waiting; /* rows that are read, and one until the end */
	int error;
	char last[GATE_KEY_MAX]; /* whose row was asked for last */
	gate_done_fn *fn;
	void *arg;
};

struct import_wait {
	struct recall recall;
	struct gate_import *import;
};

struct gate_import *
gate_import_new(struct gate *g, const char *who, int64_t now, int64_t wall)
{
	struct gate_import *im = xcalloc(1, sizeof(*im));

	g->now = now;
	im->g = g;
	im->who = xstrdup(who);
	im->now = now;
	im->wall = wall;
	im->waiting = 1;
	return im;
}

static void
import_free(struct gate_import *im)
{
	free(im->who);
	free(im);
}

/* One less to wait for. */
static void
go_on(struct gate_import *im)
{
	if (--im->waiting > 0)
		return;
	if (im->error != 0)
		im->fn(im->arg, im->error, im->count);
	else
		admin_learn(
		    im->g, im->who, im->count, im->wall, im->fn, im->arg);
	import_free(im);
}

static void
on_recalled(struct recall *r, bool is_read)
{
	struct import_wait *wait = CONTAINER_OF(r, struct import_wait, recall);

	if (!is_read)
		wait->import->error = EIO;
	go_on(wait->import);
	free(wait);
}

static void
on_dropped(struct recall *r)
{
	struct import_wait *wait = CONTAINER_OF(r, struct import_wait, recall);

	if (--wait->import->waiting == 0)
		import_free(wait->import);
	free(wait);
}

static void
wait_for_row(struct gate_import *im, const char *key)
{
	struct import_wait *wait;

	if (strcmp(im->last, key) == 0)
		return;
	str_copy(str_from(key), im->last, sizeof(im->last));
	wait = xcalloc(1, sizeof(*wait));
	wait->recall.fn = on_recalled;
	wait->recall.drop = on_dropped;
	wait->import = im;
	im->waiting++;
	recall_begin(im->g, str_from(key), im->wall, &wait->recall);
}

static enum gate_imported
learn(struct gate_import *im, const struct policy *policy, const char *key,
    struct str to, int64_t last)
{
	struct gate *g = im->g;

	if (last > im->wall + AHEAD_MAX_MS)
		return GATE_IMPORT_FUTURE;
	if (last > im->wall)
		last = im->wall;
	if (im->wall - last > policy->familiar_for_ms)
		return GATE_IMPORT_OLD;
	if (!acquaintances_add_shared(g->acquaintances, str_from(key),
		hash_str(to, g->seed),
		g->share_ops != NULL
		    ? g->share_ops->destination(g->share_arg, to)
		    : 0,
		ACQUAINTANCE_IMPORTED, last))
		return GATE_IMPORT_FULL;
	im->count++;
	wait_for_row(im, key);
	return GATE_IMPORT_TAKEN;
}

enum gate_imported
gate_import_add(struct gate_import *im, struct str sender, struct str recipient,
    int64_t last)
{
	char key[GATE_KEY_MAX], text[GATE_RECIPIENT_MAX];
	const struct policy *policy;
	struct throttle_source *src;
	struct gate *g = im->g;
	struct str to = {.p = text};

	source_resolve(g, sender, key);
	if (key[0] == '\0')
		return GATE_IMPORT_NOBODY;
	src = source_find(g, str_from(key));
	policy = src != NULL
		     ? source_policy(src)
		     : source_choose_policy(g, str_from(key), (struct str){0});
	if (!g->remembers || !policy->remembers || policy->familiar_for_ms == 0)
		return GATE_IMPORT_NONE_KEPT;
	to.n = g->recipient_key(recipient, policy->conf->fold_tags, text);
	if (to.n == 0)
		return GATE_IMPORT_NOBODY;
	return learn(im, policy, key, to, last);
}

void
gate_import_end(struct gate_import *im, gate_done_fn *fn, void *arg)
{
	im->fn = fn;
	im->arg = arg;
	go_on(im);
}
