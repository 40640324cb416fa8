/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of flows, for a person and for a program. See flow_report.h. */
#include "replay/flow_report.h"

#include "base/units.h"
#include "replay/flow_rates.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define LABEL_WIDTH 30
#define COLUMN_WIDTH 20
#define CELL_MAX 64

static const char *const labels[FLOW_PROTOCOLS] = {
    "TCP connections", "UDP flows"};
static const char *const keys[FLOW_PROTOCOLS] = {"tcp", "udp"};

static void
print_cell(const char *text)
{
	printf("%*s", COLUMN_WIDTH, text);
}

static void
print_number(uint64_t n)
{
	char text[CELL_MAX];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	print_cell(text);
}

static void
print_share(uint64_t n, uint64_t of)
{
	char text[CELL_MAX];

	snprintf(text, sizeof(text), "%" PRIu64 " (%.3f %%)", n,
	    of > 0 ? 100.0 * (double)n / (double)of : 0.0);
	print_cell(text);
}

#define EACH_COLUMN(c)                                 \
	for (const struct flow_column *c = r->columns; \
	     c < r->columns + r->column_count; c++)

static void
print_row(
    const struct flow_report *r, const char *label, size_t offset, bool is_time)
{
	char text[UNITS_TEXT_MAX];

	printf("%-*s", LABEL_WIDTH, label);
	EACH_COLUMN(c)
	{
		const char *at = (const char *)&c->result + offset;

		if (is_time)
			print_cell(
			    units_format_duration(*(const int64_t *)at, text));
		else
			print_number(*(const uint64_t *)at);
	}
	putchar('\n');
}

static void
print_protocol(const struct flow_report *r, int p)
{
	size_t of = offsetof(struct flow_result, of) +
		    (size_t)p * sizeof(struct flow_figures);
	size_t waited = of + offsetof(struct flow_figures, waited);

	print_row(r, labels[p], of + offsetof(struct flow_figures, flows), 0);
	printf("%-*s", LABEL_WIDTH, "  waited");
	EACH_COLUMN(c)
	print_share(c->result.of[p].waited.count, c->result.of[p].flows);
	putchar('\n');
	print_row(r, "    median",
	    waited + offsetof(struct report_spread, median), 1);
	print_row(r, "    99 % within",
	    waited + offsetof(struct report_spread, p99), 1);
	print_row(r, "    longest",
	    waited + offsetof(struct report_spread, longest), 1);
	print_row(
	    r, "  never passed", of + offsetof(struct flow_figures, never), 0);
}

static void
print_attack(const struct flow_report *r, size_t i)
{
	printf("%-*s", LABEL_WIDTH, r->attacks[i].text);
	EACH_COLUMN(c)
	{
		const struct flow_attack_result *a = &c->attacks[i];
		char after[UNITS_TEXT_MAX], text[CELL_MAX];

		snprintf(text, sizeof(text), "%" PRIu64 " / %s", a->reached,
		    a->frozen_after < 0
			? "never"
			: units_format_duration(a->frozen_after, after));
		print_cell(text);
	}
	putchar('\n');
}

static void
print_capture(const struct capture_stats *s)
{
	printf("%" PRIu64 " packets: %" PRIu64 " open something, %" PRIu64
	       " answers and %" PRIu64 " contacts that came in, %" PRIu64
	       " go on, %" PRIu64 " copies of a SYN\n",
	    s->packets, s->opened, s->answers, s->contacts, s->followed,
	    s->copies);
	printf("left out: %" PRIu64 " of other networks, %" PRIu64
	       " broadcast or multicast, %" PRIu64 " not IP, %" PRIu64
	       " broken\n",
	    s->foreign, s->broadcast, s->not_ip, s->broken);
}

static void
print_head(const struct flow_report *r)
{
	char length[UNITS_TEXT_MAX];

	printf("%s: %u flows, %u addresses, %s\n", r->trace,
	    (unsigned)r->flows->opened, (unsigned)flows_address_count(r->flows),
	    units_format_duration(flows_length(r->flows), length));
	if (r->capture != NULL)
		print_capture(r->capture);
	else
		printf("every destination counts as one that DNS did not "
		       "name\n");
	putchar('\n');
}

static void
print_columns(const struct flow_report *r)
{
	printf("%-*s", LABEL_WIDTH, "policy");
	EACH_COLUMN(c)
	print_cell(c->name);
	putchar('\n');
	for (int p = 0; p < FLOW_PROTOCOLS; p++)
		print_protocol(r, p);
	print_row(r, "freezes", offsetof(struct flow_result, freezes), 0);
	print_row(r, "hosts", offsetof(struct flow_result, sources), 0);
	print_row(r, "  frozen", offsetof(struct flow_result, frozen), 0);
	print_row(
	    r, "  never noticed", offsetof(struct flow_result, unnoticed), 0);
}

static void
print_rate(const char *label, const uint32_t *v)
{
	printf("%-*s", LABEL_WIDTH, label);
	for (size_t i = 0; i < FLOW_RATES_WINDOWS; i++)
		print_number(v[i]);
	putchar('\n');
}

