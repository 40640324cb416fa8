/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay epidemic: how a worm spreads where some have the throttle. */
#include "netgate/netprofile.h"
#include "replay/command.h"
#include "replay/contacts.h"
#include "replay/epidemic.h"
#include "replay/input.h"
#include "replay/setup.h"
#include "replay/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define HOSTS 100000
#define DENSITY 0.01
/* Infected at the start: one in so many, but not so few that all of them may
 * have the throttle. */
#define FIRST_OF 2000
#define FIRST_MIN 10
#define RATE "10"
#define SEED 1
#define NETWORK 100
#define LOCAL_SHARE 0.8
#define UNTIL_MS (86400 * INT64_C(1000))
/* Of mail: a week, and the worm finds four strangers for each contact. */
#define MAIL_FIRST 5
#define MAIL_UNTIL_MS (7 * UNTIL_MS)
#define MAIL_DENSITY 0.2
#define MAIL_OPEN_SHARE 0.3
#define MAIL_OPEN_S 3600

static const unsigned default_shares[] = {0, 50, 75, 100};

/* ---- options ---- */

static bool
take_number(struct str s, uint64_t low, uint64_t high, uint64_t *out)
{
	return str_to_u64(s, out) && *out >= low && *out <= high;
}

static bool
take_spread(struct epidemic_options *o, const char *text)
{
	for (int i = 0; epidemic_spread_name[i] != NULL; i++) {
		if (strcmp(epidemic_spread_name[i], text) != 0)
			continue;
		o->spread = i;
		o->has_spread = true;
		return true;
	}
	return false;
}

static bool
take_shares(struct epidemic_options *o, const char *text)
{
	struct str rest = str_from(text);
	uint64_t n;

	o->share_count = 0;
	while (o->share_count < ARRAY_LEN(o->shares)) {
		if (!take_number(str_cut(&rest, ','), 0, 100, &n))
			return false;
		o->shares[o->share_count++] = (unsigned)n;
		if (rest.n == 0)
			return true;
	}
	return false;
}

/* "2.5%" */
static bool
take_density(struct epidemic_options *o, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || strcmp(end, "%") != 0 || !(v >= 0.001 && v <= 100))
		return false;
	o->density = v / 100;
	return true;
}

static bool
take_rate(struct epidemic_options *o, const char *text)
{
	struct attack_plan plan;
	struct err err;

	if (strchr(text, ',') != NULL || !attack_parse(text, &plan, &err))
		return false;
	o->rate_text = text;
	o->rate = plan.count * 1000.0 / (double)plan.window_ms;
	return true;
}

bool
epidemic_take_option(struct epidemic_options *o, enum epidemic_option option,
    const char *text, const char **must)
{
	uint64_t n = 0;

	switch (option) {
	case EPIDEMIC_SPREAD:
		*must = "random, local or contacts";
		return take_spread(o, text);
	case EPIDEMIC_HOSTS:
		*must = "a number from 2 to 1000000";
		if (!take_number(str_from(text), 2, OUTBREAK_HOSTS_MAX, &n))
			return false;
		o->hosts = (uint32_t)n;
		return true;
	case EPIDEMIC_RATE:
		*must = "attempts a second, \"10\", or in a time, \"1/60\"";
		return take_rate(o, text);
	case EPIDEMIC_DENSITY:
		*must = "a share from 0.001% to 100%";
		return take_density(o, text);
	case EPIDEMIC_DEPLOYED:
		*must = "up to 4 percentages, \"0,50,75,100\"";
		return take_shares(o, text);
	case EPIDEMIC_SEED:
		*must = "a number";
		o->has_seed = str_to_u64(str_from(text), &o->seed);
		return o->has_seed;
	}
	return false;
}

/* ---- the command ---- */

static int
find_profile(const char *name, enum netpolicy_profile *out, struct err *err)
{
	static const struct {
		const char *name;
		enum netpolicy_profile profile;
	} v[] = {
	    {"workstation", NETPOLICY_WORKSTATION},
	    {"server", NETPOLICY_SERVER},
	    {"gateway", NETPOLICY_GATEWAY},
	    {"paper", NETPOLICY_PAPER},
	    {"tcp", NETPOLICY_TCP},
	    {"udp", NETPOLICY_UDP},
	};

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		*out = v[i].profile;
		if (strcmp(v[i].name, name) == 0)
			return 0;
	}
	err_set(err,
	    "--profile: no profile \"%s\"; it is workstation, server, gateway, "
	    "paper, tcp or udp",
	    name);
	return EX_USAGE;
}

