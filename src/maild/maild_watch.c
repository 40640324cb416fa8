/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What nobody tells of by itself: the disk, the next hops, the certificates.
 * Each is an event and an alert when it begins, and when it is over. A next
 * hop counts as down when it has failed for ten seconds. What was so before
 * the start is taken up again, or is over after half a minute.
 */
#include "maild/maild_internal.h"

#include "base/map.h"
#include "base/units.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 2000
#define DOWN_MS 10000
#define SETTLE_MS 30000
#define HOPS_MAX 32

struct hop_watch {
	char name[320], why[200];
	int64_t since; /* now */
	bool is_reported, is_seen;
};

struct maild_watch {
	struct hop_watch hops[HOPS_MAX];
	size_t hop_count;
	bool is_short;
	bool is_asking; /* for the oldest message that is held */
	int64_t settled_at;
};

static void
look_at_disk(struct maild *m)
{
	struct maild_watch *w = m->watch;
	bool is_short = spool_is_short(m->spool);
	char text[160], left[UNITS_TEXT_MAX], floor[UNITS_TEXT_MAX];
	struct spool_stats stats;

	if (is_short == w->is_short)
		return;
	w->is_short = is_short;
	spool_stats(m->spool, &stats);
	snprintf(text, sizeof(text), "%s free, min_free is %s",
	    units_format_size(stats.free_bytes, left),
	    units_format_size(m->first->conf->spool.min_free_bytes, floor));
	events_add(m->events, clock_wall_ms(), EVENT_DISK, "", "", "%s", text);
	if (is_short)
		maild_alert_raise(
		    m, ALERT_DISK, m->first->conf->spool.dir, text);
	else
		maild_alert_end(m, ALERT_DISK, m->first->conf->spool.dir);
}

/* ---- next hops ---- */

static void
note_down(struct maild_watch *w, const struct nexthop_place *down, int64_t now)
{
	struct hop_watch *h = NULL;

	for (size_t i = 0; i < w->hop_count && h == NULL; i++) {
		if (strcmp(w->hops[i].name, down->name) == 0)
			h = &w->hops[i];
	}
	if (h == NULL) {
		if (w->hop_count == HOPS_MAX)
			return;
		h = &w->hops[w->hop_count++];
		*h = (struct hop_watch){.since = now};
		str_copy(str_from(down->name), h->name, sizeof(h->name));
	}
	str_copy(str_from(down->why), h->why, sizeof(h->why));
	h->is_seen = true;
}

static void
note_pool(struct maild_watch *w, const struct nexthop *pool, int64_t now)
{
	struct nexthop_place place;
	size_t pos = 0;

	while (pool != NULL && nexthop_each(pool, &pos, &place)) {
		if (place.is_down)
			note_down(w, &place, now);
	}
}

static void
look_at_hops(struct maild *m, int64_t now)
{
	struct maild_watch *w = m->watch;
	size_t kept = 0;

	for (size_t i = 0; i < w->hop_count; i++)
		w->hops[i].is_seen = false;
	note_pool(w, m->nexthop, now);
	note_pool(w, m->rest_hop, now);
	for (size_t i = 0; i < w->hop_count; i++) {
		struct hop_watch *h = &w->hops[i];

		if (h->is_seen) {
			if (!h->is_reported && now - h->since >= DOWN_MS) {
				h->is_reported = true;
				events_add(m->events, clock_wall_ms(),
				    EVENT_NEXT_HOP, "", "", "%s: %s", h->name,
				    h->why);
				maild_alert_raise(
				    m, ALERT_NEXT_HOP, h->name, h->why);
			}
			w->hops[kept++] = *h;
		} else if (h->is_reported) {
			events_add(m->events, clock_wall_ms(), EVENT_NEXT_HOP,
			    "", "", "%s is back", h->name);
			maild_alert_end(m, ALERT_NEXT_HOP, h->name);
		}
	}
	w->hop_count = kept;
}

/* What the daemon before this one saw, and this one does not. */
static void
settle(struct maild *m, int64_t now)
{
	struct maild_watch *w = m->watch;
	struct map *open = map_new();
	char *shown;

	for (size_t i = 0; i < w->hop_count; i++) {
		shown = alert_shown(w->hops[i].name);
		map_set(open, str_from(shown), w);
		free(shown);
	}
	alert_end_others(m->alert, ALERT_NEXT_HOP, open, now, clock_wall_ms());
	if (w->is_short) {
		shown = alert_shown(m->first->conf->spool.dir);
		map_set(open, str_from(shown), w);
		free(shown);
	}
	alert_end_others(m->alert, ALERT_DISK, open, now, clock_wall_ms());
	shown = alert_shown(m->config_file);
	map_remove(open, str_from(shown));
	free(shown);
	/* It has just read its configuration. */
	alert_end_others(
	    m->alert, ALERT_RELOAD_FAILED, open, now, clock_wall_ms());
	if (m->first->conf->shared != NULL) {
		shown = alert_shown(m->first->conf->shared);
		map_set(open, str_from(shown), w);
		free(shown);
	}
	alert_end_others(
	    m->alert, ALERT_SHARED_STATE, open, now, clock_wall_ms());
	map_free(open, NULL);
	w->settled_at = INT64_MAX;
}

static void
on_oldest(void *arg, int error, int64_t wall_ms)
{
	struct maild *m = arg;

	if (m->watch == NULL)
		return;
	m->watch->is_asking = false;
	if (error == 0)
		m->parts.oldest_held = wall_ms;
}

static void
on_look(void *arg, int64_t now)
{
	struct maild *m = arg;

	look_at_disk(m);
	look_at_hops(m, now);
	if (!m->watch->is_asking) {
		m->watch->is_asking = true;
		spool_oldest_held(m->spool, on_oldest, m);
	}
	if (now >= m->watch->settled_at)
		settle(m, now);
	loop_timer_set(&m->watch_timer, now + LOOK_MS);
}

void
maild_watch_start(struct maild *m)
{
	int64_t now = loop_now(m->loop);

	m->watch = xcalloc(1, sizeof(*m->watch));
	m->watch->settled_at = now + SETTLE_MS;
	loop_timer_init(&m->watch_timer, m->loop, on_look, m);
	on_look(m, now);
}

void
maild_watch_stop(struct maild *m)
{
	if (m->watch == NULL)
		return;
	loop_timer_clear(&m->watch_timer);
	free(m->watch);
	m->watch = NULL;
}

/* ---- certificates ---- */

void
maild_watch_certificates(struct maild *m)
{
	int64_t wall = clock_wall_ms();
	struct map *open = map_new();
	char text[400], time[UNITS_TEXT_MAX];
	struct tls_cert cert;

	for (size_t i = 0; maild_on_certificate(m, i, &cert); i++) {
		char *shown;

		if (cert.expires_at - wall >= CONTROL_CERT_SOON_MS)
			continue;
		snprintf(text, sizeof(text), "%s on %s; it is of %.256s",
		    cert.expires_at > wall ? "expires" : "expired",
		    units_format_time(cert.expires_at, time), cert.names);
		events_add(m->events, wall, EVENT_CERTIFICATE, "", "",
		    "%.256s: %s", cert.file, text);
		maild_alert_raise(m, ALERT_CERTIFICATE, cert.file, text);
		shown = alert_shown(cert.file);
		map_set(open, str_from(shown), m);
		free(shown);
	}
	alert_end_others(
	    m->alert, ALERT_CERTIFICATE, open, loop_now(m->loop), wall);
	map_free(open, NULL);
}
