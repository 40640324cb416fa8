/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: traces, their nodes, and flows. Where the input is cut makes no
 * difference, an error names a line, and what was taken is within its bounds.
 */
#include "fuzz.h"

#include "replay/flows.h"
#include "replay/lines.h"
#include "replay/trace.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TRACE, NODES, FLOWS, KINDS };

struct outcome {
	struct flows flows;
	struct trace trace;
	struct trace_nodes nodes;
	bool ok;
	struct err err;
};

static void
take(struct outcome *o, struct str in, size_t step, int kind)
{
	static lines_fn *const fns[] = {
	    trace_add_line, trace_nodes_add_line, flows_add_line};
	void *args[] = {&o->trace, &o->nodes, &o->flows};
	struct lines l;
	bool ok = true;

	*o = (struct outcome){.ok = false};
	lines_init(&l, "in", fns[kind], args[kind]);
	for (size_t i = 0; i < in.n && ok; i += step)
		ok = lines_push(&l, str_sub(in, i, step), &o->err);
	o->ok = ok && lines_end(&l, &o->err);
	lines_clear(&l);
}

static void
check_trace(const struct trace *t)
{
	uint32_t at = 0, before = 0;

	for (uint32_t i = 0; i < t->message_count; i++) {
		const struct trace_message *m = &t->messages[i];

		fuzz_check(m->first == at && m->count > 0, "recipients");
		fuzz_check(m->seconds >= before, "times");
		fuzz_check(m->seconds <= TRACE_SECONDS_MAX, "a time");
		fuzz_check(m->sender <= t->id_max, "a sender");
		at += m->count;
		before = m->seconds;
	}
	/* A line that was refused may leave some. */
	fuzz_check(at <= t->recipient_count, "too many");
	for (uint32_t i = 0; i < t->recipient_count; i++)
		fuzz_check(t->recipients[i] <= t->id_max, "a recipient");
}

static void
check_flows(const struct flows *f)
{
	int64_t before = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		fuzz_check(f->v[i].at >= before, "times of flows");
		fuzz_check(
		    f->v[i].at <= FLOWS_SECONDS_MAX * INT64_C(1000) + 999,
		    "a flow's time");
		fuzz_check(f->v[i].src < flows_address_count(f) &&
			       f->v[i].dst < flows_address_count(f),
		    "an address");
		before = f->v[i].at;
	}
}

static void
clear(struct outcome *o)
{
	trace_clear(&o->trace);
	trace_nodes_clear(&o->nodes);
	flows_clear(&o->flows);
}

static void
check_same(const struct outcome *a, const struct outcome *b)
{
	const struct trace *x = &a->trace, *y = &b->trace;

	fuzz_check(a->ok == b->ok, "the end differs");
	fuzz_check(strcmp(a->err.text, b->err.text) == 0, "errors differ");
	fuzz_check(x->message_count == y->message_count &&
		       x->recipient_count == y->recipient_count &&
		       x->id_max == y->id_max,
	    "traces differ");
	fuzz_check(a->nodes.count == b->nodes.count, "nodes differ");
	fuzz_check(a->flows.count == b->flows.count, "flows differ");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	int kind = fuzz_byte(&in) % KINDS;
	size_t step = 1 + fuzz_byte(&in);
	struct outcome whole, cut;

	take(&whole, in, in.n > 0 ? in.n : 1, kind);
	take(&cut, in, step, kind);
	check_same(&whole, &cut);
	if (!whole.ok)
		fuzz_check(strncmp(whole.err.text, "in:", 3) == 0, "no line");
	check_trace(&whole.trace);
	check_flows(&whole.flows);
	clear(&whole);
	clear(&cut);
	return 0;
}
