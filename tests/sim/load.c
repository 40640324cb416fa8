/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large spools, which weir reads behind its listeners: in half of the lives a
 * page has a message or three, comes late, and the start waits for none.
 */
#include "sim.h"

#include "gate/gate.h"

#include <stdlib.h>

static struct {
	struct spool *spool; /* that is open */
	bool is_slow;
} load;

struct late {
	struct spool *s;
	spool_held_fn *fn;
	void *arg;
};

struct spool *__real_spool_open(const struct spool_settings *settings,
    struct log *log, char *err, size_t err_cap, int *status);
struct spool *__wrap_spool_open(const struct spool_settings *settings,
    struct log *log, char *err, size_t err_cap, int *status);
void __real_spool_close(struct spool *s);
void __wrap_spool_close(struct spool *s);
void __real_spool_load_held(struct spool *s, spool_held_fn *fn, void *arg);
void __wrap_spool_load_held(struct spool *s, spool_held_fn *fn, void *arg);
bool __real_gate_load_wait(struct gate *g, int64_t ms);
bool __wrap_gate_load_wait(struct gate *g, int64_t ms);

struct spool *
__wrap_spool_open(const struct spool_settings *settings, struct log *log,
    char *err, size_t err_cap, int *status)
{
	struct spool_settings own = *settings;

	load.is_slow = sim_chance(500);
	if (load.is_slow)
		own.load_page = 1 + (uint32_t)sim_below(3);
	load.spool = __real_spool_open(&own, log, err, err_cap, status);
	return load.spool;
}

void
__wrap_spool_close(struct spool *s)
{
	load.spool = NULL;
	__real_spool_close(s);
}

static void
late_main(void *arg)
{
	struct late *l = arg;

	co_sleep(sim_span(0, 30 * SECOND_US));
	if (load.spool == l->s)
		__real_spool_load_held(l->s, l->fn, l->arg);
	free(l);
}

void
__wrap_spool_load_held(struct spool *s, spool_held_fn *fn, void *arg)
{
	struct late *l;

	if (!load.is_slow) {
		__real_spool_load_held(s, fn, arg);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	*l = (struct late){s, fn, arg};
	co_start(late_main, l, true);
}

bool
__wrap_gate_load_wait(struct gate *g, int64_t ms)
{
	return !load.is_slow && __real_gate_load_wait(g, ms);
}
