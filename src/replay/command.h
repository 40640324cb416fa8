/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of weir-replay. Each reads what it needs, prints to stdout, and
 * returns 0 or a sysexits status with one line for the user in err. */
#ifndef REPLAY_COMMAND_H
#define REPLAY_COMMAND_H

#include "replay/attack.h"
#include "replay/reader.h"

#include <signal.h>

#define COMMAND_LIST_MAX 64
#define PROFILES_MAX 8
#define DEPLOYMENTS_MAX 4

/* The options of epidemic alone; 0: not given. */
enum epidemic_option {
	EPIDEMIC_SPREAD,
	EPIDEMIC_HOSTS,
	EPIDEMIC_RATE,
	EPIDEMIC_DENSITY,
	EPIDEMIC_DEPLOYED,
	EPIDEMIC_SEED,
};

struct epidemic_options {
	bool has_spread, has_seed;
	int spread; /* enum outbreak_spread */
	uint32_t hosts;
	const char *rate_text;
	double rate; /* a second */
	double density;
	unsigned shares[DEPLOYMENTS_MAX]; /* percent */
	size_t share_count;
	uint64_t seed;
};

/* All that options say, whatever the command. Borrowed. */
struct command_args {
	const char *const *files; /* what was named, NULL ends it */
	size_t file_count;
	const char *nodes;
	const struct reader *format; /* of logs; NULL: by their lines */
	int year;                    /* of the first line; 0: not given */
	bool journal;
	const char *networks[COMMAND_LIST_MAX], *domains[COMMAND_LIST_MAX];
	size_t network_count, domain_count;
	const char *compare; /* a second configuration */
	bool anonymise;
	double target, keep_back;           /* of propose: shares */
	const char *profiles[PROFILES_MAX]; /* of flows */
	size_t profile_count;
	const char *config, *policy; /* NULL: not given */
	bool propose;                /* of flows */
	struct epidemic_options epidemic;
	bool json, csv, html, no_local; /* one of three, or text */
	struct attack_plan attacks[ATTACKS_MAX];
	size_t attack_count;
	const volatile sig_atomic_t *stop;
};

MUST_CHECK int command_trace(const struct command_args *args, struct err *err);
MUST_CHECK int command_flows(const struct command_args *args, struct err *err);
MUST_CHECK int command_learn(const struct command_args *args, struct err *err);
MUST_CHECK int command_propose(
    const struct command_args *args, struct err *err);
MUST_CHECK int command_log(const struct command_args *args, struct err *err);
/* Exit status 1: a verdict differs. */
MUST_CHECK int command_verify(const struct command_args *args, struct err *err);
MUST_CHECK int command_epidemic(
    const struct command_args *args, struct err *err);
/* False: the text is not what it must be, which is said in must. */
MUST_CHECK bool epidemic_take_option(struct epidemic_options *o,
    enum epidemic_option option, const char *text, const char **must);

/* The last day, as weir-maild hands it out, under another configuration. */
MUST_CHECK int command_history(
    const struct command_args *args, struct err *err);

#endif
