/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See setup.h. The defaults are those of the daemon's own tables: they come out
 * of a configuration that sets nothing but what it must.
 */
#include "replay/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char least[] =
    "hostname = \"replay.test\"\n"
    "next_hop = \"127.0.0.1:10025\"\n"
    "listen \"mail\" { address = \"127.0.0.1:2525\" }\n";

static const struct policy_conf *
find_policy(const struct maild_config *c, const char *name)
{
	const struct policy_conf *p = c->policy.v;

	for (size_t i = 0; i < c->policy.n; i++) {
		if (strcmp(p[i].name, name) == 0)
			return &p[i];
	}
	return NULL;
}

/* The policy alone, under its name, for whoever logs in: a set needs a default
 * one, and any other needs a match. */
static struct policies *
only_policy(const struct maild_config *c, const struct policy_conf *conf,
    struct err *err)
{
	char everybody[] = "client:0.0.0.0/0", *match[] = {everybody};
	const struct option_strings *spared = &c->never_freeze;
	struct policy_conf one = *conf;
	struct policies *set;
	struct err why;

	if (strcmp(one.name, "default") != 0)
		one.match = (struct option_strings){.v = match, .n = 1};
	set = policies_new(&one, 1, ERR_ROOM(err));
	/* What was valid for the file may name a policy that is not here. */
	for (size_t i = 0; set != NULL && i < spared->n; i++)
		(void)!policies_spare(
		    set, str_from(spared->v[i]), ERR_ROOM(&why));
	return set;
}

static int
choose(struct setup *s, const char *file, const char *policy, struct err *err)
{
	const struct policy_conf *conf = find_policy(s->config, policy);

	if (conf == NULL && file == NULL && strcmp(policy, "default") == 0)
		return 0;
	if (conf == NULL) {
		err_set(err,
		    "--policy: %s has no policy \"%s\"; name one of its policy "
		    "sections",
		    file != NULL ? file : "the built-in configuration", policy);
		return EX_USAGE;
	}
	s->only = only_policy(s->config, conf, err);
	return s->only != NULL ? 0 : EX_CONFIG;
}

int
setup_load(
    struct setup *s, const char *file, const char *policy, struct err *err)
{
	const struct maild_config *c;
	int status = 0;

	*s = (struct setup){0};
	if (file != NULL && access(file, R_OK) != 0)
		status = EX_NOINPUT;
	s->config = file != NULL
			? maild_config_load(file, ERR_ROOM(err))
			: maild_config_parse("built in", least, ERR_ROOM(err));
	if (s->config == NULL)
		return status != 0 ? status : EX_CONFIG;
	c = s->config;
	if (policy != NULL)
		status = choose(s, file, policy, err);
	if (status != 0)
		return status;
	s->world = (struct world_settings){
	    .gate = c->gate,
	    .held_max = c->spool.held_max,
	    .body_memory_bytes = c->spool.body_memory_bytes,
	    .verify_held = c->relay.verify_held,
	};
	s->world.gate.observe = false;
	/* Neither changes a verdict. */
	s->world.gate.history_bytes = 0;
	s->world.gate.acquaintances_scratch = true;
	if (s->only != NULL)
		s->world.gate.policies = s->only;
	s->recipients_max = c->relay.limits.recipients_max;
	return 0;
}

int
setup_try(struct setup *s, const struct setup *base, const char *policies,
    struct err *err)
{
	const struct option_strings *spared = &base->config->never_freeze;
	char *text = xasprintf("%s%s", least, policies);
	struct err why;

	*s = (struct setup){
	    .world = base->world,
	    .recipients_max = base->recipients_max,
	};
	s->config = maild_config_parse("the proposal", text, ERR_ROOM(err));
	free(text);
	if (s->config == NULL)
		return EX_SOFTWARE;
	s->world.gate.policies = s->config->gate.policies;
	for (size_t i = 0; i < spared->n; i++)
		(void)!policies_spare(s->config->gate.policies,
		    str_from(spared->v[i]), ERR_ROOM(&why));
	return 0;
}

void
setup_clear(struct setup *s)
{
	policies_free(s->only);
	maild_config_free(s->config);
}