static void
print_rates(const struct flow_report *r)
{
	struct flow_rates all, unnamed;
	char text[UNITS_TEXT_MAX];

	flow_rates_make(r->flows, &all, &unnamed);
	printf("\nDestinations contacted, not passed in 99.9 %% of the "
	       "windows\n%-*s",
	    LABEL_WIDTH, "within");
	for (size_t i = 0; i < FLOW_RATES_WINDOWS; i++)
		print_cell(
		    units_format_duration(flow_rates_window_ms[i], text));
	putchar('\n');
	print_rate("one host", all.host);
	print_rate("all hosts together", all.together);
	if (r->capture == NULL)
		return;
	printf("neither named by DNS nor first to come\n");
	print_rate("  one host", unnamed.host);
	print_rate("  all hosts together", unnamed.together);
}

static void
print_attacks(const struct flow_report *r)
{
	if (r->attack_count > 0)
		printf("\nOutbreaks: addresses reached / frozen after\n");
	for (size_t i = 0; i < r->attack_count; i++)
		print_attack(r, i);
}

bool
flow_report_print_text(const struct flow_report *r)
{
	print_head(r);
	print_columns(r);
	print_attacks(r);
	print_rates(r);
	return fflush(stdout) == 0 && !ferror(stdout);
}

bool
flow_proposal_print_text(const struct flow_proposal_report *r)
{
	print_head(&r->kept);
	printf("# For weir-netd.conf: of %u policies tried, the one under "
	       "which outbreaks reach the fewest\n"
	       "# addresses, of those that hold no more than %g %% of the "
	       "flows below.\n%s",
	    r->proposal->tried, 100 * r->target, r->text);
	printf("\nThe first part, on which it was chosen\n");
	print_columns(&r->sought);
	printf("\nThe last part, kept back to check it\n");
	print_columns(&r->kept);
	print_attacks(&r->kept);
	return fflush(stdout) == 0 && !ferror(stdout);
}

/* ---- JSON ---- */

static json_t *
number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *
seconds(int64_t ms)
{
	return json_real((double)ms / 1000);
}

static json_t *
figures_json(const struct flow_figures *f)
{
	double share =
	    f->flows > 0 ? (double)f->waited.count / (double)f->flows : 0;

	return json_pack("{s:o, s:o, s:f, s:o, s:o, s:o, s:o}", "flows",
	    number(f->flows), "waited", number(f->waited.count), "share", share,
	    "median_s", seconds(f->waited.median), "p99_s",
	    seconds(f->waited.p99), "longest_s", seconds(f->waited.longest),
	    "never", number(f->never));
}

static json_t *
column_json(const struct flow_report *r, const struct flow_column *c)
{
	json_t *attacks = json_array(), *o;

	for (size_t i = 0; i < r->attack_count; i++) {
		const struct flow_attack_result *a = &c->attacks[i];

		json_array_append_new(attacks,
		    json_pack("{s:s, s:o, s:o}", "rate", r->attacks[i].text,
			"reached", number(a->reached), "frozen_after_s",
			a->frozen_after < 0 ? json_null()
					    : seconds(a->frozen_after)));
	}
	o = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "profile", c->name,
	    "freezes", number(c->result.freezes), "hosts",
	    number(c->result.sources), "hosts_frozen", number(c->result.frozen),
	    "hosts_never_noticed", number(c->result.unnoticed), "attacks",
	    attacks);
	for (int p = 0; p < FLOW_PROTOCOLS; p++)
		json_object_set_new(o, keys[p], figures_json(&c->result.of[p]));
	return o;
}

static json_t *
rates_json(const struct flow_rates *v)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < FLOW_RATES_WINDOWS; i++)
		json_array_append_new(
		    rows, json_pack("{s:o, s:o, s:o}", "window_s",
			      seconds(flow_rates_window_ms[i]), "one_host",
			      number(v->host[i]), "together",
			      number(v->together[i])));
	return rows;
}

static json_t *
report_json(const struct flow_report *r)
{
	json_t *columns = json_array(), *name = json_string(r->trace);

	EACH_COLUMN(c)
	json_array_append_new(columns, column_json(r, c));
	/* A file's name need not be UTF-8. */
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "trace",
	    name != NULL ? name : json_null(), "flows",
	    number(r->flows->opened), "addresses",
	    number(flows_address_count(r->flows)), "length_s",
	    seconds(flows_length(r->flows)), "profiles", columns);
}

static bool
dump(json_t *o)
{
	bool ok = o != NULL && json_dumpf(o, stdout, JSON_INDENT(2)) == 0;

	json_decref(o);
	putchar('\n');
	return ok && fflush(stdout) == 0 && !ferror(stdout);
}

bool
flow_report_print_json(const struct flow_report *r)
{
	struct flow_rates all, unnamed;
	json_t *o = report_json(r);

	flow_rates_make(r->flows, &all, &unnamed);
	json_object_set_new(o, "contacts", rates_json(&all));
	if (r->capture != NULL)
		json_object_set_new(
		    o, "contacts_unnamed", rates_json(&unnamed));
	return dump(o);
}

bool
flow_proposal_print_json(const struct flow_proposal_report *r)
{
	return dump(json_pack("{s:f, s:s, s:i, s:o, s:o}", "target", r->target,
	    "policy", r->text, "tried", (int)r->proposal->tried, "sought",
	    report_json(&r->sought), "kept_back", report_json(&r->kept)));
}
