/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gate's table of hosts, without a kernel: bounded, and nothing of a host
 * goes before its time or stays behind.
 */
#include "netgate_rig.h"

static void
test_flood_of_made_up_sources(void **state)
{
	struct rig *r = *state;
	size_t before;

	r->settings.hosts_max = 100;
	r->settings.held_max = 50;
	rig_make(r, NULL);
	for (uint32_t i = 0; i < 100; i++)
		send_packet(r, i, 1, 0);
	before = netgate_memory(r->g);
	for (uint32_t i = 0; i < 100000; i++)
		send_packet(r, 1000 + i, i, i / 100);
	assert_int_equal(netgate_host_count(r->g), 101);
	assert_true(netgate_held_count(r->g) <= 50);
	assert_true(netgate_memory(r->g) < before + 100000);
	assert_int_equal(r->freezes, 0);
	/* Those who were there notice nothing. */
	send_packet(r, 5, 2, 1001);
	assert_int_equal(r->last, NETGATE_ACCEPT);
}

static void
test_idle_hosts_are_forgotten(void **state)
{
	struct rig *r = *state;

	rig_make(r, NULL);
	for (uint32_t i = 0; i < 50; i++)
		send_packet(r, i, 1, 0);
	for (int64_t now = 1000; now < 3700000; now += 60000)
		netgate_run(r->g, now, 0);
	for (int i = 0; i < 50; i++)
		netgate_run(r->g, 3700000 + i * 1000, 0);
	assert_int_equal(netgate_host_count(r->g), 0);
}

/* Somebody outside who tries all addresses fills a part of the table. */
static void
test_scan_from_outside(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .inbound_known_ms = 60000};
	struct rig *r = *state;

	r->settings.hosts_max = 100;
	rig_make(r, &conf);
	for (uint32_t i = 0; i < 10000; i++) {
		struct packet p = packet(7, 1000 + i, IPPROTO_TCP);

		netgate_watch(r->g, &p, NETGATE_CONTACT, 0);
	}
	assert_int_equal(netgate_host_count(r->g), 25);
	for (uint32_t i = 0; i < 75; i++)
		send_packet(r, i, 1, 0);
	assert_int_equal(netgate_counters(r->g)[NETGATE_COUNT_OVERFLOWED], 0);
	/* One that sends makes room for another. */
	send_packet(r, 1000, 1, 0);
	assert_int_equal(netgate_host_count(r->g), 100);
	assert_true(netgate_memory(r->g) > 25 * sizeof(struct packet));
}

static void
test_pairs_of_the_fast_path(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .allow = {.v = (char *[]){(char[]){"tcp any 80"}}, .n = 1}};
	struct rig *r = *state;

	r->settings.fast_path_ms = 1000;
	rig_make(r, &conf);
	send_packet(r, 1, 1, 0);
	assert_int_equal(r->accepted, 1);
	/* Another port of it is not allowed, and the set knows no ports. */
	assert_int_equal(r->known, 0);
	r->settings.fast_path_ports = true;
	netgate_reload(r->g, &r->settings, 1);
	send_packet(r, 1, 1, 2);
	send_packet(r, 1, 1, 3);
	assert_int_equal(r->known, 1);
	assert_int_equal(r->pair.protocol, IPPROTO_TCP);
	assert_int_equal(r->pair.port, 80);
	send_packet(r, 1, 1, 1002); /* its time was over */
	assert_int_equal(r->known, 2);
	assert_true(netgate_freeze(r->g, STR("1.0.0.0"), NULL, 1003, 0));
	assert_int_equal(r->forgotten, 1);
}

static void
test_full_table_and_a_freeze_by_hand(void **state)
{
	struct netgate_host_info info;
	struct rig *r = *state;

	r->settings.hosts_max = 2;
	rig_make(r, NULL);
	for (uint32_t i = 0; i < 3; i++)
		send_packet(r, i, 1, 0);
	assert_false(netgate_freeze(r->g, STR("192.0.2.1"), NULL, 1, 1));
	assert_true(netgate_host_find(r->g, STR("others"), 1, 1, &info));
	assert_false(info.frozen);
	assert_true(netgate_freeze(r->g, STR("1.0.0.0"), NULL, 1, 1));
	assert_int_equal(netgate_frozen_count(r->g), 1);
}

