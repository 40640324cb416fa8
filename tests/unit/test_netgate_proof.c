/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets whose source address may be forged, and decoys: nobody is frozen by
 * what another sent in his name, and what is forged is stopped all the same.
 */
#include "netgate_rig.h"

#include "base/ip_ranges.h"

static void
send_claimed(struct rig *r, uint32_t src, uint32_t dst, int64_t now)
{
	struct packet p = packet(src, dst, IPPROTO_TCP);

	netgate_packet(r->g, r->id++, &p, (struct netgate_origin){.sender = 7},
	    now, now + 1000000);
}

static void
send_by(
    struct rig *r, uint32_t src, uint32_t dst, bool is_proven, uint64_t sender)
{
	struct packet p = packet(src, dst, IPPROTO_TCP);

	netgate_packet(r->g, r->id++, &p,
	    (struct netgate_origin){is_proven, sender}, 0, 1000000);
}

static struct netgate_host_info
find(struct rig *r, const char *text)
{
	struct netgate_host_info info;

	assert_true(netgate_host_find(r->g, str_from(text), 0, 0, &info));
	return info;
}

static void
test_forged_flood_stops_itself_alone(void **state)
{
	struct rig *r = *state;
	struct netgate_host_info info;

	rig_make(r, NULL);
	/* 99 of its own would not freeze it, and forged ones do not add. */
	for (uint32_t i = 0; i < 130; i++)
		send_claimed(r, 1, 100 + i, 0);
	assert_int_equal(r->accepted, 5);
	assert_int_equal(r->dropped, 25);
	assert_int_equal(r->notices, 1);
	assert_int_equal(
	    netgate_counters(r->g)[NETGATE_COUNT_CLAIMED_FULL], 25);
	/* The owner has its own working set and queue. */
	for (uint32_t i = 0; i < 5; i++) {
		send_packet(r, 1, 500 + i, 0);
		assert_int_equal(r->last, NETGATE_ACCEPT);
	}
	for (uint32_t i = 0; i < 99; i++)
		send_packet(r, 1, 600 + i, 0);
	assert_int_equal(r->freezes, 0);
	info = find(r, "1.0.0.0");
	assert_true(info.proven);
	assert_int_equal(info.queue_length, 199);
	assert_int_equal(info.waiting_claimed, 100);
	/* One each second, and no more. */
	netgate_run(r->g, 3000, 0);
	assert_int_equal(r->accepted, 10 + 6);
	send_packet(r, 1, 800, 3000);
	send_packet(r, 1, 801, 3000);
	send_packet(r, 1, 802, 3000);
	send_packet(r, 1, 803, 3000);
	assert_int_equal(r->freezes, 1);
	/* Frozen: whatever is sent in its name is refused, too, and nothing
	 * waits any more. */
	assert_int_equal(netgate_held_count(r->g), 0);
	send_claimed(r, 1, 100, 3000);
	assert_int_equal(r->last, NETGATE_DROP);
}

/* What was claimed becomes its own when the one who claimed it is proven, and
 * freezes it then; not if another had a share in it. */
static void
test_frozen_once_proven(void **state)
{
	struct rig *r = *state;

	rig_make(r, NULL);
	for (uint32_t i = 0; i < 50; i++)
		send_by(r, 1, 100 + i, false, 7);
	send_by(r, 1, 200, true, 7);
	assert_int_equal(r->accepted, 5);
	assert_int_equal(find(r, "1.0.0.0").queue_length, 46);
	assert_int_equal(find(r, "1.0.0.0").waiting_claimed, 0);
	for (uint32_t i = 0; i < 50; i++)
		send_by(r, 1, 300 + i, false, 8);
	assert_int_equal(find(r, "1.0.0.0").waiting_claimed, 45);
	assert_int_equal(r->freezes, 0);

	for (uint32_t i = 0; i < 130; i++)
		send_by(r, 2, 100 + i, false, 7);
	assert_int_equal(r->freezes, 0);
	send_by(r, 2, 100, true, 7);
	assert_int_equal(r->freezes, 1);
	assert_true(find(r, "2.0.0.0").frozen);

	for (uint32_t i = 0; i < 130; i++)
		send_by(r, 3, 100 + i, false, i == 100 ? 8 : 7);
	send_by(r, 3, 100, true, 7);
	assert_int_equal(r->freezes, 1);
	assert_int_equal(r->last, NETGATE_ACCEPT);
	netgate_run(r->g, 500000, 0);
	assert_int_equal(netgate_held_count(r->g), 0);
}

