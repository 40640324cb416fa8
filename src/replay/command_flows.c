/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay flows: what policies of weir-netd would have held, and which one
 * to choose. */
#include "replay/command.h"
#include "replay/flow_report.h"
#include "replay/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define FLOWS_LEAST 100 /* for a proposal */
#define TEXT_MAX 600

static const char *const all_profiles[] = {
    "workstation", "server", "gateway", "paper"};
/* A worm, a fast one, SQL Slammer; scans that are slow. */
static const char *const outbreaks[] = {
    "20", "200", "850,udp", "1", "1/10", "1/60"};

static int
interrupted(struct err *err)
{
	err_set(err, "interrupted");
	return EX_TEMPFAIL;
}

/* Whom an attack comes from: policies match by address. */
static struct ip
first_source(const struct flows *f)
{
	uint32_t i = 0;

	while (f->v[i].kind != FLOW_OPEN)
		i++;
	return f->ips[f->v[i].src];
}

static int
fill(struct flow_report *r, const struct flow_policy *p,
    const volatile sig_atomic_t *stop, struct err *err)
{
	struct flow_column *c = &r->columns[r->column_count++];
	struct ip attacker = first_source(r->flows);
	bool ok;

	c->name = p->name;
	ok = flow_run(&p->gate, r->flows, r->part, stop, &c->result);
	for (size_t i = 0; ok && i < r->attack_count; i++)
		ok = flow_run_attack(
		    &p->gate, &attacker, &r->attacks[i], stop, &c->attacks[i]);
	return ok ? 0 : interrupted(err);
}

static int
fill_profile(struct flow_report *r, const char *name,
    const volatile sig_atomic_t *stop, struct err *err)
{
	struct flow_policy p;
	int status = flow_policy_profile(&p, name, err);

	if (status == 0)
		status = fill(r, &p, stop, err);
	flow_policy_clear(&p);
	return status;
}

static int
make_report(
    const struct command_args *args, struct flow_report *r, struct err *err)
{
	bool all = args->profile_count == 0 && args->config == NULL;
	const char *const *names = all ? all_profiles : args->profiles;
	size_t n = all ? ARRAY_LEN(all_profiles) : args->profile_count;
	struct flow_policy file = {0};
	int status = 0;

	if (args->config != NULL) {
		status =
		    flow_policy_file(&file, args->config, args->policy, err);
		if (status == 0)
			status = fill(r, &file, args->stop, err);
		flow_policy_clear(&file);
	}
	for (size_t i = 0; i < n && status == 0; i++)
		status = fill_profile(r, names[i], args->stop, err);
	return status;
}

static int
print_report(
    const struct command_args *args, struct flow_report *r, struct err *err)
{
	int status = make_report(args, r, err);

	if (status != 0)
		return status;
	if (args->json ? flow_report_print_json(r) : flow_report_print_text(r))
		return 0;
	err_set(err, "the report cannot be written");
	return EX_IOERR;
}

/* ---- a proposal ---- */

static int
compare(struct flow_report *r, const struct flow_policy *proposed,
    const volatile sig_atomic_t *stop, struct err *err)
{
	int status = fill(r, proposed, stop, err);

	if (status == 0)
		status = fill_profile(r, "workstation", stop, err);
	if (status == 0)
		status = fill_profile(r, "paper", stop, err);
	return status;
}

static int
print_proposal(const struct command_args *args, struct flow_proposal_report *r,
    struct err *err)
{
	struct netpolicy_conf conf = flow_numbers_conf(&r->proposal->numbers);
	struct flow_policy p;
	int status = flow_policy_numbers(&p, &conf, err);
	bool ok = true;

	p.name = "proposal";
	if (status == 0)
		status = compare(&r->sought, &p, args->stop, err);
	if (status == 0)
		status = compare(&r->kept, &p, args->stop, err);
	if (status == 0)
		ok = args->json ? flow_proposal_print_json(r)
				: flow_proposal_print_text(r);
	flow_policy_clear(&p);
	if (ok)
		return status;
	err_set(err, "the report cannot be written");
	return EX_IOERR;
}

static int
propose(const struct command_args *args, const struct flow_report *r,
    struct err *err)
{
	struct flow_proposal_report *p = xcalloc(1, sizeof(*p));
	struct flow_proposal proposal;
	char text[TEXT_MAX];
	int status;

