/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gate as a whole: its settings, their exchange at a reload, and the run
 * that pays for what is due. Nothing here looks at an idle source but the sweep
 * that forgets them, a few thousand places of the table at a time.
 */
#include "gate/gate.h"

#include "base/hash.h"
#include "gate/gate_load.h"
#include "gate/gate_recall.h"
#include "gate/gate_scope_shared.h"
#include "gate/gate_tier.h"

#include <stdlib.h>

#define SAVES_PER_RUN 256
#define REFRESH_STEPS 1024
#define REFRESH_EVERY_MS 20
#define EXPIRE_EVERY_MS 10000
#define EXPIRE_STEPS 4096
#define RETRY_MOST_MS 60000
#define LONG_AGO (INT64_MIN / 2)

static const struct throttle_callbacks throttle_callbacks = {
    .on_release = release_on_throttle,
    .may_release = gate_scope_may_release,
    .on_freeze = freeze_on_throttle,
    .on_spare = freeze_on_spare,
    .on_expire = source_on_expire,
    .may_expire = source_may_expire,
};

/* The new set is taken before the old one is given back: they may be one. */
static void
take_settings(struct gate *g, const struct gate_settings *settings)
{
	struct policies *was = g->policies;
	struct locals *locals_was = g->locals;

	if (settings->recipient_key == NULL)
		panic("gate: settings without recipient_key");
	g->policies = policies_ref(settings->policies);
	policies_free(was);
	free(g->contact);
	g->contact =
	    settings->contact != NULL ? xstrdup(settings->contact) : NULL;
	g->observe = settings->observe;
	g->senders_max = settings->senders_max;
	g->login_form = settings->login_form;
	g->recipient_key = settings->recipient_key;
	g->locals =
	    settings->locals != NULL ? locals_ref(settings->locals) : NULL;
	locals_free(locals_was);
	history_set_bytes_max(g->history, settings->history_bytes);
	reached_set_memory(
	    g, settings->acquaintances_bytes, settings->acquaintances_scratch);
	scope_book_set_rules(g->scopes, settings->scopes, g->now);
}

struct gate *
gate_new(const struct gate_settings *settings, struct spool *spool,
    struct events *events, struct counters *counters, struct log *log,
    const struct gate_callbacks *callbacks, void *arg)
{
	struct gate *g = xcalloc(1, sizeof(*g));

	g->spool = spool;
	g->events = events;
	g->counters = counters;
	g->log = log;
	g->callbacks = callbacks;
	g->arg = arg;
	g->seed = spool_seed(spool);
	list_init(&g->dirty);
	list_init(&g->near);
	list_init(&g->secures);
	list_init(&g->freezes);
	list_init(&g->releases);
	list_init(&g->admin);
	list_init(&g->hands);
	list_init(&g->recalls);
	list_init(&g->shared_asks);
	list_init(&g->shared_sources);
	list_init(&g->shared_touched);
	list_init(&g->scope_asks);
	list_init(&g->scope_joins);
	g->shared_due = INT64_MAX;
	g->touch_due = INT64_MAX;
	g->hands_due = INT64_MAX;
	g->now = LONG_AGO;
	g->full_told_at = LONG_AGO;
	g->expire_due = LONG_AGO;
	g->save_due = INT64_MAX;
	g->retry_due = INT64_MAX;
	g->refresh_due = INT64_MAX;
	g->scopes_due = INT64_MAX;
	g->signals_due = INT64_MAX;
	g->told_due = INT64_MAX;
	g->answers = answers_new(g->seed);
	g->spellings = spellings_new();
	g->history = history_new(0);
	g->scopes = scope_book_new();
	g->signals = signals_book_new(spool_key(spool));
	take_settings(g, settings);
	/* The gate itself counts senders: some are let in past senders_max. */
	g->throttle =
	    throttle_new(hash_random_seed(), SIZE_MAX, &throttle_callbacks, g);
	g->familiar =
	    throttle_new(hash_random_seed(), SIZE_MAX, &tier_callbacks, g);
	return g;
}

void
gate_free(struct gate *g)
{
	if (g == NULL)
		return;
	secure_clear(g);
	freeze_clear(g);
	release_clear(g);
	admin_clear(g);
	recall_clear(g);
	load_clear(g);
	shared_clear(g);
	scope_asks_clear(g);
	g->is_quiet = true;
	throttle_free(g->familiar); /* its sources pin the other's */
	throttle_free(g->throttle);
	acquaintances_free(g->acquaintances);
	answers_free(g->answers);
	spellings_free(g->spellings);
	history_free(g->history);
	scope_book_free(g->scopes);
	signals_book_free(g->signals);
	policies_free(g->policies);
	locals_free(g->locals);
	free(g->contact);
	free(g);
}

