/* SPDX-License-Identifier: BSD-3-Clause */
/* See flow_policy.h. */
#include "replay/flow_policy.h"

#include "netd/netd_config.h"
#include "replay/flow_run.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define FREEZE_AT 100
#define THAW_MS (3600 * INT64_C(1000))

static char default_name[] = "default";

/* By the table of options. */
static const char *const *
profile_names(void)
{
	const struct option *o = netpolicy_options;

	while (strcmp(o->name, "profile") != 0)
		o++;
	return o->names;
}

static bool
find_profile(const char *name, int *out, struct err *err)
{
	const char *const *names = profile_names();

	for (int i = NETPOLICY_AUTO + 1; names[i] != NULL; i++) {
		*out = i;
		if (strcmp(names[i], name) == 0)
			return true;
	}
	err_set(err, "--profile: no profile \"%s\";", name);
	for (int i = NETPOLICY_AUTO + 1; names[i] != NULL; i++)
		err_set(err, "%s %s", err->text, names[i]);
	return false;
}

struct netpolicy_conf
flow_policy_conf(int profile)
{
	return (struct netpolicy_conf){
	    .name = default_name,
	    .profile = profile,
	    .freeze_at = FREEZE_AT,
	    .thaw_after_ms = THAW_MS,
	};
}

int
flow_policy_numbers(
    struct flow_policy *p, const struct netpolicy_conf *conf, struct err *err)
{
	*p = (struct flow_policy){.name = conf->name};
	p->own = netpolicies_new(conf, 1, ERR_ROOM(err));
	if (p->own == NULL)
		return EX_CONFIG;
	p->gate = flow_gate(p->own);
	return 0;
}

int
flow_policy_profile(struct flow_policy *p, const char *name, struct err *err)
{
	struct netpolicy_conf conf = flow_policy_conf(NETPOLICY_AUTO);
	int status;

	*p = (struct flow_policy){0};
	if (!find_profile(name, &conf.profile, err))
		return EX_USAGE;
	status = flow_policy_numbers(p, &conf, err);
	p->name = name;
	return status;
}

/* The one, for every host. */
static int
choose(struct flow_policy *p, const char *file, const char *policy,
    struct err *err)
{
	const struct netpolicy_conf *confs = p->config->policy.v;

	for (size_t i = 0; i < p->config->policy.n; i++) {
		struct netpolicy_conf one = confs[i];

		if (strcmp(one.name, policy) != 0)
			continue;
		one.name = default_name;
		one.match = (struct option_strings){0};
		p->own = netpolicies_new(&one, 1, ERR_ROOM(err));
		if (p->own == NULL)
			return EX_CONFIG;
		p->gate.policies = p->own;
		p->name = policy;
		return 0;
	}
	err_set(err,
	    "--policy: %s has no policy \"%s\"; name one of its policy "
	    "sections",
	    file, policy);
	return EX_USAGE;
}

int
flow_policy_file(struct flow_policy *p, const char *file, const char *policy,
    struct err *err)
{
	*p = (struct flow_policy){.name = file};
	p->config = netd_config_load(file, ERR_ROOM(err));
	if (p->config == NULL)
		return access(file, R_OK) != 0 ? EX_NOINPUT : EX_CONFIG;
	p->gate = netd_config_gate_settings(p->config);
	p->gate.observe = false;
	return policy != NULL ? choose(p, file, policy, err) : 0;
}

void
flow_policy_clear(struct flow_policy *p)
{
	netpolicies_free(p->own);
	netd_config_free(p->config);
	*p = (struct flow_policy){0};
}
