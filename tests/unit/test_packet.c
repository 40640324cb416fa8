/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packet headers: what is read, and every way to be cut short.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "packet/packet.h"

static const uint8_t syn4[] = {0x46, 0, 0, 44, 1, 2, 0x40, 0, 64, 6, 0, 0, 192,
    0, 2, 1, 198, 51, 100, 7, 1, 1, 1, 1, /* options */
    0x30, 0x39, 0, 80, 0, 0, 1, 0, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0};

static const uint8_t udp6[] = {0x60, 0, 0, 0, 0, 26, 60, 64, /* DSTOPTS */
    0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, /* src */
    0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, /* dst */
    44, 0, 1, 4, 0, 0, 0, 0,                                 /* PadN */
    17, 0, 0, 1, 0, 0, 0, 9,                                 /* fragment 0 */
    0x14, 0xe9, 0, 53, 0, 10, 0, 0, 'h', 'i'};

static void
test_ipv4_syn(void **state)
{
	struct packet p;
	char text[IP_TEXT_MAX];

	(void)state;
	assert_int_equal(packet_parse(syn4, sizeof(syn4), &p), PACKET_OK);
	assert_string_equal(ip_format(&p.src, text), "192.0.2.1");
	assert_string_equal(ip_format(&p.dst, text), "198.51.100.7");
	assert_int_equal(p.protocol, IPPROTO_TCP);
	assert_int_equal(p.sport, 12345);
	assert_int_equal(p.dport, 80);
	assert_int_equal(p.tcp_seq, 256);
	assert_true(packet_is_first_syn(&p));
	assert_false(packet_is_syn_ack(&p));
}

static void
test_ipv6_extensions(void **state)
{
	struct packet p;

	(void)state;
	assert_int_equal(packet_parse(udp6, sizeof(udp6), &p), PACKET_OK);
	assert_int_equal(p.protocol, IPPROTO_UDP);
	assert_int_equal(p.dport, 53);
	assert_int_equal(p.payload.n, 2);
	assert_false(p.is_fragment);
}

/* Whatever its length, nothing is read past the end (ASan), and it is either
 * whole or truncated. */
static void
test_every_cut(void **state)
{
	struct packet p;

	(void)state;
	for (size_t n = 0; n < sizeof(udp6); n++) {
		uint8_t *copy = malloc(n + 1);

		memcpy(copy, udp6, n);
		assert_int_equal(packet_parse(copy, n, &p),
		    n >= sizeof(udp6) - 2 ? PACKET_OK : PACKET_TRUNCATED);
		free(copy);
	}
}

static void
test_malformed(void **state)
{
	uint8_t bad[sizeof(syn4)];
	struct packet p;

	(void)state;
	memcpy(bad, syn4, sizeof(bad));
	bad[0] = 0x44; /* a header of 16 bytes */
	assert_int_equal(packet_parse(bad, sizeof(bad), &p), PACKET_MALFORMED);
	bad[0] = 0x56;
	assert_int_equal(packet_parse(bad, sizeof(bad), &p), PACKET_MALFORMED);
	memcpy(bad, syn4, sizeof(bad));
	bad[3] = 20; /* shorter than its own header */
	assert_int_equal(packet_parse(bad, sizeof(bad), &p), PACKET_MALFORMED);
	memcpy(bad, syn4, sizeof(bad));
	bad[3] = 30; /* ends within the TCP header */
	assert_int_equal(packet_parse(bad, sizeof(bad), &p), PACKET_TRUNCATED);
	memcpy(bad, syn4, sizeof(bad));
	bad[36] = 0x40; /* a TCP header of 16 bytes */
	assert_int_equal(packet_parse(bad, sizeof(bad), &p), PACKET_MALFORMED);
}

static void
test_later_fragments_have_no_ports(void **state)
{
	uint8_t later[sizeof(syn4)];
	struct packet p;

	(void)state;
	memcpy(later, syn4, sizeof(later));
	later[7] = 4;
	assert_int_equal(packet_parse(later, sizeof(later), &p), PACKET_OK);
	assert_true(p.is_fragment);
	assert_int_equal(p.dport, 0);
	assert_int_equal(p.tcp_flags, 0);
}

static void
test_extension_chain_is_bounded(void **state)
{
	uint8_t many[40 + 8 * 20] = {0x60, 0, 0, 0, 0, 8 * 20, 60, 1};
	struct packet p;

	(void)state;
	for (size_t i = 40; i < sizeof(many); i += 8)
		many[i] = 60;
	assert_int_equal(packet_parse(many, sizeof(many), &p), PACKET_TOO_DEEP);
}

static void
test_quoted_packet(void **state)
{
	uint8_t icmp[28 + sizeof(syn4)] = {0x45, 0, 0, 28 + sizeof(syn4), 0, 0,
	    0, 0, 64, 1, 0, 0, 203, 0, 113, 1, 192, 0, 2, 1, 3, 1};
	struct packet p, quoted;

	(void)state;
	memcpy(icmp + 28, syn4, sizeof(syn4));
	assert_int_equal(packet_parse(icmp, sizeof(icmp), &p), PACKET_OK);
	assert_true(packet_quoted(&p, &quoted));
	assert_int_equal(quoted.dport, 80);
	/* Eight bytes behind the quoted header are enough, seven are not. */
	assert_int_equal(packet_parse(icmp, 28 + 24 + 8, &p), PACKET_OK);
	assert_true(packet_quoted(&p, &quoted));
	assert_int_equal(packet_parse(icmp, 28 + 24 + 7, &p), PACKET_OK);
	assert_false(packet_quoted(&p, &quoted));
	icmp[20] = 8; /* an echo request */
	assert_int_equal(packet_parse(icmp, sizeof(icmp), &p), PACKET_OK);
	assert_false(packet_quoted(&p, &quoted));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ipv4_syn),
	    cmocka_unit_test(test_ipv6_extensions),
	    cmocka_unit_test(test_every_cut),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_later_fragments_have_no_ports),
	    cmocka_unit_test(test_extension_chain_is_bounded),
	    cmocka_unit_test(test_quoted_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
