/* SPDX-License-Identifier: BSD-3-Clause */
/* Captures as flows: frames of all kinds, what begins something, what is learnt
 * from; and a proposal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pcap/dlt.h>
#include <stdio.h>
#include <string.h>

#include "replay/capture.h"
#include "replay/flow_propose.h"
#include "replay/flow_rates.h"
#include "replay/flow_run.h"
#include "replay/link.h"

#define HOST "192.168.1.2"
#define PEER "198.51.100.9"
#define RESOLVER "192.168.1.1"

static const volatile sig_atomic_t never_stopped;

struct frame {
	uint8_t bytes[1600];
	size_t n;
};

static void
put(struct frame *f, const void *p, size_t n)
{
	memcpy(f->bytes + f->n, p, n);
	f->n += n;
}

static void
put16(struct frame *f, unsigned v)
{
	put(f, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void
put_ip(struct frame *f, const char *src, const char *dst, uint8_t protocol,
    size_t content)
{
	uint8_t h[20] = {0x45};
	size_t n = sizeof(h) + content;

	h[2] = (uint8_t)(n >> 8);
	h[3] = (uint8_t)n;
	h[8] = 64;
	h[9] = protocol;
	assert_int_equal(inet_pton(AF_INET, src, h + 12), 1);
	assert_int_equal(inet_pton(AF_INET, dst, h + 16), 1);
	put(f, h, sizeof(h));
}

static struct frame
tcp(const char *src, unsigned sport, const char *dst, unsigned dport,
    uint8_t flags, uint32_t seq)
{
	struct frame f = {.n = 0};
	uint8_t h[16] = {0};

	h[3] = (uint8_t)seq;
	h[8] = 0x50;
	h[9] = flags;
	put_ip(&f, src, dst, IPPROTO_TCP, 20);
	put16(&f, sport);
	put16(&f, dport);
	put(&f, h, sizeof(h));
	return f;
}

static struct frame
udp(const char *src, unsigned sport, const char *dst, unsigned dport,
    const void *content, size_t n)
{
	struct frame f = {.n = 0};

	put_ip(&f, src, dst, IPPROTO_UDP, 8 + n);
	put16(&f, sport);
	put16(&f, dport);
	put16(&f, (unsigned)(8 + n));
	put16(&f, 0);
	put(&f, content, n);
	return f;
}

static void
take(struct capture *c, int64_t at, struct frame f)
{
	struct err why;

	assert_true(capture_take(
	    c, DLT_RAW, at, (struct str){(const char *)f.bytes, f.n}, &why));
}

#define SYN 0x02
#define ACK 0x10

static void
test_links(void **state)
{
	static const uint8_t macs[12] = {0}, sll[14] = {0}, sll2[18] = {0};
	static const struct {
		int type;
		const uint8_t *head;
		size_t head_n;
		unsigned words[8]; /* of 16 bits, 0xffff ends them */
		bool is_ip;
	} v[] = {
	    {DLT_EN10MB, macs, 12, {0x0800, 0xffff}, true},
	    {DLT_EN10MB, macs, 12, {0x86dd, 0xffff}, true},
	    {DLT_EN10MB, macs, 12, {0x0806, 0xffff}, false},
	    {DLT_EN10MB, macs, 12, {0x8100, 7, 0x0800, 0xffff}, true},
	    {DLT_EN10MB, macs, 12, {0x88a8, 7, 0x8100, 8, 0x0800, 0xffff},
		true},
	    {DLT_EN10MB, macs, 12, {0x8864, 0x1100, 1, 60, 0x0021, 0xffff},
		true},
	    {DLT_EN10MB, macs, 12, {0x8864, 0x1100, 1, 60, 0xc021, 0xffff},
		false},
	    {DLT_LINUX_SLL, sll, 14, {0x0800, 0xffff}, true},
	    {DLT_LINUX_SLL2, NULL, 0, {0x0800, 0, 0, 0, 0, 0, 0, 0}, false},
	    {DLT_RAW, NULL, 0, {0xffff}, true},
	    {DLT_NULL, NULL, 0, {0, 2, 0xffff}, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct frame f = {.n = 0},
			     packet = tcp(HOST, 1, PEER, 2, SYN, 1);
		struct str ip = {NULL, 0}, whole;

		put(&f, v[i].head_n > 0 ? v[i].head : macs, v[i].head_n);
		for (size_t k = 0; k < 8 && v[i].words[k] != 0xffff; k++)
			put16(&f, v[i].words[k]);
		put(&f, packet.bytes, packet.n);
		whole = (struct str){(const char *)f.bytes, f.n};
		if (v[i].type == DLT_LINUX_SLL2)
			continue;
		assert_true(link_is_known(v[i].type));
		assert_int_equal(link_strip(v[i].type, whole, &ip), v[i].is_ip);
		if (v[i].is_ip) {
			assert_int_equal(ip.n, packet.n);
			assert_memory_equal(ip.p, packet.bytes, packet.n);
		}
		/* Cut anywhere, it stays within. */
		for (size_t n = 0; n < f.n; n++) {
			if (link_strip(v[i].type, str_sub(whole, 0, n), &ip))
				assert_true(ip.n <= n);
		}
	}
	{
		struct frame f = {.n = 0},
			     packet = tcp(HOST, 1, PEER, 2, SYN, 1);
		struct str ip = {NULL, 0};

		put16(&f, 0x0800);
		put(&f, sll2, sizeof(sll2));
		put(&f, packet.bytes, packet.n);
		assert_true(link_strip(DLT_LINUX_SLL2,
		    (struct str){(const char *)f.bytes, f.n}, &ip));
		assert_int_equal(ip.n, packet.n);
	}
	assert_false(link_is_known(DLT_IEEE802_11));
}

