/* SPDX-License-Identifier: BSD-3-Clause */
/* A policy of weir-netd to try: a profile, a configuration as it is, one policy
 * of it for every host, or numbers. */
#ifndef REPLAY_FLOW_POLICY_H
#define REPLAY_FLOW_POLICY_H

#include "base/err.h"
#include "netgate/netgate.h"

struct netd_config;

struct flow_policy {
	const char *name; /* borrowed from who made it */
	struct netgate_settings gate;
	/* Private. */
	struct netpolicies *own;
	struct netd_config *config;
};

/* Each 0, or a sysexits status with why in err; flow_policy_clear in any
 * case. */
MUST_CHECK int flow_policy_profile(
    struct flow_policy *p, const char *name, struct err *err);
/* policy NULL: as the file's policies match. */
MUST_CHECK int flow_policy_file(struct flow_policy *p, const char *file,
    const char *policy, struct err *err);
/* conf: borrowed for the call. */
MUST_CHECK int flow_policy_numbers(
    struct flow_policy *p, const struct netpolicy_conf *conf, struct err *err);
void flow_policy_clear(struct flow_policy *p);

/* A conf of every host, with the daemon's own defaults. Its name is static. */
struct netpolicy_conf flow_policy_conf(int profile);

#endif
