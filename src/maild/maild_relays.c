/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other relays of the site, for the control socket: who there is, and the
 * way of a question to one of them (share/relays.h).
 */
#include "maild/maild_internal.h"

#include "control/site.h"
#include "os/clock.h"

#include <stdlib.h>

/* ---- from here ---- */

static const char *
on_self(void *arg)
{
	const struct maild *m = arg;

	return m->relays != NULL ? relays_name(m->relays) : NULL;
}

static const char *
on_trouble(void *arg)
{
	const struct maild *m = arg;

	return relays_are_reached(m->relays)
		   ? NULL
		   : "the shared server does not answer";
}

static bool
on_peer(void *arg, size_t i, struct control_peer *out)
{
	const struct maild *m = arg;
	struct relays_peer peer;

	if (m->relays == NULL || !relays_peer(m->relays, i, &peer))
		return false;
	*out = (struct control_peer){.name = peer.name,
	    .is_up = peer.is_up,
	    .silent_ms = peer.silent_ms};
	return true;
}

static void *
on_ask(void *arg, const char *name, struct str text, control_reply_fn *fn,
    void *fn_arg)
{
	struct maild *m = arg;

	return relays_ask(m->relays, name, text, fn, fn_arg);
}

static void
on_unask(void *arg, void *asked)
{
	(void)arg;
	relays_unask(asked);
}

/* Whoever asked hears that there is no answer. */
static void
on_unanswered(void *arg, const char *to, const char *why)
{
	struct maild *m = arg;

	log_write(
	    m->log, LOG_EV_SHARED_UNANSWERED, KV(relay, to), KV(reason, why));
	events_add(m->events, clock_wall_ms(), EVENT_SHARED, "", "",
	    "an answer to the relay %s was lost: %s", to, why);
}

static void
on_answer(void *arg, const char *to, uint64_t question, struct str text)
{
	struct maild *m = arg;

	if (!relays_answer(m->relays, to, question, text))
		on_unanswered(m, to,
		    "the shared server does not answer, or too many answers "
		    "are waiting");
}

const struct control_site maild_site = {
    .self = on_self,
    .trouble = on_trouble,
    .peer = on_peer,
    .ask = on_ask,
    .unask = on_unask,
    .answer = on_answer,
};

/* ---- from others ---- */

static void
on_question(void *arg, const char *from, uint64_t question, struct str text)
{
	struct maild *m = arg;

	if (m->daemon.control != NULL)
		control_site_question(
		    m->daemon.control, from, question, text, loop_now(m->loop));
}

static void
on_twin(void *arg, bool is_there)
{
	struct maild *m = arg;
	const char *name = relays_name(m->relays);

	if (is_there)
		log_write(m->log, LOG_EV_SHARED_TWIN, KV(relay, name),
		    KV(advice, "give each relay a hostname of its own"));
	else
		log_write(m->log, LOG_EV_SHARED_TWIN_GONE, KV(relay, name));
	events_add(m->events, clock_wall_ms(), EVENT_SHARED, "", "",
	    is_there ? "another relay has the same name, %s"
		     : "no other relay has the name %s any longer",
	    name);
}

static const struct relays_ops ops = {
    .on_question = on_question,
    .on_unanswered = on_unanswered,
    .on_twin = on_twin,
};

void
maild_relays_start(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;

	m->relays = relays_new(m->loop, freezes_link(m->freezes),
	    freezes_seal(m->freezes), conf->shared_prefix, conf->hostname, &ops,
	    m);
}

bool
maild_on_relays(void *arg, struct control_relays *out)
{
	const struct maild *m = arg;
	struct relays_peer peer;

	if (m->relays == NULL)
		return false;
	*out = (struct control_relays){.name = relays_name(m->relays),
	    .has_twin = relays_has_twin(m->relays)};
	for (size_t i = 0; relays_peer(m->relays, i, &peer); i++) {
		out->others++;
		out->down += !peer.is_up;
	}
	return true;
}