static void
test_claimed_hosts_end(void **state)
{
	struct rig *r = *state;

	rig_make(r, NULL);
	for (uint32_t i = 0; i < 50; i++)
		send_claimed(r, i, 1, 0);
	assert_int_equal(netgate_host_count(r->g), 50);
	assert_false(find(r, "1.0.0.0").proven);
	for (int64_t now = 1000; now < 3700000; now += 60000)
		netgate_run(r->g, now, 0);
	for (int i = 0; i < 50; i++)
		netgate_run(r->g, 3700000 + i * 1000, 0);
	assert_int_equal(netgate_host_count(r->g), 0);
}

/* Made-up addresses leave places for hosts that are proven, and half of what
 * may wait. */
static void
test_shares(void **state)
{
	struct rig *r = *state;

	r->settings.hosts_max = 100;
	r->settings.held_max = 50;
	rig_make(r, NULL);
	for (uint32_t i = 0; i < 1000; i++)
		send_claimed(r, 1000 + i, 1, 0);
	assert_int_equal(netgate_host_count(r->g), 76);
	for (uint32_t i = 0; i < 1000; i++)
		send_claimed(r, 1000 + i % 75, i, 0);
	assert_int_equal(netgate_held_count(r->g), 25);
	for (uint32_t i = 0; i < 25; i++) {
		send_packet(r, 5000 + i, 1, 0);
		assert_int_equal(r->last, NETGATE_ACCEPT);
	}
	assert_int_equal(netgate_host_count(r->g), 101);
}

static void
set_decoys(struct rig *r, const char *a, const char *b)
{
	struct ip_net nets[2];

	assert_true(ip_net_parse(str_from(a), &nets[0]));
	assert_true(ip_net_parse(str_from(b), &nets[1]));
	r->settings.decoys = ip_ranges_new(nets, 2);
}

static void
test_decoys(void **state)
{
	struct rig *r = *state;
	struct ip_net spared;

	set_decoys(r, "9.0.0.0/8", "8.0.0.1");
	assert_true(ip_net_parse(STR("4.0.0.0"), &spared));
	r->settings.never_block = &spared;
	r->settings.never_block_count = 1;
	rig_make(r, NULL);
	send_packet(r, 1, 7, 0);
	assert_int_equal(r->last, NETGATE_ACCEPT);
	/* Not proven: told once, and paced as any. */
	for (uint32_t i = 0; i < 8; i++)
		send_claimed(r, 2, 9 + (i << 8), 0);
	assert_int_equal(r->freezes, 0);
	assert_int_equal(r->notices, 1);
	assert_int_equal(netgate_held_count(r->g), 3);
	/* May never be frozen: told. */
	send_packet(r, 4, 8 + (1 << 24), 0);
	assert_int_equal(r->freezes, 0);
	assert_int_equal(r->notices, 2);
	/* Proven: frozen by one packet. */
	send_packet(r, 3, 8 + (1 << 24), 0);
	assert_int_equal(r->freezes, 1);
	assert_int_equal(r->last, NETGATE_DROP);
	assert_string_equal(find(r, "3.0.0.0").freeze_reason, "decoy");
	assert_int_equal(netgate_counters(r->g)[NETGATE_COUNT_DECOYS], 10);
	ip_ranges_free((struct ip_ranges *)r->settings.decoys);
}

/* A host behind a router has what DNS and contacts taught its address. */
static void
test_claimed_knows_what_the_owner_knows(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .freeze_at = 100,
	    .inbound_known_ms = 60000,
	    .credit = NETPOLICY_CREDIT_BESIDE};
	struct rig *r = *state;
	struct packet p = packet(77, 1, IPPROTO_TCP);

	rig_make(r, &conf);
	netgate_watch(r->g, &p, NETGATE_CONTACT, 0);
	for (uint32_t i = 0; i < 8; i++)
		send_claimed(r, 1, i, 0);
	send_claimed(r, 1, 77, 0);
	assert_int_equal(r->last, NETGATE_ACCEPT);
	/* Its answers earn its credit. */
	p = packet(2, 1, IPPROTO_TCP);
	p.tcp_flags = PACKET_SYN | PACKET_ACK;
	netgate_watch(r->g, &p, NETGATE_ANSWER, 0);
	assert_int_equal(netgate_counters(r->g)[NETGATE_COUNT_SUCCESSES], 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_forged_flood_stops_itself_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_frozen_once_proven, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_claimed_hosts_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_decoys, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_claimed_knows_what_the_owner_knows, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
