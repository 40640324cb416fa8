/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PROXY headers, both versions, whole and a byte at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xC0\x00\x02\x01\xC6\x33\x64\x02\x12\x67\x00\x19"
#define V6_A "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define V6_B "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x02"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xC0\x00\x02\x01"

struct header {
	const char *p;
	size_t n;
	const char *want; /* "client port server port", "local", NULL: bad */
};

#define H(text, want)                        \
	{                                    \
		text, sizeof(text) - 1, want \
	}

static const struct header headers[] = {
    H("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n",
	"192.0.2.1 4711 198.51.100.2 25"),
    H("PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n",
	"2001:db8::1 4711 2001:db8::2 25"),
    H("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n",
	"192.0.2.1 1 192.0.2.2 2"),
    H("PROXY UNKNOWN\r\n", "local"),
    H("PROXY UNKNOWN whatever it says\r\n", "local"),
    H("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\n", NULL),
    H("PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n", NULL),
    H("PROXY TCP4 192.0.2.1 198.51.100.2 4711 65536\r\n", NULL),
    H("PROXY TCP4 192.0.2.1 198.51.100.2 04711 25\r\n", NULL),
    H("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25 26\r\n", NULL),
    H("PROXY TCP4 192.0.2.1  198.51.100.2 4711 25\r\n", NULL),
    H("PROXY TCP4 2001:db8::1 2001:db8::2 4711 25\r\n", NULL),
    H("PROXY TCP6 192.0.2.1 198.51.100.2 4711 25\r\n", NULL),
    H("PROXY UDP4 192.0.2.1 198.51.100.2 4711 25\r\n", NULL),
    H("PROXY \r\n", NULL),
    H("proxy TCP4 192.0.2.1 198.51.100.2 4711 25\r\n", NULL),
    H("EHLO client\r\n", NULL), H("\r\nQUIT", NULL),
    H(SIG "\x21\x11\0\x0C" V4, "192.0.2.1 4711 198.51.100.2 25"),
    H(SIG "\x21\x21\0\x24" V6_A V6_B "\x12\x67\0\x19",
	"2001:db8::1 4711 2001:db8::2 25"),
    H(SIG "\x21\x21\0\x24" MAPPED MAPPED "\x12\x67\0\x19",
	"192.0.2.1 4711 192.0.2.1 25"),
    /* With an extension behind the addresses. */
    H(SIG "\x21\x11\0\x10" V4 "\x04\0\x01x", "192.0.2.1 4711 198.51.100.2 25"),
    H(SIG "\x20\x00\0\0", "local"), H(SIG "\x20\x11\0\x0C" V4, "local"),
    H(SIG "\x21\x12\0\x0C" V4, "local"), /* UDP */
    H(SIG "\x21\x11\0\x0B\xC0\0\x02\x01\xC6\x33\x64\x02\x12\x67\0", NULL),
    H(SIG "\x11\x11\0\x0C" V4, NULL), /* version 1 */
    H(SIG "\x22\x11\0\x0C" V4, NULL), /* no such command */
    H(SIG "\x21\x11\xFF\xFF", NULL),  /* too long */
};

/* An exact copy, so that ASan sees a read past its end. */
static enum proxy_state
parse(const char *p, size_t n, struct proxy_header *out)
{
	char *copy = xmalloc(n > 0 ? n : 1);
	enum proxy_state state;

	memcpy(copy, p, n);
	state = proxy_parse((struct str){copy, n}, out);
	free(copy);
	return state;
}

static void
describe(const struct proxy_header *h, char out[200])
{
	char client[IP_TEXT_MAX], server[IP_TEXT_MAX];

	if (h->is_local)
		str_copy(STR("local"), out, 200);
	else
		snprintf(out, 200, "%s %u %s %u", ip_format(&h->client, client),
		    h->client_port, ip_format(&h->server, server),
		    h->server_port);
}

/* Reading what is asked for ends exactly at the header's end. */
static void
check_need(const struct header *h)
{
	struct proxy_header out = {.need = PROXY_LEAST};
	size_t n = 0;

	do {
		assert_true(out.need > 0);
		n += out.need;
		assert_true(n <= h->n);
	} while (parse(h->p, n, &out) == PROXY_MORE);
	assert_int_equal(n, h->n);
}

static void
test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		const struct header *h = &headers[i];
		enum proxy_state got = PROXY_MORE;
		struct proxy_header out;
		char text[200];
		size_t n = 0;

		while (got == PROXY_MORE && n < h->n)
			got = parse(h->p, ++n, &out);
		if (got == PROXY_DONE)
			check_need(h);
		if (h->want == NULL) {
			if (got != PROXY_BAD)
				fail_msg("header %zu: %d", i, got);
			continue;
		}
		if (got != PROXY_DONE || n != h->n)
			fail_msg("header %zu: %d at %zu", i, got, n);
		describe(&out, text);
		assert_string_equal(text, h->want);
		assert_int_equal(out.length, h->n);
	}
}

static void
test_what_follows_stays(void **state)
{
	static const char text[] =
	    "PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\nEHLO x\r\n";
	struct proxy_header out;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &out), PROXY_DONE);
	assert_int_equal(out.length, sizeof(text) - 1 - sizeof("EHLO x\r"));
}

static void
test_endless_line(void **state)
{
	char text[200] = "PROXY UNKNOWN ";
	struct proxy_header out;

	(void)state;
	memset(text + 14, 'x', sizeof(text) - 14);
	assert_int_equal(parse(text, 106, &out), PROXY_MORE);
	assert_int_equal(parse(text, 107, &out), PROXY_BAD);
	assert_int_equal(parse(text, 200, &out), PROXY_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_what_follows_stays),
	    cmocka_unit_test(test_endless_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
