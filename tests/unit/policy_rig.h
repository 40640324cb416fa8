/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies from text, and what is known of a sender, for the policies' tests.
 */
#ifndef TESTS_UNIT_POLICY_RIG_H
#define TESTS_UNIT_POLICY_RIG_H

#include "gate/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct conf {
	struct option_array policies;
};

static const struct option no_options[] = {{.name = NULL}};
static const struct option_section sections[] = {
    {
	.name = "policy",
	.doc = "a policy",
	.tables = OPTION_TABLES(policy_options),
	.size = sizeof(struct policy_conf),
	.offset = offsetof(struct conf, policies),
	.title_offset = offsetof(struct policy_conf, name),
	.place_offset = offsetof(struct policy_conf, place),
    },
    {.name = NULL},
};
static const struct option_schema schema = {.tables = OPTION_TABLES(no_options),
    .sections = sections,
    .size = sizeof(struct conf)};

static char err[1024];

/* Reads policies as the daemon does; the configuration is freed at once, as
 * policies must not need it. */
static inline struct policies *
read_policies(const char *text)
{
	struct conf *conf =
	    options_load(&schema, "weir.conf", text, err, sizeof(err));
	struct policies *set;

	if (conf == NULL)
		return NULL;
	set =
	    policies_new(conf->policies.v, conf->policies.n, err, sizeof(err));
	options_free(&schema, conf);
	return set;
}

static inline const struct policy *
only(struct policies **set, const char *options)
{
	char *text = xasprintf("policy \"default\" { %s }\n", options);

	*set = read_policies(text);
	free(text);
	if (*set == NULL)
		fail_msg("%s: %s", options, err);
	return policies_default(*set);
}

static inline struct gate_facts
facts_of(const char *user, const char *sender, const char *client)
{
	struct gate_facts facts = {
	    .user = str_from(user), .sender = str_from(sender)};

	if (client == NULL || !ip_parse(str_from(client), &facts.client))
		facts.client.family = IP_NONE;
	return facts;
}

#endif
