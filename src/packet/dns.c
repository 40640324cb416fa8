/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Aliases may stand in any order, so the records are gone through until no
 * round finds a new alias. Work is bounded: records, aliases, and the jumps of
 * compressed names.
 */
#include "packet/dns.h"

#include <string.h>

#define HEADER 12
#define JUMPS_MAX 32
#define FLAG_ANSWER 0x80
#define RCODE 0x0f
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define CLASS_IN 1

struct names {
	char v[DNS_ALIASES_MAX][DNS_NAME_MAX];
	size_t n;
};

struct record {
	char name[DNS_NAME_MAX];
	uint16_t type, class;
	uint32_t ttl;
	size_t data, data_len; /* offset and length in the message */
};

static uint16_t
get16(struct str m, size_t at)
{
	const uint8_t *p = (const uint8_t *)m.p + at;

	return (uint16_t)(p[0] << 8 | p[1]);
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* The name at *at in lower case, labels with their length before them; *at is
 * moved behind it. */
static bool
read_name(struct str m, size_t *at, char out[DNS_NAME_MAX])
{
	size_t pos = *at, used = 0;
	bool jumped = false;

	for (int jumps = 0; pos < m.n;) {
		uint8_t len = (uint8_t)m.p[pos];

		if (len >= 0xc0) {
			if (pos + 2 > m.n || ++jumps > JUMPS_MAX)
				return false;
			if (!jumped)
				*at = pos + 2;
			jumped = true;
			pos = get16(m, pos) & 0x3fff;
			continue;
		}
		if (len >= 0x40 || pos + 1 + len > m.n ||
		    used + 1 + len >= DNS_NAME_MAX)
			return false;
		out[used++] = (char)len;
		for (size_t i = 0; i < len; i++)
			out[used++] = lower(m.p[pos + 1 + i]);
		pos += 1 + (size_t)len;
		if (len == 0) {
			memset(out + used, 0, DNS_NAME_MAX - used);
			if (!jumped)
				*at = pos;
			return true;
		}
	}
	return false;
}

static bool
read_record(struct str m, size_t *at, struct record *r)
{
	if (!read_name(m, at, r->name) || *at + 10 > m.n)
		return false;
	r->type = get16(m, *at);
	r->class = get16(m, *at + 2);
	r->ttl = (uint32_t)get16(m, *at + 4) << 16 | get16(m, *at + 6);
	r->data_len = get16(m, *at + 8);
	r->data = *at + 10;
	*at = r->data + r->data_len;
	return *at <= m.n;
}

static bool
has_name(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (memcmp(names->v[i], name, DNS_NAME_MAX) == 0)
			return true;
	}
	return false;
}

static bool
add_alias(struct names *names, struct str m, const struct record *r)
{
	char target[DNS_NAME_MAX];
	size_t at = r->data;

	if (names->n == DNS_ALIASES_MAX || !read_name(m, &at, target) ||
	    has_name(names, target))
		return false;
	memcpy(names->v[names->n++], target, DNS_NAME_MAX);
	return true;
}

static unsigned
record_count(struct str m)
{
	unsigned n = get16(m, 6);

	return n < DNS_RECORDS_MAX ? n : DNS_RECORDS_MAX;
}

/* One round. True: an alias was found, another round may find more. */
static bool
follow_aliases(struct str m, size_t at, struct names *names)
{
	struct record r;
	bool found = false;

	for (unsigned i = record_count(m); i > 0; i--) {
		if (!read_record(m, &at, &r))
			break;
		if (r.class == CLASS_IN && r.type == TYPE_CNAME &&
		    has_name(names, r.name) && add_alias(names, m, &r))
			found = true;
	}
	return found;
}

static bool
read_address(struct str m, const struct record *r, struct ip *out)
{
	*out = (struct ip){.family = IP_NONE};
	if (r->class != CLASS_IN)
		return false;
	if (r->type == TYPE_A && r->data_len == 4)
		out->family = IP_V4;
	else if (r->type == TYPE_AAAA && r->data_len == 16)
		out->family = IP_V6;
	else
		return false;
	memcpy(out->bytes, m.p + r->data, r->data_len);
	return true;
}

size_t
dns_answer_each(struct str m,
    void (*fn)(void *arg, const struct ip *ip, uint32_t ttl), void *arg)
{
	struct names names = {.n = 0};
	size_t at = HEADER, records, found = 0;
	struct record r;
	struct ip ip;

	if (m.n < HEADER || !(m.p[2] & (char)FLAG_ANSWER) ||
	    (m.p[3] & RCODE) != 0 || get16(m, 4) != 1 ||
	    !read_name(m, &at, names.v[0]) || at + 4 > m.n)
		return 0;
	names.n = 1;
	records = at + 4;
	for (int i = 0; i < DNS_ALIASES_MAX; i++) {
		if (!follow_aliases(m, records, &names))
			break;
	}
	at = records;
	for (unsigned i = record_count(m); i > 0; i--) {
		if (!read_record(m, &at, &r))
			break;
		if (!has_name(&names, r.name) || !read_address(m, &r, &ip))
			continue;
		fn(arg, &ip, r.ttl);
		found++;
	}
	return found;
}
