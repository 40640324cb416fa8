/* SPDX-License-Identifier: BSD-3-Clause */
/* See people.h. */
#include "replay/people.h"

/* Nobody's: documentation (RFC 5737). Mail from outside has it where the log
 * does not tell the client. */
static const struct ip outside = {IP_V4, {203, 0, 113, 1}};

static struct ip
client_of(const struct submission *m)
{
	if (m->has_client)
		return m->client;
	return m->comes_in ? outside : (struct ip){.family = IP_NONE};
}

static void
facts(void *arg, uint32_t message, struct gate_facts *out)
{
	const struct people *p = arg;
	const struct submissions *s = p->submissions;
	const struct submission *m = &s->v[s->of[message]];
	struct str user = names_text(s->names, m->user);

	*out = (struct gate_facts){
	    .user = user,
	    /* Where the log does not tell, it is the login's own. */
	    .sender = m->has_sender || user.n == 0
			  ? names_text(s->names, m->sender)
			  : user,
	    .helo = STR("client.test"),
	    .client = client_of(m),
	    .teaches = true,
	};
}

static struct str
address(void *arg, uint32_t id)
{
	const struct people *p = arg;

	return names_text(p->submissions->names, id);
}

const struct replay_people *
people_init(struct people *p, const struct logs *l)
{
	*p = (struct people){
	    .replay = {.arg = p,
		.facts = facts,
		.address = address,
		.locals = l->locals,
		.domain = l->domain},
	    .submissions = &l->submissions,
	};
	return &p->replay;
}
