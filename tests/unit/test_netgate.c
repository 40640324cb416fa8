/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The decision about packets, without a kernel: every packet gets exactly one
 * verdict, and time may jump.
 */
#include "netgate_rig.h"

static void
test_paper(void **state)
{
	struct rig *r = *state;

	rig_make(r, NULL);
	for (uint32_t i = 0; i < 8; i++)
		send_packet(r, 1, i, 0);
	assert_int_equal(r->accepted, 5);
	assert_int_equal(netgate_held_count(r->g), 3);
	assert_true(netgate_next_due(r->g) <= 1000);
	netgate_run(r->g, 999, 0);
	assert_int_equal(r->accepted, 5);
	netgate_run(r->g, 1000, 0);
	assert_int_equal(r->accepted, 6);
	send_packet(r, 1, 5, 1001); /* known now */
	assert_int_equal(r->accepted, 7);
	/* A clock that jumps backwards, then far ahead. */
	netgate_run(r->g, -5000, 0);
	send_packet(r, 1, 5, -5000);
	assert_int_equal(r->accepted, 8);
	netgate_run(r->g, 1000000, 0);
	assert_int_equal(netgate_held_count(r->g), 0);
}

static void
test_copies(void **state)
{
	struct rig *r = *state;

	rig_make(r, NULL);
	for (uint32_t i = 0; i < 6; i++)
		send_packet(r, 1, i, 0);
	for (int i = 0; i < 300; i++)
		send_packet(r, 1, 5, 1);
	assert_int_equal(r->dropped, 300);
	assert_int_equal(r->freezes, 0);
	assert_int_equal(netgate_held_count(r->g), 1);
	netgate_run(r->g, 1000, 0);
	assert_int_equal(r->accepted, 6);
}

static void
send_flow(struct rig *r, uint32_t dst, uint32_t packets, int64_t now)
{
	struct packet p = packet(1, dst, IPPROTO_UDP);

	for (uint32_t i = 0; i < packets; i++)
		netgate_packet(r->g, r->id++, &p, proven, now, now);
}

/* One stream is one request, however many packets it has. */
static void
test_udp_flow_is_one(void **state)
{
	struct rig *r = *state;
	const uint64_t *counters;

	rig_make(r, NULL);
	counters = netgate_counters(r->g);
	for (uint32_t i = 0; i < 5; i++)
		send_flow(r, i, 1, 0);
	send_flow(r, 5, 300, 1);
	assert_int_equal(r->freezes, 0);
	assert_int_equal(r->dropped, 292);
	assert_int_equal(counters[NETGATE_COUNT_FLOW_DROPPED], 292);
	assert_int_equal(counters[NETGATE_COUNT_DELAYED], 8);
	/* A call's candidates, one after the other, again and again. */
	for (uint32_t i = 0; i < 200; i++)
		send_flow(r, 6 + i % 20, 1, 2);
	assert_int_equal(r->freezes, 0);
	assert_int_equal(netgate_held_count(r->g), 21);
	netgate_run(r->g, 1000, 0);
	assert_int_equal(r->accepted, 5 + 8);
	assert_int_equal(counters[NETGATE_COUNT_RELEASED], 8);
	/* Known now. */
	send_flow(r, 5, 10, 1001);
	assert_int_equal(r->accepted, 5 + 8 + 10);
	netgate_run(r->g, 30000, 0);
	assert_int_equal(r->accepted, 5 + 8 + 10 + 160);
	/* Another port is another flow. */
	send_flow(r, 89, 1, 30000);
	for (uint32_t i = 0; i < 100; i++) {
		struct packet p = packet(1, 90, IPPROTO_UDP);

		p.sport = (uint16_t)(2000 + i);
		netgate_packet(r->g, r->id++, &p, proven, 30000, 30000);
	}
	assert_int_equal(r->freezes, 1);
}

/* The paper's letter. */
static void
test_counted_flow_freezes(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .count_retries = true};
	struct rig *r = *state;

	rig_make(r, &conf);
	for (uint32_t i = 0; i < 5; i++)
		send_flow(r, i, 1, 0);
	send_flow(r, 5, 99, 1);
	assert_int_equal(r->freezes, 0);
	send_flow(r, 5, 1, 1);
	assert_int_equal(r->freezes, 1);
}