static void
test_what_begins(void **state)
{
	struct flows f = {0};
	struct capture *c = capture_new(&f, NULL, 0);
	const struct capture_stats *s = capture_stats(c);

	(void)state;
	take(c, 5000, tcp(HOST, 1000, PEER, 443, SYN, 7));
	take(c, 6000, tcp(HOST, 1000, PEER, 443, SYN, 7));
	assert_int_equal(s->copies, 1);
	take(c, 6100, tcp(PEER, 443, HOST, 1000, SYN | ACK, 9));
	take(c, 6200, tcp(HOST, 1000, PEER, 443, ACK, 8));
	take(c, 6300, tcp(HOST, 1000, PEER, 443, SYN, 99));
	assert_int_equal(s->opened, 2);
	assert_int_equal(s->answers, 1);
	take(c, 7000, udp(HOST, 2000, PEER, 443, "x", 1));
	take(c, 7001, udp(HOST, 2000, PEER, 443, "x", 1));
	take(c, 7002, udp(PEER, 443, HOST, 2000, "x", 1));
	assert_int_equal(s->opened, 3);
	/* After two minutes it is a new one. */
	take(c, 7002 + 120001, udp(HOST, 2000, PEER, 443, "x", 1));
	assert_int_equal(s->opened, 4);
	/* Others begin: what goes back is no attempt. */
	take(c, 200000, tcp(PEER, 3000, HOST, 22, SYN, 1));
	take(c, 200001, tcp(HOST, 22, PEER, 3000, SYN | ACK, 1));
	take(c, 200002, udp(PEER, 4000, HOST, 500, "x", 1));
	take(c, 200003, udp(HOST, 500, PEER, 4000, "x", 1));
	assert_int_equal(s->contacts, 2);
	assert_int_equal(s->opened, 4);
	take(c, 200004, udp(HOST, 5353, "224.0.0.251", 5353, "x", 1));
	take(c, 200005, udp(HOST, 67, "255.255.255.255", 68, "x", 1));
	assert_int_equal(s->broadcast, 2);
	take(c, 200006, tcp(PEER, 1, "203.0.113.1", 2, SYN, 1));
	assert_int_equal(s->foreign, 1);
	take(c, 200007, (struct frame){.bytes = {0x45, 0}, .n = 2});
	assert_int_equal(s->broken, 1);
	/* A clock that runs backwards does not. */
	take(c, 100, tcp(HOST, 1001, PEER, 443, SYN, 7));
	assert_int_equal(f.opened, 5);
	assert_int_equal(f.v[f.count - 1].at, 195007);
	assert_int_equal(f.v[0].at, 0);
	capture_free(c);
	flows_clear(&f);
}

