/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DNS answers: aliases in any order, foreign records, hostile names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "packet/dns.h"

/* Question: a.b, type A. */
#define HEAD(answers) \
	"\x12\x34\x81\x80\0\1\0" answers "\0\0\0\0\1A\1b\0\0\1\0\1"
#define LIT(s) ((struct str){s, sizeof(s) - 1})

struct seen {
	char text[256];
	uint32_t ttl;
};

static void
on_address(void *arg, const struct ip *ip, uint32_t ttl)
{
	struct seen *s = arg;
	char text[IP_TEXT_MAX];
	size_t n = strlen(s->text);

	snprintf(s->text + n, sizeof(s->text) - n, "%s ", ip_format(ip, text));
	s->ttl = ttl;
}

static void
expect(struct str message, const char *addresses)
{
	struct seen s = {.text = ""};
	char *copy = malloc(message.n + 1);

	memcpy(copy, message.p, message.n);
	dns_answer_each((struct str){copy, message.n}, 7, on_address, &s);
	assert_string_equal(s.text, addresses);
	free(copy);
}

static void
test_address(void **state)
{
	struct seen s = {.text = ""};
	struct str m = LIT(HEAD("\1") "\xc0\x0c\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1");

	(void)state;
	assert_int_equal(dns_answer_each(m, 7, on_address, &s), 1);
	assert_string_equal(s.text, "192.0.2.1 ");
	assert_int_equal(s.ttl, 256);
	/* Upper case in the question, lower in the answer. */
	expect(LIT(HEAD("\1") "\1a\1B\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\2"),
	    "192.0.2.2 ");
	expect(LIT(HEAD("\1") "\xc0\x0c\0\x1c\0\1\0\0\0\1\0\x10"
			      "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\5"),
	    "2001:db8::5 ");
}

static void
test_alias_in_any_order(void **state)
{
	(void)state;
	expect(LIT(HEAD("\3") "\1d\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"
			      "\1c\0\0\5\0\1\0\0\0\1\0\3\1d\0"
			      "\xc0\x0c\0\5\0\1\0\0\0\1\0\3\1c\0"),
	    "192.0.2.1 ");
}

/* q is an alias of a, a of b, and so on, the last one first. */
static size_t
put_chain(char *m, char last)
{
	static const char head[] = "\x12\x34\x81\x80\0\1\0\0\0\0\0\0"
				   "\1q\0\0\1\0\1";
	size_t n = sizeof(head) - 1;

	memcpy(m, head, n);
	m[7] = (char)(last - 'a' + 2);
	m[n++] = 1;
	m[n++] = last;
	memcpy(m + n, "\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1", 15);
	n += 15;
	for (char c = last; c >= 'a'; c--) {
		m[n++] = 1;
		m[n++] = c == 'a' ? 'q' : (char)(c - 1);
		memcpy(m + n, "\0\0\5\0\1\0\0\0\1\0\3\1", 12);
		n += 12;
		m[n++] = c;
		m[n++] = 0;
	}
	return n;
}

static void
test_long_chain(void **state)
{
	char m[1024];

	(void)state;
	expect((struct str){m, put_chain(m, 'o')}, "192.0.2.1 ");
	/* One more than is followed. */
	expect((struct str){m, put_chain(m, 'p')}, "");
}

static void
test_foreign_record_is_not_taken(void **state)
{
	(void)state;
	expect(LIT(HEAD("\1") "\1x\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"), "");
	/* Another class, and an address of the wrong length. */
	expect(LIT(HEAD("\1") "\xc0\x0c\0\1\0\3\0\0\0\1\0\4\xc0\0\2\1"), "");
	expect(LIT(HEAD("\1") "\xc0\x0c\0\1\0\1\0\0\0\1\0\3\xc0\0\2"), "");
}

static void
test_not_an_answer(void **state)
{
	char m[] = HEAD("\1") "\xc0\x0c\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1";
	struct str s = {m, sizeof(m) - 1};

	(void)state;
	m[2] = 1; /* a query */
	expect(s, "");
	m[2] = (char)0x81;
	m[3] = (char)0x83; /* NXDOMAIN */
	expect(s, "");
	m[3] = (char)0x80;
	m[5] = 2; /* two questions */
	expect(s, "");
}

static void
test_hostile_names(void **state)
{
	(void)state;
	/* A pointer to itself, one past the end, a reserved label type. */
	expect(LIT(HEAD("\1") "\xc0\x15\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1"), "");
	expect(LIT(HEAD("\1") "\xff\xff\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1"), "");
	expect(LIT(HEAD("\1") "\x80\0\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1"), "");
}

static void
test_every_cut(void **state)
{
	static const char m[] =
	    HEAD("\2") "\xc0\x0c\0\5\0\1\0\0\0\1\0\3\1c\0"
		       "\1c\0\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1";

	(void)state;
	for (size_t n = 0; n < sizeof(m) - 1; n++)
		expect((struct str){m, n}, "");
	expect((struct str){m, sizeof(m) - 1}, "192.0.2.1 ");
}

/* RFC 9460: priority 1, target ".", alpn, two addresses of IPv4, one of IPv6;
 * then one that is an alias, one whose hint is longer than the record. */
static void
test_hints(void **state)
{
	static const char head[] = HEAD("\3");
	static const char hints[] =
	    "\xc0\x0c\0\x41\0\1\0\0\0\1\0\x2a"
	    "\0\1\0\0\1\0\3\2h2\0\4\0\x8\xc0\0\2\1\xc0\0\2\2"
	    "\0\6\0\x10\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7";
	static const char others[] = "\xc0\x0c\0\x41\0\1\0\0\0\1\0\xb"
				     "\0\0\0\0\4\0\4\xc0\0\2\3"
				     "\xc0\x0c\0\x40\0\1\0\0\0\1\0\xb"
				     "\0\1\0\0\4\0\5\xc0\0\2\3";
	char all[sizeof(head) + sizeof(hints) + sizeof(others)];
	size_t n = sizeof(head) - 1;

	(void)state;
	memcpy(all, head, n);
	memcpy(all + n, hints, sizeof(hints) - 1);
	n += sizeof(hints) - 1;
	expect((struct str){all, n - 1}, "");
	expect((struct str){all, n}, "192.0.2.1 192.0.2.2 2001:db8::7 ");
	memcpy(all + n, others, sizeof(others) - 1);
	n += sizeof(others) - 1;
	expect((struct str){all, n}, "192.0.2.1 192.0.2.2 2001:db8::7 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_address),
	    cmocka_unit_test(test_alias_in_any_order),
	    cmocka_unit_test(test_long_chain),
	    cmocka_unit_test(test_foreign_record_is_not_taken),
	    cmocka_unit_test(test_not_an_answer),
	    cmocka_unit_test(test_hostile_names),
	    cmocka_unit_test(test_every_cut),
	    cmocka_unit_test(test_hints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