/* Further packets have a bound of their own, so that requests have room. */
static void
test_flows_are_bounded(void **state)
{
	struct rig *r = *state;

	r->settings.held_max = 20;
	rig_make(r, NULL);
	for (uint32_t i = 0; i < 5; i++)
		send_flow(r, i, 1, 0);
	for (uint32_t i = 5; i < 10; i++)
		send_flow(r, i, 8, 0);
	assert_int_equal(netgate_held_count(r->g), 5);
	assert_int_equal(r->dropped, 40 - 13);
	/* What has gone leaves its room. */
	for (uint32_t round = 1; round < 10; round++) {
		uint32_t before = r->accepted;

		netgate_run(r->g, round * 20000, 0);
		assert_int_equal(netgate_held_count(r->g), 0);
		assert_int_equal(r->accepted - before, round == 1 ? 13 : 12);
		for (uint32_t i = 0; i < 5; i++)
			send_flow(r, 10 * round + i, 8, round * 20000);
		assert_int_equal(netgate_held_count(r->g), 4);
	}
	netgate_run(r->g, 200000, 0);
	for (uint32_t i = 200; i < 206; i++)
		send_flow(r, i, 8, 200000);
	send_flow(r, 206, 1, 200000);
	assert_int_equal(netgate_held_count(r->g), 6);
	netgate_lose_held(r->g, 200001);
	assert_int_equal(netgate_counters(r->g)[NETGATE_COUNT_LOST], 14);
	for (uint32_t i = 0; i < r->id; i++)
		r->verdicts[i] = 1; /* the kernel needs none */
}

/* In observe mode all goes at once, and what is reported is what enforce mode
 * would do. */
static void
test_observe_knows_flows(void **state)
{
	struct rig *r = *state;
	struct netgate_settings enforce;

	r->settings.observe = true;
	rig_make(r, NULL);
	for (uint32_t i = 0; i < 6; i++)
		send_packet(r, 1, i, 0);
	for (uint32_t i = 0; i < 5; i++)
		send_flow(r, i, 1, 0);
	for (uint32_t i = 0; i < 300; i++)
		send_packet(r, 1, 5, 1);
	send_flow(r, 5, 300, 1);
	assert_int_equal(r->accepted, 611);
	assert_int_equal(r->freezes, 0);
	assert_int_equal(netgate_held_count(r->g), 0);
	/* What a place stands for waits from now on. */
	enforce = r->settings;
	enforce.observe = false;
	netgate_reload(r->g, &enforce, 2);
	send_packet(r, 1, 5, 3);
	send_flow(r, 5, 2, 3);
	assert_int_equal(r->accepted, 611);
	assert_int_equal(netgate_held_count(r->g), 2);
	netgate_run(r->g, 1000, 0);
	assert_int_equal(r->accepted, 611 + 3);
	/* A scan is reported all the same. */
	netgate_reload(r->g, &r->settings, 1001);
	for (uint32_t i = 100; i < 210; i++)
		send_packet(r, 1, i, 1002);
	assert_int_equal(r->freezes, 1);
	assert_int_equal(r->dropped, 0);
}

/* What the kernel threw away waits no more; a SYN keeps its place, and its next
 * copy goes when the first would have. */
