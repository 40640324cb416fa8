/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each name is read once, and stands as a keyed hash from then on: names that
 * point into each other cost a hostile sender more than us. Aliases may stand
 * in any order, so the records are gone through until no round finds a new one.
 * Work is bounded: records, aliases, and the jumps of compressed names.
 */
#include "packet/dns.h"

#include "base/hash.h"

#include <string.h>

#define HEADER 12
#define JUMPS_MAX 32
#define FLAG_ANSWER 0x80
#define RCODE 0x0f
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define TYPE_SVCB 64
#define TYPE_HTTPS 65
#define KEY_IPV4HINT 4
#define KEY_IPV6HINT 6
#define CLASS_IN 1

struct record {
	uint64_t name, target; /* target: of an alias */
	uint16_t type, class;
	uint32_t ttl;
	size_t data, data_len; /* offset and length in the message */
};

struct answer {
	struct str m;
	uint64_t seed;
	struct record records[DNS_RECORDS_MAX];
	size_t record_count;
	uint64_t names[DNS_ALIASES_MAX];
	size_t name_count;
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

/* The hash of the name at *at in lower case, labels with their length before
 * them; *at is moved behind it. */
static bool
read_name(struct str m, uint64_t seed, size_t *at, uint64_t *hash)
{
	size_t pos = *at, used = 0;
	char name[DNS_NAME_MAX];
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
		name[used++] = (char)len;
		for (size_t i = 0; i < len; i++)
			name[used++] = lower(m.p[pos + 1 + i]);
		pos += 1 + (size_t)len;
		if (len == 0) {
			*hash = hash_bytes(name, used, seed);
			if (!jumped)
				*at = pos;
			return true;
		}
	}
	return false;
}

static bool
read_record(struct answer *a, size_t *at, struct record *r)
{
	struct str m = a->m;
	size_t data;

	if (!read_name(m, a->seed, at, &r->name) || *at + 10 > m.n)
		return false;
	r->type = get16(m, *at);
	r->class = get16(m, *at + 2);
	r->ttl = (uint32_t)get16(m, *at + 4) << 16 | get16(m, *at + 6);
	r->data_len = get16(m, *at + 8);
	r->data = *at + 10;
	*at = r->data + r->data_len;
	if (*at > m.n)
		return false;
	data = r->data;
	if (r->type == TYPE_CNAME && !read_name(m, a->seed, &data, &r->target))
		r->type = 0;
	return true;
}

static bool
has_name(const struct answer *a, uint64_t name)
{
	for (size_t i = 0; i < a->name_count; i++) {
		if (a->names[i] == name)
			return true;
	}
	return false;
}

/* One round. True: an alias was found, another round may find more. */
static bool
follow_aliases(struct answer *a)
{
	bool found = false;

	for (size_t i = 0; i < a->record_count; i++) {
		const struct record *r = &a->records[i];

		if (r->class != CLASS_IN || r->type != TYPE_CNAME ||
		    !has_name(a, r->name) || has_name(a, r->target) ||
		    a->name_count == DNS_ALIASES_MAX)
			continue;
		a->names[a->name_count++] = r->target;
		found = true;
	}
	return found;
}

/* The question's name, and the records as far as they can be read. */
static bool
read_answer(struct str m, uint64_t seed, struct answer *a)
{
	size_t at = HEADER;
	unsigned n;

	a->m = m;
	a->seed = seed;
	a->record_count = 0;
	if (m.n < HEADER || !(m.p[2] & (char)FLAG_ANSWER) ||
	    (m.p[3] & RCODE) != 0 || get16(m, 4) != 1 ||
	    !read_name(m, seed, &at, &a->names[0]) || at + 4 > m.n)
		return false;
	a->name_count = 1;
	at += 4;
	n = get16(m, 6);
	if (n > DNS_RECORDS_MAX)
		n = DNS_RECORDS_MAX;
	while (a->record_count < n &&
	       read_record(a, &at, &a->records[a->record_count]))
		a->record_count++;
	return true;
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

struct finding {
	void (*fn)(void *arg, const struct ip *ip, uint32_t ttl);
	void *arg;
	size_t found;
};

static void
find(struct finding *f, const struct record *r, const struct ip *ip)
{
	f->fn(f->arg, ip, r->ttl);
	f->found++;
}

/* Addresses one behind the other. */
static void
read_hints(struct finding *f, const struct record *r, struct str value,
    enum ip_family family)
{
	size_t size = family == IP_V4 ? 4 : 16;

	for (int i = 0; value.n >= size && i < DNS_HINTS_MAX; i++) {
		struct ip ip = {.family = family};

		memcpy(ip.bytes, value.p, size);
		value = str_sub(value, size, value.n);
		find(f, r, &ip);
	}
}

/* Priority, the name of the target, which is not compressed, and parameters. A
 * priority of 0 is an alias and has none. */
static void
read_service(struct finding *f, const struct answer *a, const struct record *r)
{
	struct str m = {a->m.p, r->data + r->data_len};
	size_t at = r->data + 2;
	uint64_t target;

	if (r->class != CLASS_IN ||
	    (r->type != TYPE_SVCB && r->type != TYPE_HTTPS) || at > m.n ||
	    get16(m, r->data) == 0 || !read_name(m, a->seed, &at, &target))
		return;
	while (at + 4 <= m.n) {
		uint16_t key = get16(m, at);
		size_t n = get16(m, at + 2);

		at += 4;
		if (n > m.n - at)
			return;
		if (key == KEY_IPV4HINT)
			read_hints(f, r, str_sub(m, at, n), IP_V4);
		else if (key == KEY_IPV6HINT)
			read_hints(f, r, str_sub(m, at, n), IP_V6);
		at += n;
	}
}

size_t
dns_answer_each(struct str m, uint64_t seed,
    void (*fn)(void *arg, const struct ip *ip, uint32_t ttl), void *arg)
{
	struct finding f = {fn, arg, 0};
	struct answer a;
	struct ip ip;

	if (!read_answer(m, seed, &a))
		return 0;
	while (follow_aliases(&a))
		continue;
	for (size_t i = 0; i < a.record_count; i++) {
		const struct record *r = &a.records[i];

		if (!has_name(&a, r->name))
			continue;
		if (read_address(m, r, &ip))
			find(&f, r, &ip);
		else
			read_service(&f, &a, r);
	}
	return f.found;
}