static void
test_networks(void **state)
{
	const struct ip_net net = {{IP_V4, {198, 51, 100}}, 24};
	struct flows f = {0};
	struct capture *c = capture_new(&f, &net, 1);

	(void)state;
	take(c, 0, tcp(HOST, 1, PEER, 443, SYN, 1));
	take(c, 1, tcp(PEER, 2, HOST, 443, SYN, 2));
	take(c, 2, udp(PEER, 2, "198.51.100.255", 137, "x", 1));
	assert_int_equal(capture_stats(c)->contacts, 1);
	assert_int_equal(capture_stats(c)->opened, 1);
	assert_int_equal(capture_stats(c)->broadcast, 1);
	assert_string_equal(
	    ip_format(&f.ips[f.v[1].src], (char[IP_TEXT_MAX]){0}), PEER);
	capture_free(c);
	flows_clear(&f);
}

/* "a.test A 203.0.113.N", with a TTL of an hour. */
static struct frame
named(unsigned n)
{
	const uint8_t message[] = {0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1,
	    'a', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0,
	    0, 14, 16, 0, 4, 203, 0, 113, (uint8_t)n};

	return udp(RESOLVER, 53, HOST, 5000 + n, message, sizeof(message));
}

static uint64_t
held(const struct flows *f, int profile)
{
	struct netpolicy_conf conf = flow_policy_conf(profile);
	struct flow_policy p;
	struct flow_result r;
	struct err err;

	assert_int_equal(flow_policy_numbers(&p, &conf, &err), 0);
	assert_true(flow_run(&p.gate, f, flow_part_all(f), &never_stopped, &r));
	flow_policy_clear(&p);
	return r.of[FLOW_TCP].waited.count + r.of[FLOW_TCP].never;
}

/* Eighty servers at once, of which DNS has named none or all. */
static void
test_dns_is_used(void **state)
{
	(void)state;
	for (int is_named = 0; is_named < 2; is_named++) {
		struct flows f = {0};
		struct capture *c = capture_new(&f, NULL, 0);
		char peer[IP_TEXT_MAX];

		for (unsigned i = 1; i <= 80; i++) {
			take(c, i, udp(HOST, 5000 + i, RESOLVER, 53, "q", 1));
			if (is_named)
				take(c, i, named(i));
		}
		for (unsigned i = 1; i <= 80; i++) {
			snprintf(peer, sizeof(peer), "203.0.113.%u", i);
			take(c, 1000, tcp(HOST, i, peer, 443, SYN, i));
		}
		assert_int_equal(
		    held(&f, NETPOLICY_WORKSTATION), is_named ? 0 : 20);
		/* The paper knows no DNS. */
		assert_int_equal(held(&f, NETPOLICY_PAPER), 75);
		capture_free(c);
		flows_clear(&f);
	}
}

__attribute__((format(printf, 2, 3))) static void
add(struct flows *f, const char *fmt, ...)
{
	char line[128];
	struct err why;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_true(flows_add_line(f, str_from(line), &why));
}

/* A host that opens ten new connections every ten minutes. */
static void
test_proposal(void **state)
{
	struct attack_plan plans[2];
	struct flow_proposal p;
	struct flows f = {0};
	struct err err;
	char text[600];

	(void)state;
	for (int i = 0; i < 600; i++)
		add(&f, "%d h d%d 6 443", i / 10 * 600, i);
	assert_true(attack_parse("20", &plans[0], &err));
	assert_true(attack_parse("1", &plans[1], &err));
	assert_true(
	    flow_propose(&f, 0.001, 0.33, plans, 2, &never_stopped, &p));
	assert_true(p.is_found);
	/* Ten, and the next larger of the table; sixty an hour, and so on. */
	assert_int_equal(p.numbers.burst, 12);
	assert_int_equal(p.numbers.limits[0].count, 80);
	assert_int_equal(p.numbers.limits[1].count, 250);
	assert_int_equal(p.cut, 402);
	flow_numbers_print(&p.numbers, text, sizeof(text));
	assert_non_null(strstr(text, "limit = {\"80/1h\", \"250/3h\"}"));
	flows_clear(&f);
}

