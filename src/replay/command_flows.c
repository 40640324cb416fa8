/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay flows: what the profiles of weir-netd would have held. */
#include "replay/command.h"
#include "replay/flow_report.h"
#include "replay/input.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define FREEZE_AT 100
#define THAW_MS (3600 * INT64_C(1000))

static const char *const all_profiles[] = {
    "workstation", "server", "gateway", "paper"};
/* A worm, a fast one, SQL Slammer; scans that are slow. */
static const char *const outbreaks[] = {
    "20", "200", "850,udp", "1", "1/10", "1/60"};

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
find_profile(const char *name, int *out)
{
	const char *const *names = profile_names();

	for (int i = NETPOLICY_AUTO + 1; names[i] != NULL; i++) {
		*out = i;
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static int
fail_profile(const char *name, char *err, size_t cap)
{
	const char *const *names = profile_names();
	int n = snprintf(err, cap, "--profile: no profile \"%s\";", name);

	for (int i = NETPOLICY_AUTO + 1; names[i] != NULL && n > 0; i++) {
		if ((size_t)n < cap)
			n +=
			    snprintf(err + n, cap - (size_t)n, " %s", names[i]);
	}
	return EX_USAGE;
}

static int
fill(const struct command_args *args, const char *name,
    const struct flow_report *r, struct flow_column *c, char *err, size_t cap)
{
	char title[] = "default";
	struct netpolicy_conf conf = {
	    .name = title, .freeze_at = FREEZE_AT, .thaw_after_ms = THAW_MS};
	struct netpolicies *policies;
	bool ok;

	if (!find_profile(name, &conf.profile))
		return fail_profile(name, err, cap);
	policies = netpolicies_new(&conf, 1, err, cap);
	if (policies == NULL)
		return EX_SOFTWARE;
	c->profile = name;
	ok = flow_run(policies, r->flows, args->stop, &c->result);
	for (size_t i = 0; ok && i < r->attack_count; i++)
		ok = flow_run_attack(
		    policies, &r->attacks[i], args->stop, &c->attacks[i]);
	netpolicies_free(policies);
	if (!ok)
		snprintf(err, cap, "interrupted");
	return ok ? 0 : EX_TEMPFAIL;
}

static int
make_report(const struct command_args *args, struct flow_report *r, char *err,
    size_t cap)
{
	const char *const *names =
	    args->profile_count > 0 ? args->profiles : all_profiles;
	size_t n = args->profile_count > 0 ? args->profile_count
					   : ARRAY_LEN(all_profiles);
	int status = 0;

	for (size_t i = 0; i < n && status == 0; i++)
		status = fill(args, names[i], r, &r->columns[r->column_count++],
		    err, cap);
	return status;
}

static int
check_args(const struct command_args *args, char *err, size_t cap)
{
	if (args->config != NULL || args->policy != NULL || args->no_local ||
	    args->nodes != NULL || args->compare != NULL) {
		snprintf(err, cap,
		    "-c, --policy, --no-local, --nodes and --compare are for "
		    "mail");
		return EX_USAGE;
	}
	for (size_t i = 0; i < args->attack_count; i++) {
		if (args->attacks[i].known == 0 &&
		    args->attacks[i].unknown == 0 &&
		    !args->attacks[i].is_packed)
			continue;
		snprintf(err, cap,
		    "--attack: known, unknown and packed are for mail");
		return EX_USAGE;
	}
	return 0;
}

int
command_flows(const struct command_args *args, char *err, size_t cap)
{
	struct attack_plan plans[ARRAY_LEN(outbreaks)];
	struct flows flows = {0};
	struct flow_report r = {
	    .trace = args->files[0],
	    .flows = &flows,
	    .attacks = args->attacks,
	    .attack_count = args->attack_count,
	};
	int status = check_args(args, err, cap);

	if (r.attack_count == 0) {
		r.attacks = plans;
		for (size_t i = 0; i < ARRAY_LEN(outbreaks); i++)
			r.attack_count +=
			    attack_parse(outbreaks[i], &plans[i], err, cap);
	}
	if (status == 0)
		status = input_read(
		    args->files[0], flows_add_line, &flows, err, cap);
	if (status == 0 && flows.count == 0) {
		snprintf(err, cap, "%s: holds no flow", args->files[0]);
		status = EX_DATAERR;
	}
	if (status == 0)
		status = make_report(args, &r, err, cap);
	if (status == 0 && !(args->json ? flow_report_print_json(&r)
					: flow_report_print_text(&r))) {
		snprintf(err, cap, "the report cannot be written");
		status = EX_IOERR;
	}
	flows_clear(&flows);
	return status;
}
