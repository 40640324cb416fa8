/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim SEED [HOURS] [-v]: one world. weir starts, lives, and ends by a signal, a
 * kill or a loss of power, over and over until the hours are over; then the
 * world calms down, and everything has to come to its end.
 */
#include "world.h"

#include "maild/maild.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONFIG "/sim/weir.conf"
#define SETTLE_US (60 * DAY_US)

void sim_seed(uint64_t seed);

static struct {
	bool lives, over, ending;
	int status;
	uint64_t life;
} weir;

static void
life_main(void *arg)
{
	(void)arg;
	weir.status = maild_run(CONFIG, NULL);
	weir.over = true;
	sim_stop();
}

static void
on_stop(void *arg, uint64_t life)
{
	(void)arg;
	if (weir.life != life || !weir.lives || weir.ending)
		return;
	sim_say("SIGTERM");
	event_signal(SIGTERM);
}

static void
on_kill(void *arg, uint64_t life)
{
	(void)arg;
	if (weir.life == life && weir.lives && !weir.ending)
		sim_kill_after(1 + sim_below(200));
}

static void
on_hour(void *arg, uint64_t unused)
{
	(void)arg;
	(void)unused;
	weir.ending = true;
	sim_stop();
}

static void
on_pause(void *arg, uint64_t unused)
{
	(void)arg;
	(void)unused;
	sim_stop();
}

static void
write_config(void)
{
	static const char *const frozen[] = {"tempfail", "hold", "reject"};
	static const char *const multi[] = {"split", "whole"};
	char text[2048];

	rules.burst = sim_chance(500) ? 10 : 3;
	rules.interval_s = sim_chance(500) ? 60 : 600;
	rules.freeze_at = sim_chance(500) ? 100 : 20;
	rules.when_frozen = frozen[sim_below(3)];
	rules.multi = multi[sim_below(2)];
	rules.calm = sim_chance(100);
	rules.wild = !rules.calm && sim_chance(300);
	snprintf(text, sizeof(text),
	    "hostname = \"weir.sim\"\n"
	    "spool = \"" SPOOL "\"\n"
	    "control = \"" CONTROL "\"\n"
	    "next_hop = {\"127.0.0.1:10025\", \"127.0.0.1:10026\"}\n"
	    "log_level = %s\n"
	    "min_free = \"%s\"\n"
	    "listen \"in\" { address = \"127.0.0.1:2525\" }\n"
	    "policy \"default\" { burst = %u interval = \"%us\" initial = %u\n"
	    " freeze_at = %u when_frozen = %s multi = %s }\n",
	    sim_verbose ? "debug" : "error", sim_chance(500) ? "1M" : "10M",
	    rules.burst, rules.interval_s, rules.burst, rules.freeze_at,
	    rules.when_frozen, rules.multi);
	sim_say("%s", text);
	disk_write_file(CONFIG, text);
}

/* Weir is gone at once: everything of it but what it had on the disk. */
static void
bury(bool power)
{
	sim_say("weir is %s", power ? "without power" : "killed");
	sim_forget_weir();
	event_forget();
	vfs_forget();
	net_forget();
	disk_crash(power);
	oracle_crash();
	oracle_check(false);
	if (power)
		totals.losses++;
	else
		totals.kills++;
}

static void
plan_end(void)
{
	int64_t now = sim_now(), mean = (rules.wild ? 1 : 10) * HOUR_US;

	sim_kill_after(0);
	if (rules.calm)
		return;
	if (sim_chance(400)) /* at any step, also of the start */
		sim_kill_after(
		    1 + (UINT64_C(1) << sim_below(14)) + sim_below(1000));
	else if (sim_chance(600))
		sim_at(now + sim_gap(mean), on_kill, NULL, weir.life);
	else
		sim_at(now + sim_gap(mean), on_stop, NULL, weir.life);
}

static void
start_life(void)
{
	weir.over = false;
	weir.lives = true;
	weir.life++;
	co_start(life_main, NULL, true);
}

/* Until weir's end, or the world's: then it lives on. */
static void
live(void)
{
	start_life();
	plan_end();
	if (sim_run()) {
		weir.lives = false;
		bury(sim_chance(500));
		return;
	}
	if (!weir.over)
		return;
	weir.lives = false;
	sim_forget_weir();
	event_forget();
	oracle_crash();
	if (weir.status != 0 && rules.calm)
		sim_fail("weir ended with status %d", weir.status);
	disk_crash(false);
	vfs_forget();
	net_forget();
	totals.stops++;
	oracle_check(false);
}

static void
pause_for(int64_t us)
{
	sim_at(sim_now() + us, on_pause, NULL, 0);
	(void)sim_run();
}

static bool settled;

static void
settle_main(void *arg)
{
	int64_t until = sim_now() + SETTLE_US;

	(void)arg;
	co_sleep(HOUR_US);
	while (!oracle_is_settled() && sim_now() < until) {
		world_thaw_all();
		co_sleep(6 * HOUR_US);
	}
	settled = true;
	co_sleep(HOUR_US);
	sim_stop();
}

static void
run(uint64_t seed, int64_t hours)
{
	sim_seed(seed);
	vfs_install();
	write_config();
	world_start();
	sim_at(hours * HOUR_US, on_hour, NULL, 0);
	while (!weir.ending) {
		live();
		if (!weir.ending)
			pause_for(sim_span(SECOND_US / 100, 2 * MINUTE_US));
	}
	weir.ending = true;
	sim_kill_after(0);
	world_calm();
	co_start(settle_main, NULL, false);
	if (weir.over || !weir.lives)
		start_life();
	while (!settled) {
		(void)sim_run();
		if (weir.over && !settled)
			sim_fail("weir ended with status %d, and nothing is "
				 "wrong",
			    weir.status);
	}
	oracle_end();
	/* Two listeners, the spool's event, the lost and found of workers. */
	if (net_weir_sockets() > 12)
		sim_fail("%zu sockets are open", net_weir_sockets());
}

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	int64_t hours = argc > 2 ? atoll(argv[2]) : 240;
	clock_t start = clock();

	sim_verbose = argc > 3;
	setvbuf(stdout, NULL, _IOLBF, 65536);
	run(seed, hours);
	printf("seed %" PRIu64 ": %.1f days in %.1f s, %" PRIu64
	       " letters, %" PRIu64 " recipients owed, %" PRIu64
	       " delivered, %" PRIu64 " bounced, %" PRIu64 " again, %" PRIu64
	       " kills, %" PRIu64 " power losses, %" PRIu64 " stops, %" PRIu64
	       " faults, at most %" PRIu64 " rows, %" PRIu64
	       " steps, digest %016" PRIx64 "\n",
	    seed, (double)sim_now() / (double)DAY_US,
	    (double)(clock() - start) / CLOCKS_PER_SEC, totals.letters,
	    totals.owed, totals.delivered, totals.bounced, totals.again,
	    totals.kills, totals.losses, totals.stops, totals.faults,
	    totals.held, sim_points(), sim_digest());
	return 0;
}