/* More at once than any burst. */
static void
test_no_proposal(void **state)
{
	struct flow_proposal p;
	struct attack_plan plan;
	struct flows f = {0};
	struct err err;

	(void)state;
	for (int i = 0; i < 100000; i++)
		add(&f, "0 h d%d 6 443", i);
	assert_true(attack_parse("20", &plan, &err));
	assert_true(
	    flow_propose(&f, 0.0001, 0.01, &plan, 1, &never_stopped, &p));
	assert_false(p.is_found);
	flows_clear(&f);
}

/* A thousand seconds in all, of which two have more than one destination: that
 * is too many to be left out at 99.9 %, one is not. */
static void
test_rates(void **state)
{
	struct flow_rates all, unnamed;
	struct flows f = {0};

	(void)state;
	for (int i = 0; i < 7; i++)
		add(&f, "0 h d%d 6 443", i);
	for (int i = 0; i < 4; i++)
		add(&f, "500 h d%d 6 443", i);
	add(&f, "500.5 h d0 6 443");
	add(&f, "501 h d1 6 443");
	add(&f, "999 h d0 6 443");
	flow_rates_make(&f, &all, &unnamed);
	assert_int_equal(all.together[0], 4);
	assert_int_equal(all.host[0], 4);
	/* 17 windows of a minute. */
	assert_int_equal(all.host[2], 7);
	assert_memory_equal(&all, &unnamed, sizeof(all));
	flows_clear(&f);
}

/* Named by DNS for a time, or come by itself. */
static void
test_rates_of_unnamed(void **state)
{
	struct flow_rates all, unnamed;
	struct flows f = {0};
	struct capture *c = capture_new(&f, NULL, 0);

	(void)state;
	take(c, 0, udp(HOST, 5001, RESOLVER, 53, "q", 1));
	take(c, 1, named(1));
	take(c, 2, tcp(PEER, 9, HOST, 22, SYN, 1));
	take(c, 1000, tcp(HOST, 1, "203.0.113.1", 443, SYN, 1));
	take(c, 1000, tcp(HOST, 2, PEER, 443, SYN, 2));
	take(c, 1000, tcp(HOST, 3, "203.0.113.9", 443, SYN, 3));
	flow_rates_make(&f, &all, &unnamed);
	assert_int_equal(all.host[0], 3);
	assert_int_equal(unnamed.host[0], 1);
	capture_free(c);
	flows_clear(&f);
}

static void
test_parts(void **state)
{
	struct netpolicy_conf conf = flow_policy_conf(NETPOLICY_PAPER);
	struct flow_part part = {7, 9};
	struct flow_policy p;
	struct flow_result r;
	struct flows f = {0};
	struct err err;

	(void)state;
	for (int i = 0; i < 12; i++)
		add(&f, "0 h d%d 6 443", i);
	assert_int_equal(flow_policy_numbers(&p, &conf, &err), 0);
	assert_true(flow_run(&p.gate, &f, part, &never_stopped, &r));
	assert_int_equal(r.of[FLOW_TCP].flows, 2);
	assert_int_equal(r.of[FLOW_TCP].waited.longest, 4000);
	flow_policy_clear(&p);
	flows_clear(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_links),
	    cmocka_unit_test(test_what_begins),
	    cmocka_unit_test(test_networks),
	    cmocka_unit_test(test_dns_is_used),
	    cmocka_unit_test(test_proposal),
	    cmocka_unit_test(test_no_proposal),
	    cmocka_unit_test(test_rates),
	    cmocka_unit_test(test_rates_of_unnamed),
	    cmocka_unit_test(test_parts),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