static void
test_lost(void **state)
{
	struct rig *r = *state;
	struct packet p = packet(1, 50, IPPROTO_UDP);
	const uint64_t *counters;

	rig_make(r, NULL);
	counters = netgate_counters(r->g);
	for (uint32_t i = 0; i < 7; i++)
		send_packet(r, 1, i, 0);
	for (uint32_t i = 0; i < 6; i++) {
		p.dst.bytes[0] = (uint8_t)(50 + i);
		netgate_packet(r->g, r->id++, &p, proven, 0, 0);
	}
	assert_int_equal(netgate_held_count(r->g), 3);
	netgate_lose_held(r->g, 500);
	assert_int_equal(netgate_held_count(r->g), 0);
	assert_int_equal(counters[NETGATE_COUNT_LOST], 3);
	send_packet(r, 1, 5, 600); /* the first one's copy */
	assert_int_equal(netgate_held_count(r->g), 1);
	netgate_lose_held(r->g, 700);
	send_packet(r, 1, 5, 800);
	netgate_run(r->g, 1000, 0);
	assert_int_equal(r->accepted, 10 + 1);
	assert_int_equal(counters[NETGATE_COUNT_RELEASED], 1);
	/* The other's time comes without a copy: that passes when it comes. */
	netgate_run(r->g, 2000, 0);
	assert_int_equal(counters[NETGATE_COUNT_RELEASED], 1);
	send_packet(r, 1, 6, 2500);
	assert_int_equal(r->last, NETGATE_ACCEPT);
	assert_int_equal(counters[NETGATE_COUNT_LOST], 4);
	/* A verdict that met nothing. */
	netgate_count_lost(r->g);
	assert_int_equal(counters[NETGATE_COUNT_RELEASED], 0);
	assert_int_equal(r->dropped, 0);
	/* Those that were lost had no verdict, and never will. */
	for (uint32_t i = 0; i < r->id; i++)
		r->verdicts[i] = 1;
}

static void
test_counted_copies_freeze(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .count_retries = true};
	struct rig *r = *state;

	rig_make(r, &conf);
	for (uint32_t i = 0; i < 6; i++)
		send_packet(r, 1, i, 0);
	for (int i = 0; i < 98; i++)
		send_packet(r, 1, 5, 1);
	assert_int_equal(r->freezes, 0);
	send_packet(r, 1, 5, 1);
	assert_int_equal(r->freezes, 1);
	assert_int_equal(netgate_held_count(r->g), 0);
}

static void
test_freeze_and_reject(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .when_frozen = NETPOLICY_REJECT,
	    .thaw_after_ms = 5000};
	struct rig *r = *state;

	r->settings.fast_path_ms = 10000;
	rig_make(r, &conf);
	for (uint32_t i = 0; i < 105; i++)
		send_packet(r, 1, i, 0);
	assert_int_equal(r->freezes, 1);
	assert_int_equal(r->rejected, 100);
	assert_int_equal(r->known, 5);
	assert_int_equal(r->forgotten, 5);
	send_packet(r, 2, 7, 0); /* another host */
	assert_int_equal(r->last, NETGATE_ACCEPT);
	assert_int_equal(netgate_frozen_count(r->g), 1);
	netgate_run(r->g, 4999, 0);
	assert_int_equal(netgate_frozen_count(r->g), 1);
	netgate_run(r->g, 5000, 0);
	assert_int_equal(netgate_frozen_count(r->g), 0);
	send_packet(r, 1, 3, 5001);
	assert_int_equal(r->last, NETGATE_ACCEPT);
}

static void
test_state_over_a_restart(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .thaw_after_ms = 10000};
	struct rig *r = *state;
	struct netgate_host_info h;
	struct buf text;
	size_t bad;

	rig_make(r, &conf);
	assert_true(netgate_freeze(
	    r->g, STR("10.0.0.1"), "ticket 17: asked", 0, 100000));
	assert_true(netgate_freeze(r->g, STR("2001:db8::1"), NULL, 0, 100000));
	assert_false(netgate_freeze(r->g, STR("nobody"), NULL, 0, 0));
	buf_init(&text, 4096);
	assert_true(netgate_save(r->g, &text));
	netgate_free(r->g);
	r->g = netgate_new(&r->settings, &ops, r, NULL);
	assert_int_equal(
	    netgate_load(r->g, buf_str(&text), 7, 104000, &bad), 2);
	assert_int_equal(bad, 0);
	assert_true(netgate_host_find(r->g, STR("10.0.0.1"), 7, 104000, &h));
	assert_string_equal(h.freeze_reason, "by hand: ticket 17: asked");
	assert_true(netgate_host_find(r->g, STR("2001:db8::1"), 7, 104000, &h));
	assert_string_equal(h.freeze_reason, "by hand");
	/* 4 s were over. */
	netgate_run(r->g, 7 + 5999, 0);
	assert_int_equal(netgate_frozen_count(r->g), 2);
	netgate_run(r->g, 7 + 6000, 0);
	assert_int_equal(netgate_frozen_count(r->g), 0);
	assert_int_equal(netgate_load(r->g,
			     STR("10.0.0.1 x by hand\n10.0.0.300 1 a\n\n"
				 "10.0.0.2 5 ?\n10.0.0.2 6 again\n10.0.0.3 "
				 "99999999999999999999999 y"),
			     7, 0, &bad),
	    1);
	assert_int_equal(bad, 4);
	assert_int_equal(netgate_load(r->g,
			     STR("10.0.0.4 5 by hand: \033[31m\n"), 7, 0, &bad),
	    1);
	assert_true(netgate_host_find(r->g, STR("10.0.0.4"), 7, 0, &h));
	assert_string_equal(h.freeze_reason, "by hand");
	buf_clear(&text);
}

