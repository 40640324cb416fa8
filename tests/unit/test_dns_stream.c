/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DNS over TCP: messages in any cut, repeats, gaps, lengths that lie.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "packet/dns_stream.h"

#define FIRST 0xfffffffeu /* the sequence wraps */
#define TWO "\0\3abc\0\2de"

struct seen {
	struct dns_streams *s;
	char text[9000];
	size_t n;
};

static int
setup(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	seen->s = dns_streams_new(1);
	*state = seen;
	return 0;
}

static int
teardown(void **state)
{
	struct seen *seen = *state;

	dns_streams_free(seen->s);
	free(seen);
	return 0;
}

static void
on_message(void *arg, struct str m)
{
	struct seen *seen = arg;

	memcpy(seen->text + seen->n, m.p, m.n);
	seen->n += m.n;
	seen->text[seen->n++] = ';';
}

static struct packet
segment(uint16_t port, uint8_t flags, uint32_t seq)
{
	return (struct packet){.src = {.family = IP_V4, .bytes = {53}},
	    .dst = {.family = IP_V4, .bytes = {1}},
	    .protocol = IPPROTO_TCP,
	    .sport = 53,
	    .dport = port,
	    .tcp_flags = flags,
	    .tcp_seq = seq};
}

static void
begin(struct seen *seen, uint16_t port)
{
	struct packet p = segment(port, PACKET_SYN | PACKET_ACK, FIRST);

	seen->n = 0;
	memset(seen->text, 0, sizeof(seen->text));
	dns_streams_take(seen->s, &p, on_message, seen);
}

/* at: from the first byte of the stream. The bytes are a copy (ASan). */
static void
data(struct seen *seen, uint16_t port, size_t at, const char *bytes, size_t n)
{
	struct packet p = segment(port, PACKET_ACK, FIRST + 1 + (uint32_t)at);
	char *copy = malloc(n + 1);

	memcpy(copy, bytes, n);
	p.payload = (struct str){copy, n};
	p.payload_full = n;
	dns_streams_take(seen->s, &p, on_message, seen);
	free(copy);
}

static void
test_any_cut(void **state)
{
	struct seen *seen = *state;

	for (size_t a = 0; a <= sizeof(TWO) - 1; a++) {
		for (size_t b = a; b <= sizeof(TWO) - 1; b++) {
			begin(seen, 1000);
			data(seen, 1000, 0, TWO, a);
			data(seen, 1000, a, &TWO[a], b - a);
			data(seen, 1000, b, &TWO[b], sizeof(TWO) - 1 - b);
			assert_string_equal(seen->text, "abc;de;");
		}
	}
}

static void
test_repeats(void **state)
{
	struct seen *seen = *state;

	begin(seen, 1000);
	data(seen, 1000, 0, TWO, 4);
	data(seen, 1000, 0, TWO, 4); /* the same again */
	data(seen, 1000, 0, TWO, 1);
	data(seen, 1000, 2, &TWO[2], 5); /* overlaps */
	data(seen, 1000, 7, &TWO[7], 2);
	assert_string_equal(seen->text, "abc;de;");
}

static void
test_gap_ends_it(void **state)
{
	struct seen *seen = *state;

	begin(seen, 1000);
	data(seen, 1000, 1, &TWO[1], 8);
	data(seen, 1000, 0, TWO, 9);
	assert_string_equal(seen->text, "");
	/* A message between two is missing. */
	begin(seen, 1000);
	data(seen, 1000, 0, TWO, 5);
	data(seen, 1000, 9, "\0\1x", 3);
	assert_string_equal(seen->text, "abc;");
	/* A new connection from the same port begins anew. */
	begin(seen, 1000);
	data(seen, 1000, 0, TWO, 9);
	assert_string_equal(seen->text, "abc;de;");
	/* No beginning was seen. */
	seen->n = 0;
	data(seen, 2000, 0, TWO, 9);
	assert_int_equal(seen->n, 0);
}

static void
test_segment_that_was_not_copied_whole(void **state)
{
	struct packet p = segment(1000, PACKET_ACK, FIRST + 1);
	struct seen *seen = *state;

	begin(seen, 1000);
	p.payload = STR("\0\3abc\0");
	p.payload.n = 6;
	p.payload_full = 9;
	dns_streams_take(seen->s, &p, on_message, seen);
	assert_string_equal(seen->text, "abc;");
	data(seen, 1000, 9, "\0\1x", 3);
	assert_string_equal(seen->text, "abc;");
}

static void
test_length(void **state)
{
	struct seen *seen = *state;
	char big[DNS_STREAM_MAX + 1] = {0};

	big[0] = (DNS_STREAM_MAX - 2) >> 8;
	big[1] = (char)((DNS_STREAM_MAX - 2) & 255);
	begin(seen, 1000);
	data(seen, 1000, 0, big, DNS_STREAM_MAX);
	assert_int_equal(seen->n, DNS_STREAM_MAX - 2 + 1);
	begin(seen, 1000);
	big[1]++;
	data(seen, 1000, 0, big, DNS_STREAM_MAX + 1);
	assert_int_equal(seen->n, 0);
}

static void
test_end_and_overflow(void **state)
{
	struct packet fin = segment(1000, PACKET_FIN | PACKET_ACK, FIRST + 1);
	struct seen *seen = *state;

	begin(seen, 1000);
	dns_streams_take(seen->s, &fin, on_message, seen);
	data(seen, 1000, 0, TWO, 9);
	assert_int_equal(seen->n, 0);
	/* Ten thousand that never end push each other out. */
	for (uint16_t port = 1; port <= 10000; port++)
		begin(seen, port);
	data(seen, 10000, 0, TWO, 9);
	assert_string_equal(seen->text, "abc;de;");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_any_cut),
	    T(test_repeats),
	    T(test_gap_ends_it),
	    T(test_segment_that_was_not_copied_whole),
	    T(test_length),
	    T(test_end_and_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
