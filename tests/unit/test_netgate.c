/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The decision about packets, without a kernel: every packet gets exactly one
 * verdict, memory is bounded, time may jump.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netgate/netgate.h"

#define IDS 200000

struct rig {
	struct netpolicies *policies;
	struct netgate_settings settings;
	struct netgate *g;
	uint8_t verdicts[IDS]; /* how many a packet got */
	enum netgate_verdict last;
	uint32_t id, accepted, dropped, rejected, freezes, states;
	uint32_t known, forgotten;
	struct ip hosts[1];
	struct netgate_pair pair; /* the last one known */
};

static void
on_verdict(void *arg, uint32_t id, enum netgate_verdict v)
{
	struct rig *r = arg;

	assert_true(id < IDS);
	assert_int_equal(r->verdicts[id], 0);
	r->verdicts[id]++;
	r->last = v;
	r->accepted += v == NETGATE_ACCEPT;
	r->dropped += v == NETGATE_DROP;
	r->rejected += v == NETGATE_REJECT;
}

static void
on_freeze(void *arg, const struct netgate_freeze *f)
{
	(void)f;
	((struct rig *)arg)->freezes++;
}

static void
on_thaw(void *arg, const struct ip *source, const char *who)
{
	(void)arg;
	(void)source;
	(void)who;
}

static void
on_state(void *arg)
{
	((struct rig *)arg)->states++;
}

static void
on_known(void *arg, const struct netgate_pair *pair)
{
	struct rig *r = arg;

	r->known++;
	r->pair = *pair;
}

static void
on_forget(void *arg, const struct netgate_pair *pair)
{
	(void)pair;
	((struct rig *)arg)->forgotten++;
}

static const struct netgate_ops ops = {
    .on_verdict = on_verdict,
    .on_freeze = on_freeze,
    .on_thaw = on_thaw,
    .on_state = on_state,
    .on_known = on_known,
    .on_forget = on_forget,
};

static void
rig_make(struct rig *r, const struct netpolicy_conf *conf)
{
	char err[256];

	r->policies =
	    netpolicies_new(conf, conf != NULL ? 1 : 0, err, sizeof(err));
	assert_non_null(r->policies);
	r->settings.policies = r->policies;
	if (r->settings.hosts_max == 0)
		r->settings.hosts_max = 1000;
	if (r->settings.held_max == 0)
		r->settings.held_max = 1000;
	r->settings.ipv6_prefix = 128;
	r->g = netgate_new(&r->settings, &ops, r, NULL);
}

static int
setup(void **state)
{
	*state = calloc(1, sizeof(struct rig));
	return 0;
}

static int
teardown(void **state)
{
	struct rig *r = *state;

	netgate_free(r->g);
	for (uint32_t i = 0; i < r->id; i++)
		assert_int_equal(r->verdicts[i], 1);
	netpolicies_free(r->policies);
	free(r);
	return 0;
}

static struct packet
packet(uint32_t src, uint32_t dst, uint8_t protocol)
{
	struct packet p = {.src = {.family = IP_V4},
	    .dst = {.family = IP_V4},
	    .protocol = protocol,
	    .sport = 1000,
	    .dport = 80,
	    .tcp_flags = PACKET_SYN,
	    .tcp_seq = dst};

	memcpy(p.src.bytes, &src, 4);
	memcpy(p.dst.bytes, &dst, 4);
	return p;
}

static void
send_packet(struct rig *r, uint32_t src, uint32_t dst, int64_t now)
{
	struct packet p = packet(src, dst, IPPROTO_TCP);

	netgate_packet(r->g, r->id++, &p, now, now + 1000000);
}

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
test_counted_copies_freeze(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
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

static void
test_state_over_a_restart(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .freeze_at = 100,
	    .thaw_after_ms = 10000};
	struct rig *r = *state;
	struct buf text;
	size_t bad;

	rig_make(r, &conf);
	assert_true(
	    netgate_freeze(r->g, STR("10.0.0.1"), "by hand", 0, 100000));
	assert_true(
	    netgate_freeze(r->g, STR("2001:db8::1"), "by hand", 0, 100000));
	assert_false(netgate_freeze(r->g, STR("nobody"), "by hand", 0, 0));
	buf_init(&text, 4096);
	assert_true(netgate_save(r->g, &text));
	netgate_free(r->g);
	r->g = netgate_new(&r->settings, &ops, r, NULL);
	assert_int_equal(
	    netgate_load(r->g, buf_str(&text), 7, 104000, &bad), 2);
	assert_int_equal(bad, 0);
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
	buf_clear(&text);
}

static void
test_other_packets_pass(void **state)
{
	struct packet p = packet(1, 2, IPPROTO_ICMP);
	struct rig *r = *state;

	rig_make(r, NULL);
	netgate_packet(r->g, r->id++, &p, 0, 0);
	p.protocol = IPPROTO_TCP;
	p.tcp_flags = PACKET_SYN | PACKET_ACK;
	netgate_packet(r->g, r->id++, &p, 0, 0);
	assert_int_equal(r->accepted, 2);
	assert_int_equal(netgate_host_count(r->g), 0);
}

/* What is let go in the end goes; what ends with the daemon does not. */
static void
test_end_lets_nothing_out(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
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
	struct netpolicy_conf conf = {
	    .name = (char[]){"default"}, .freeze_at = 100};
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

		netgate_packet(r->g, r->id++, &p, 0, 0);
		p.sport++;
		netgate_packet(r->g, r->id++, &p, 0, 0);
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

/* Somebody outside who tries all addresses fills a part of the table. */
static void
test_scan_from_outside(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
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
	assert_int_equal(netgate_counters(r->g)[NETGATE_COUNT_CROWDED], 0);
	/* One that sends makes room for another. */
	send_packet(r, 1000, 1, 0);
	assert_int_equal(netgate_host_count(r->g), 100);
	assert_true(netgate_memory(r->g) > 25 * sizeof(struct packet));
}

static void
test_pairs_of_the_fast_path(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
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
	assert_true(netgate_freeze(r->g, STR("1.0.0.0"), "by hand", 1003, 0));
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
	assert_false(netgate_freeze(r->g, STR("192.0.2.1"), "by hand", 1, 1));
	assert_true(netgate_host_find(r->g, STR("others"), 1, 1, &info));
	assert_false(info.frozen);
	assert_true(netgate_freeze(r->g, STR("1.0.0.0"), "by hand", 1, 1));
	assert_int_equal(netgate_frozen_count(r->g), 1);
}

/* For as long as the policy says, though the host itself says nothing. */
static void
test_who_came_first_outlives_idle_expiry(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
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

static void
test_stages_in_random_order(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
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
			netgate_packet(r->g, r->id++, &p, now, now);
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
	    T(test_counted_copies_freeze),
	    T(test_freeze_and_reject),
	    T(test_flood_of_made_up_sources),
	    T(test_idle_hosts_are_forgotten),
	    T(test_state_over_a_restart),
	    T(test_other_packets_pass),
	    T(test_end_lets_nothing_out),
	    T(test_observe_lets_go_what_waits),
	    T(test_thaw_after_of_a_reload),
	    T(test_aggregate_is_not_evaded_by_two),
	    T(test_answer_or_contact),
	    T(test_scan_from_outside),
	    T(test_pairs_of_the_fast_path),
	    T(test_full_table_and_a_freeze_by_hand),
	    T(test_who_came_first_outlives_idle_expiry),
	    T(test_pairs_end_with_their_host),
	    T(test_stages_in_random_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