	p->target = args->target;
	p->sought = p->kept = *r;
	p->proposal = &proposal;
	p->text = text;
	if (r->flows->opened < FLOWS_LEAST) {
		err_set(err,
		    "%s: %u flows are too few to choose a policy; use a day or "
		    "more",
		    r->trace, (unsigned)r->flows->opened);
		status = EX_DATAERR;
	} else if (!flow_propose(r->flows, p->target, args->keep_back,
		       r->attacks, r->attack_count, args->stop, &proposal)) {
		status = interrupted(err);
	} else if (!proposal.is_found) {
		err_set(err,
		    "%s: none of %u policies holds that little; give a "
		    "--target above %g%%, or a policy for each kind of host",
		    r->trace, proposal.tried, 100 * p->target);
		status = EX_DATAERR;
	} else {
		flow_numbers_print(&proposal.numbers, text, sizeof(text));
		p->sought.part = proposal.sought;
		p->kept.part = proposal.kept;
		status = print_proposal(args, p, err);
	}
	free(p);
	return status;
}

/* ---- what is read ---- */

static int
parse_nets(
    const struct command_args *args, struct ip_net *nets, struct err *err)
{
	for (size_t i = 0; i < args->network_count; i++) {
		if (ip_net_parse(str_from(args->networks[i]), &nets[i]))
			continue;
		err_set(err,
		    "--my-networks: \"%s\" is not an address or a network "
		    "(\"192.0.2.0/24\" with no bits set past its length)",
		    args->networks[i]);
		return EX_USAGE;
	}
	return 0;
}

static int
read_capture(const struct command_args *args, struct flows *flows,
    struct capture_stats *stats, struct err *err)
{
	struct ip_net nets[COMMAND_LIST_MAX];
	struct capture *c;
	int status = parse_nets(args, nets, err);

	if (status != 0)
		return status;
	c = capture_new(flows, nets, args->network_count);
	status = capture_read(args->files[0], c, err);
	*stats = *capture_stats(c);
	capture_free(c);
	if (status != 0 || flows->opened > 0)
		return status;
	err_set(err,
	    "%s: no host of %s opens a connection in %llu packets; give the "
	    "hosts' addresses in --my-networks",
	    args->files[0],
	    args->network_count > 0 ? "--my-networks" : "a private network",
	    (unsigned long long)stats->packets);
	return EX_DATAERR;
}

static int
read_flows(const struct command_args *args, struct flow_report *r,
    struct flows *flows, struct capture_stats *stats, struct err *err)
{
	int status;

	if (capture_is(args->files[0])) {
		r->capture = stats;
		return read_capture(args, flows, stats, err);
	}
	if (args->network_count > 0) {
		err_set(err,
		    "--my-networks is for a capture; a trace names its "
		    "sources");
		return EX_USAGE;
	}
	status = input_read(args->files[0], flows_add_line, flows, err);
	if (status == 0 && flows->count == 0) {
		err_set(err, "%s: holds no flow", args->files[0]);
		status = EX_DATAERR;
	}
	return status;
}

static int
check_args(const struct command_args *args, struct err *err)
{
	if (args->no_local || args->nodes != NULL || args->compare != NULL) {
		err_set(err, "--no-local, --nodes and --compare are for mail");
		return EX_USAGE;
	}
	if (args->policy != NULL && args->config == NULL) {
		err_set(err, "--policy: needs -c FILE, or use --profile");
		return EX_USAGE;
	}
	if (args->config != NULL && args->profile_count == PROFILES_MAX) {
		err_set(
		    err, "--profile: more than %d beside -c", PROFILES_MAX - 1);
		return EX_USAGE;
	}
	if (args->propose &&
	    (args->config != NULL || args->profile_count > 0)) {
		err_set(err,
		    "--propose chooses the values itself; remove -c and "
		    "--profile");
		return EX_USAGE;
	}
	for (size_t i = 0; i < args->attack_count; i++) {
		if (args->attacks[i].known == 0 &&
		    args->attacks[i].unknown == 0 &&
		    !args->attacks[i].is_packed)
			continue;
		err_set(
		    err, "--attack: known, unknown and packed are for mail");
		return EX_USAGE;
	}
	return 0;
}

int
command_flows(const struct command_args *args, struct err *err)
{
	struct attack_plan plans[ARRAY_LEN(outbreaks)];
	struct capture_stats stats = {0};
	struct flows flows = {0};
	struct flow_report r = {
	    .trace = args->files[0],
	    .flows = &flows,
	    .attacks = args->attacks,
	    .attack_count = args->attack_count,
	};
	int status = check_args(args, err);

	if (r.attack_count == 0) {
		r.attacks = plans;
		for (size_t i = 0; i < ARRAY_LEN(outbreaks); i++)
			r.attack_count +=
			    attack_parse(outbreaks[i], &plans[i], err);
	}
	if (status == 0)
		status = read_flows(args, &r, &flows, &stats, err);
	r.part = flow_part_all(&flows);
	if (status == 0)
		status = args->propose ? propose(args, &r, err)
				       : print_report(args, &r, err);
	flows_clear(&flows);
	return status;
}