struct history *
gate_history(struct gate *g)
{
	return g->history;
}

/* ---- reload ---- */

static void
reload_source(struct gate *g, struct throttle_source *src, bool was_observing)
{
	if (source_queue(g, src) == 0 && !freeze_is_on(src))
		return;
	source_refresh(g, src);
	/* In enforce mode what waits without mail was put off, and stays. */
	if (was_observing && !g->observe)
		freeze_drop_observed(g, src);
}

void
gate_reload(struct gate *g, const struct gate_settings *settings, int64_t now)
{
	bool was_observing = g->observe;
	struct throttle_source *src;
	size_t pos = 0;

	g->now = now;
	take_settings(g, settings);
	while ((src = throttle_each(g->throttle, &pos)) != NULL)
		reload_source(g, src, was_observing);
	g->refresh_pos = 0;
	g->refresh_due = now;
	gate_changed(g);
}

/* Idle ones follow a few at a time, or when somebody asks about one: there may
 * be millions, and the loop must not stand still for them. */
static void
refresh_some(struct gate *g)
{
	for (unsigned i = 0; i < REFRESH_STEPS; i++) {
		struct throttle_source *src =
		    throttle_each(g->throttle, &g->refresh_pos);

		if (src == NULL) {
			g->refresh_due = INT64_MAX;
			return;
		}
		source_refresh(g, src);
	}
	g->refresh_due = g->now + REFRESH_EVERY_MS;
}

/* ---- the run ---- */

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t
gate_next_work(const struct gate *g)
{
	int64_t due = earlier(g->retry_due, g->refresh_due);

	if (g->load != NULL) {
		due = earlier(due, load_next_due(g));
	} else {
		due = earlier(due, throttle_next_due(g->throttle));
		due = earlier(due, throttle_next_due(g->familiar));
		due = earlier(due, g->hands_due);
		due = earlier(due, earlier(g->shared_due, g->touch_due));
	}
	return earlier(due, acquaintances_next_due(g->acquaintances));
}

int64_t
gate_next_due(const struct gate *g)
{
	int64_t due = earlier(gate_next_work(g), g->save_due);

	due = earlier(due, earlier(g->scopes_due, g->signals_due));
	if (throttle_source_count(g->throttle) > 0 && g->load == NULL)
		due = earlier(due, g->expire_due);
	return due;
}

void
gate_retry_at(struct gate *g, int64_t at)
{
	g->retry_due = earlier(g->retry_due, at);
}

void
gate_retry_later(struct gate *g, int64_t *retry_at, int64_t *delay)
{
	*retry_at = g->now + *delay;
	*delay = earlier(*delay * 2, RETRY_MOST_MS);
	gate_retry_at(g, *retry_at);
}

void
gate_run(struct gate *g, int64_t now, int64_t wall)
{
	g->now = now;
	if (g->retry_due <= now) {
		g->retry_due = INT64_MAX;
		release_retry(g, now, wall);
		freeze_retry(g, now);
		load_retry(g, now);
	}
	g->wall = wall;
	load_run(g);
	if (g->load == NULL) {
		if (g->hands_due <= now)
			hand_run(g, now, wall);
		shared_run(g, now, wall);
		release_run(g, now, wall);
	}
	if (g->refresh_due <= now)
		refresh_some(g);
	if (g->save_due <= now)
		source_save_some(g, SAVES_PER_RUN, now, wall);
	if (g->scopes_due <= now)
		gate_scope_save(g, NULL, SAVES_PER_RUN, now, wall);
	if (g->signals_due <= now)
		signal_save_some(g, SAVES_PER_RUN, now, wall);
	acquaintances_run(g->acquaintances, now, wall);
	if (g->expire_due <= now && g->load == NULL) {
		throttle_expire(g->familiar, now, EXPIRE_STEPS);
		throttle_expire(g->throttle, now, EXPIRE_STEPS);
		acquaintances_sweep(g->acquaintances, now, wall);
		scope_sweep(g->scopes, EXPIRE_STEPS, now);
		signal_sweep(g, EXPIRE_STEPS, now);
		warn_sweep(g, EXPIRE_STEPS, now, wall);
		gate_scope_touch(g);
		g->expire_due = now + EXPIRE_EVERY_MS;
	}
	g->told_due = gate_next_due(g);
	gate_changed(g);
}

void
gate_save(struct gate *g, int64_t now, int64_t wall)
{
	g->now = now;
	source_save_some(g, SIZE_MAX, now, wall);
	acquaintances_save(g->acquaintances, wall);
	gate_scope_save(g, NULL, SIZE_MAX, now, wall);
	signal_save_some(g, SIZE_MAX, now, wall);
}