static void
test_other_packets_pass(void **state)
{
	struct packet p = packet(1, 2, IPPROTO_ICMP);
	struct rig *r = *state;

	rig_make(r, NULL);
	netgate_packet(r->g, r->id++, &p, proven, 0, 0);
	p.protocol = IPPROTO_TCP;
	p.tcp_flags = PACKET_SYN | PACKET_ACK;
	netgate_packet(r->g, r->id++, &p, proven, 0, 0);
	assert_int_equal(r->accepted, 2);
	assert_int_equal(netgate_host_count(r->g), 0);
}

/* What is let go in the end goes; what ends with the daemon does not. */
static void
test_end_lets_nothing_out(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .when_frozen = NETPOLICY_REJECT};
	struct rig *r = *state;

	rig_make(r, &conf);
	for (uint32_t i = 0; i < 9; i++)
		send_packet(r, 1, i, 0);
	netgate_free(r->g);
	r->g = NULL;
	assert_int_equal(r->accepted, 5);
	assert_int_equal(r->dropped, 4);
	assert_int_equal(r->rejected, 0);
}

static void
test_observe_lets_go_what_waits(void **state)
{
	struct netgate_settings observe;
	struct rig *r = *state;

	rig_make(r, NULL);
	for (uint32_t i = 0; i < 9; i++)
		send_packet(r, 1, i, 0);
	assert_int_equal(netgate_held_count(r->g), 4);
	observe = r->settings;
	observe.observe = true;
	netgate_reload(r->g, &observe, 1);
	assert_int_equal(netgate_held_count(r->g), 0);
	assert_int_equal(r->accepted, 9);
}

static void
test_thaw_after_of_a_reload(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100};
	struct rig *r = *state;
	struct netpolicies *old;
	char err[256];

	rig_make(r, &conf);
	for (uint32_t i = 0; i < 105; i++)
		send_packet(r, 1, i, 1000);
	assert_int_equal(netgate_frozen_count(r->g), 1);
	conf.thaw_after_ms = 5000;
	old = r->policies;
	r->policies = netpolicies_new(&conf, 1, err, sizeof(err));
	r->settings.policies = r->policies;
	netgate_reload(r->g, &r->settings, 3000);
	netpolicies_free(old);
	assert_true(netgate_next_due(r->g) <= 6000);
	netgate_run(r->g, 5999, 0);
	assert_int_equal(netgate_frozen_count(r->g), 1);
	netgate_run(r->g, 6000, 0);
	assert_int_equal(netgate_frozen_count(r->g), 0);
}

/* Two connections to one address count once, and neither overtakes. */
static void
test_aggregate_is_not_evaded_by_two(void **state)
{
	struct option_rates aggregate = {{{3, 60000}}, 1};
	struct rig *r = *state;

	r->settings.aggregate_limit = &aggregate;
	rig_make(r, NULL);
	for (uint32_t i = 0; i < 5; i++) {
		struct packet p = packet(1, i, IPPROTO_TCP);

		netgate_packet(r->g, r->id++, &p, proven, 0, 0);
		p.sport++;
		netgate_packet(r->g, r->id++, &p, proven, 0, 0);
	}
	assert_int_equal(r->accepted, 3 * 2);
	assert_int_equal(netgate_held_count(r->g), 2 * 2);
	netgate_run(r->g, 60000, 0);
	assert_int_equal(netgate_held_count(r->g), 0);
	send_packet(r, 1, 4, 60001);
	assert_int_equal(r->last, NETGATE_ACCEPT);
}

