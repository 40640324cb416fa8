/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what the gate was asked, out of a log, asked of a real gate,
 * whatever the order of its lines and whatever they say.
 */
#include "fuzz.h"

#include "replay/exact.h"
#include "replay/lines.h"
#include "replay/setup.h"

const unsigned fuzz_runs = 300;

static void
on_delivered(void *arg, uint64_t label)
{
	(void)arg;
	(void)label;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	(void)arg;
	(void)freeze;
}

static const struct world_callbacks callbacks = {
    .on_delivered = on_delivered,
    .on_freeze = on_freeze,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct setup setup;
	struct world *w;
	struct exact *e;
	struct lines lines;
	struct err err;
	int status = 0;

	fuzz_check(setup_load(&setup, NULL, NULL, &err) == 0,
	    "the built-in configuration");
	w = world_new(&setup.world, &callbacks, NULL, &err, &status);
	fuzz_check(w != NULL, "no world");
	e = exact_new(w);
	lines_init(&lines, "fuzz", exact_add_line, e);
	if (lines_push(&lines, (struct str){(const char *)data, size}, &err))
		(void)!lines_end(&lines, &err);
	lines_clear(&lines);
	fuzz_check(exact_stats(e)->different <= exact_stats(e)->verdicts,
	    "more differences than verdicts");
	exact_free(e);
	world_free(w);
	setup_clear(&setup);
	return 0;
}
