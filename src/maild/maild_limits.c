/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors: what the configuration may need at worst is asked of the system,
 * and where it does not give so many, fewer sessions are let in. So a flood
 * meets sessions_max and its 421, and never takes the descriptors that spool,
 * next hop and control socket work with.
 */
#include "maild/maild_internal.h"

#include "control/web.h"
#include "net/places.h"
#include "os/process.h"

/* Listeners, the spool's database, the log, pipes to threads, hooks. */
#define OF_THE_DAEMON 128
#define SESSIONS_LEAST 4

static bool
has_protocol(const struct maild_config *conf, enum maild_protocol protocol)
{
	for (size_t i = 0; i < conf->listen.n; i++) {
		if (maild_config_listen(conf, i)->protocol == (int)protocol)
			return true;
	}
	return false;
}

/* All but the sessions' own. */
static uint64_t
other_descriptors(const struct maild_config *conf)
{
	uint64_t n = OF_THE_DAEMON +
		     places_most(conf->control_connections_max) +
		     conf->hop.connections_max;

	n += conf->relay.sessions_max < MAILD_FILES_MAX
		 ? conf->relay.sessions_max
		 : MAILD_FILES_MAX;
	if (has_protocol(conf, MAILD_POLICY))
		n += places_most(conf->policy_connections_max);
	if (has_protocol(conf, MAILD_MILTER))
		n += places_most(conf->milter.connections_max);
	if (conf->http.n > 0)
		n += WEB_CONNECTIONS_MAX;
	return n;
}

bool
maild_fit_descriptors(struct maild_gen *g, struct log *log)
{
	const struct maild_config *conf = g->conf;
	uint64_t others = other_descriptors(conf);
	uint64_t need = others + conf->relay.sessions_max;
	uint64_t have = process_raise_files(need);
	uint32_t fit;

	if (have >= need)
		return true;
	/* A small limit is shared out; a quarter is for sessions. */
	fit = (uint32_t)(have > others + have / 4 ? have - others : have / 4);
	if (fit < SESSIONS_LEAST)
		return false;
	if (fit >= conf->relay.sessions_max)
		return true;
	g->relay.sessions_max = fit;
	if (g->relay.client_sessions_max > fit)
		g->relay.client_sessions_max = fit;
	log_write(log, LOG_EV_MAILD_LIMITS,
	    KV(sessions_max, conf->relay.sessions_max), KV(lowered_to, fit),
	    KV(descriptors, have), KV(needed, need),
	    KV(advice, "raise LimitNOFILE= of the service or ulimit -n"));
	return true;
}