/* For as long as the policy says, though the host itself says nothing. */
static void
test_who_came_first_outlives_idle_expiry(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .idle_expiry_ms = 1000,
	    .inbound_known_ms = 60000};
	struct packet in = packet(9, 1, IPPROTO_TCP);
	struct rig *r = *state;

	rig_make(r, &conf);
	in.dst = packet(1, 1, IPPROTO_TCP).src;
	in.src = packet(1, 7, IPPROTO_TCP).dst;
	netgate_watch(r->g, &in, NETGATE_CONTACT, 0);
	for (int64_t now = 1000; now <= 50000; now += 1000)
		netgate_run(r->g, now, 0);
	send_packet(r, 1, 7, 50000);
	assert_int_equal(netgate_counters(r->g)[NETGATE_COUNT_KNOWN], 1);
	for (int64_t now = 51000; now <= 70000; now += 1000)
		netgate_run(r->g, now, 0);
	assert_int_equal(netgate_host_count(r->g), 0);
}

/* Who comes back and is frozen has no pair left that nobody knows of. */
static void
test_pairs_end_with_their_host(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .idle_expiry_ms = 1000};
	struct rig *r = *state;

	r->settings.fast_path_ms = 3600000;
	rig_make(r, &conf);
	send_packet(r, 1, 1, 0);
	assert_int_equal(r->known, 1);
	for (int64_t now = 1000; now < 100000; now += 1000)
		netgate_run(r->g, now, 0);
	assert_int_equal(netgate_host_count(r->g), 0);
	assert_int_equal(r->forgotten, 1);
}

/* A day of a gateway: hosts come and go, ask for names, are frozen and thawed,
 * the kernel throws away what waits. What was needed in the first six hours
 * is enough for all others. */
static void
test_a_day_without_growth(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .freeze_at = 100,
	    .thaw_after_ms = 60000};
	size_t early = 0, late = 0;
	struct rig *r = *state;
	uint32_t random = 1;

	r->settings.hosts_max = 1000;
	r->settings.fast_path_ms = 10000;
	rig_make(r, &conf);
	for (int64_t s = 0; s < 24 * 3600; s++) {
		/* Other hosts each quarter of an hour. */
		uint32_t host = (uint32_t)(s / 900) * 40, n = 0;
		size_t now;

		for (; n < 2; n++) {
			struct packet p;

			random = random * 1664525 + 1013904223;
			p = packet(1 + host + (random >> 8) % 40,
			    1000 + (random >> 16) % 3000,
			    random & 0x40 ? IPPROTO_TCP : IPPROTO_UDP);
			p.tcp_seq = random;
			netgate_packet(
			    r->g, r->id++, &p, proven, s * 1000, s * 1000);
			netgate_watch(r->g, &p, NETGATE_CONTACT, s * 1000);
		}
		/* A worm each hour. */
		for (n = 0; s % 3600 == 0 && n < 200; n++)
			send_packet(r, 1 + host, 10000 + n, s * 1000);
		netgate_run(r->g, s * 1000, s * 1000);
		now = netgate_memory(r->g);
		if (s < 6 * 3600)
			early = now > early ? now : early;
		else
			late = now > late ? now : late;
	}
	assert_int_equal(r->freezes, 24);
	assert_true(late <= early + early / 10);
	assert_true(netgate_host_count(r->g) <= 600);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_flood_of_made_up_sources),
	    T(test_idle_hosts_are_forgotten),
	    T(test_scan_from_outside),
	    T(test_pairs_of_the_fast_path),
	    T(test_full_table_and_a_freeze_by_hand),
	    T(test_who_came_first_outlives_idle_expiry),
	    T(test_pairs_end_with_their_host),
	    T(test_a_day_without_growth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