static struct packet
answer(uint8_t *bytes, size_t n)
{
	struct packet p = packet(99, 1, IPPROTO_UDP);

	p.sport = 53;
	p.payload = (struct str){(const char *)bytes, n};
	p.payload_full = n;
	return p;
}

/* An answer names addresses only to the one who asked: what begins by itself
 * is a contact, whatever port it comes from. And what answered did not come
 * first. */
static void
test_answer_or_contact(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .inbound_known_ms = 60000,
	    .dns_known = true};
	uint8_t a[] = "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1"
		      "\xc0\x0c\0\1\0\1\0\0\1\0\0\4\x77\0\0\0";
	struct packet p = answer(a, sizeof(a) - 1);
	struct rig *r = *state;

	rig_make(r, &conf);
	for (uint32_t i = 0; i < 5; i++)
		send_packet(r, 1, i, 0);
	netgate_watch(r->g, &p, NETGATE_CONTACT, 0);
	send_packet(r, 1, 0x77, 1);
	assert_int_equal(netgate_held_count(r->g), 1);
	send_packet(r, 1, 99, 1); /* who came is known */
	assert_int_equal(r->accepted, 6);
	p.src.bytes[0] = 98;
	netgate_watch(r->g, &p, NETGATE_ANSWER, 2);
	send_packet(r, 1, 98, 3); /* who answered is not */
	assert_int_equal(netgate_held_count(r->g), 2);
	a[sizeof(a) - 1 - 4] = 0x78;
	netgate_watch(r->g, &p, NETGATE_ANSWER, 4);
	send_packet(r, 1, 0x78, 5);
	assert_int_equal(r->accepted, 7);
	assert_int_equal(netgate_counters(r->g)[NETGATE_COUNT_INBOUND], 1);
}

static void
test_stages_in_random_order(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 30,
	    .interval_ms = 100,
	    .thaw_after_ms = 3000,
	    .credit = NETPOLICY_CREDIT_BESIDE};
	struct option_rates aggregate = {{{20, 1000}, {100, 20000}}, 2};
	struct rig *r = *state;
	uint64_t seed = 42;
	int64_t now = 0;
	bool known = false;

	r->settings.aggregate_limit = &aggregate;
	r->settings.held_max = 60;
	rig_make(r, &conf);
	for (int i = 0; i < 50000; i++) {
		struct packet p;
		uint64_t n;

		seed = seed * 6364136223846793005U + 1442695040888963407U;
		now += (int64_t)(seed >> 60);
		p = packet((uint32_t)(seed >> 33) % 4,
		    (uint32_t)(seed >> 40) % 90, IPPROTO_TCP);
		p.tcp_seq = (uint32_t)i;
		switch ((seed >> 20) % 16) {
		case 0:
			netgate_run(r->g, now, now);
			break;
		case 1:
			p.tcp_flags = PACKET_SYN | PACKET_ACK;
			netgate_watch(r->g,
			    &(struct packet){.src = p.dst,
				.dst = p.src,
				.protocol = IPPROTO_TCP,
				.tcp_flags = PACKET_SYN | PACKET_ACK},
			    NETGATE_ANSWER, now);
			break;
		case 2:
			known = netgate_thaw(r->g, STR("0.0.0.0"),
			    (enum netgate_thaw)(seed >> 50) % 3, "x", now, &n);
			break;
		case 3:
			netgate_reload(r->g, &r->settings, now);
			break;
		default:
			netgate_packet(r->g, r->id++, &p, proven, now, now);
		}
		assert_true(netgate_held_count(r->g) <= 60);
	}
	assert_true(known);
	assert_true(r->freezes > 3);
	assert_true(r->accepted > 1000);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_paper),
	    T(test_copies),
	    T(test_udp_flow_is_one),
	    T(test_counted_flow_freezes),
	    T(test_flows_are_bounded),
	    T(test_observe_knows_flows),
	    T(test_lost),
	    T(test_counted_copies_freeze),
	    T(test_freeze_and_reject),
	    T(test_state_over_a_restart),
	    T(test_other_packets_pass),
	    T(test_end_lets_nothing_out),
	    T(test_observe_lets_go_what_waits),
	    T(test_thaw_after_of_a_reload),
	    T(test_aggregate_is_not_evaded_by_two),
	    T(test_answer_or_contact),
	    T(test_stages_in_random_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