static void
fill(const struct command_args *args, struct epidemic *e)
{
	const struct epidemic_options *o = &args->epidemic;
	bool is_mail = args->file_count > 0;
	struct outbreak_settings *s = &e->settings;

	*s = (struct outbreak_settings){
	    .spread = o->has_spread ? (enum outbreak_spread)o->spread
		      : is_mail     ? OUTBREAK_CONTACTS
				    : OUTBREAK_RANDOM,
	    .hosts = o->hosts > 0 ? o->hosts : HOSTS,
	    .rate = o->rate,
	    .density = o->density > 0 ? o->density
		       : is_mail      ? MAIL_DENSITY
				      : DENSITY,
	    .network = NETWORK,
	    .local_share = LOCAL_SHARE,
	    .open_share = MAIL_OPEN_SHARE,
	    .open_s = MAIL_OPEN_S,
	    .until_ms = is_mail ? MAIL_UNTIL_MS : UNTIL_MS,
	    .seed = o->has_seed ? o->seed : SEED,
	    .stop = args->stop,
	};
	e->rate = o->rate_text != NULL ? o->rate_text : RATE;
	if (o->rate_text == NULL)
		s->rate = strtod(RATE, NULL);
	e->side_count =
	    o->share_count > 0 ? o->share_count : ARRAY_LEN(default_shares);
	for (size_t i = 0; i < e->side_count; i++)
		e->sides[i].deployed =
		    o->share_count > 0 ? o->shares[i] : default_shares[i];
}

static int
check_args(const struct command_args *args, struct err *err)
{
	const struct epidemic_options *o = &args->epidemic;
	bool is_mail = args->file_count > 0, wants_mail;

	wants_mail = o->has_spread && o->spread == OUTBREAK_CONTACTS;
	err->text[0] = '\0';
	if (args->attack_count > 0 || args->compare != NULL ||
	    args->nodes != NULL || args->no_local)
		err_set(err,
		    "--attack, --compare, --nodes and --no-local belong to "
		    "other commands");
	else if (args->profile_count > 1)
		err_set(err, "--profile: only one may be given");
	else if (o->has_spread && is_mail != wants_mail)
		err_set(err,
		    "--spread=contacts needs a trace, and a trace is for "
		    "--spread=contacts only");
	else if (is_mail && (args->profile_count > 0 || o->hosts > 0))
		err_set(err,
		    "--profile and --hosts are for worms that scan addresses; "
		    "with a trace, use -c and --policy");
	else if (!is_mail && (args->config != NULL || args->policy != NULL))
		err_set(err,
		    "-c and --policy are for mail: name a trace, or use "
		    "--profile");
	return err->text[0] == '\0' ? 0 : EX_USAGE;
}

static int
print(
    const struct command_args *args, const struct epidemic *e, struct err *err)
{
	bool ok;

	if (args->html)
		ok = epidemic_print_html(e);
	else
		ok = args->json ? epidemic_print_json(e)
				: epidemic_print_text(e);
	if (ok)
		return 0;
	err_set(err, "the report cannot be written");
	return EX_IOERR;
}

static int
run(const struct command_args *args, struct epidemic *e, struct err *err)
{
	struct outbreak_settings *s = &e->settings;
	int status;

	if (s->first == 0)
		s->first = s->hosts / FIRST_OF;
	if (s->spread != OUTBREAK_CONTACTS && s->first < FIRST_MIN)
		s->first = s->hosts < FIRST_MIN ? 1 : FIRST_MIN;
	if (!epidemic_run(e)) {
		err_set(err, "interrupted");
		status = EX_TEMPFAIL;
	} else {
		status = print(args, e, err);
	}
	epidemic_clear(e);
	return status;
}

static int
run_hosts(const struct command_args *args, struct epidemic *e, struct err *err)
{
	enum netpolicy_profile profile;
	struct netprofile policy;
	int status;

	e->policy = args->profile_count > 0 ? args->profiles[0] : "paper";
	status = find_profile(e->policy, &profile, err);
	if (status != 0)
		return status;
	policy = netprofile_get(profile);
	e->settings.policy = &policy.throttle;
	return run(args, e, err);
}

static int
run_contacts(const struct command_args *args, const struct setup *setup,
    struct epidemic *e, struct err *err)
{
	const struct policies *set = setup->world.gate.policies;
	const struct policy *policy =
	    args->policy != NULL ? policies_find(set, str_from(args->policy))
				 : policies_default(set);
	struct trace trace = {0};
	struct outbreak_graph graph = {0};
	int status = input_read(args->files[0], trace_add_line, &trace, err);

	if (status == 0 && trace.message_count == 0) {
		err_set(err, "%s: contains no message", args->files[0]);
		status = EX_DATAERR;
	}
	if (status == 0)
		contacts_make(&trace, &graph);
	if (status == 0 && graph.nodes > OUTBREAK_HOSTS_MAX) {
		err_set(err, "%s: more than %d people", args->files[0],
		    OUTBREAK_HOSTS_MAX);
		status = EX_DATAERR;
	}
	if (status == 0) {
		e->trace = args->files[0];
		e->policy = args->policy != NULL ? args->policy : "default";
		e->settings.policy = &policy->throttle;
		e->settings.graph = &graph;
		e->settings.hosts = graph.nodes;
		e->settings.first = MAIL_FIRST;
		status = run(args, e, err);
	}
	contacts_clear(&graph);
	trace_clear(&trace);
	return status;
}

int
command_epidemic(const struct command_args *args, struct err *err)
{
	struct epidemic e = {0};
	struct setup setup;
	int status = check_args(args, err);

	if (status != 0)
		return status;
	fill(args, &e);
	if (args->file_count == 0)
		return run_hosts(args, &e, err);
	status = setup_load(&setup, args->config, args->policy, err);
	if (status == 0)
		status = run_contacts(args, &setup, &e, err);
	setup_clear(&setup);
	return status;
}
