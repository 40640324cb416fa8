/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/redis_slots.h"

#include <string.h>

/* CRC-16/XMODEM, bit by bit: a key's tag is short. */
static uint16_t
crc16(struct str s)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (uint16_t)((unsigned char)s.p[i] << 8);
		for (unsigned bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc << 1 ^
					 ((crc & 0x8000) != 0 ? 0x1021 : 0));
	}
	return crc;
}

uint16_t
redis_slot_of(struct str key)
{
	size_t open = str_index(key, '{');
	struct str rest = str_sub(key, open + 1, SIZE_MAX);
	size_t n = str_index(rest, '}');

	if (open < key.n && n > 0 && n < rest.n)
		key = str_sub(rest, 0, n);
	return crc16(key) % REDIS_SLOTS;
}

/* A host that the node calls nothing is where it was reached itself; "?" is one
 * that it does not know either. */
static bool
read_host(struct str host, uint64_t port, const struct redis_host *from,
    struct redis_host *out)
{
	if (host.n == 0)
		host = str_from(from->host);
	return !str_eq(host, STR("?")) && redis_host_make(host, port, out);
}

static unsigned
add_host(struct redis_slots *out, const struct redis_host *host)
{
	unsigned i = 0;

	while (i < out->count && !redis_host_same(&out->hosts[i], host))
		i++;
	if (i == out->count && i < REDIS_NODES_MAX)
		out->hosts[out->count++] = *host;
	return i;
}

bool
redis_slots_read(const struct resp_value *reply, const struct redis_host *from,
    struct redis_slots *out)
{
	out->count = 0;
	for (unsigned i = 0; i < REDIS_SLOTS; i++)
		out->of[i] = REDIS_NO_NODE;
	for (size_t i = 0; i < reply->count; i++) {
		const struct resp_value *range = resp_at(reply, i);
		const struct resp_value *first = resp_at(range, 0);
		const struct resp_value *last = resp_at(range, 1);
		const struct resp_value *node = resp_at(range, 2);
		int64_t port = resp_at(node, 1)->integer;
		struct redis_host host;
		unsigned index;

		if (first->type != RESP_INTEGER || last->type != RESP_INTEGER ||
		    first->integer < 0 || last->integer >= REDIS_SLOTS ||
		    first->integer > last->integer || port <= 0 ||
		    !read_host(resp_text(resp_at(node, 0)), (uint64_t)port,
			from, &host))
			continue;
		index = add_host(out, &host);
		for (int64_t slot = first->integer;
		     index < REDIS_NODES_MAX && slot <= last->integer; slot++)
			out->of[slot] = (uint16_t)index;
	}
	return out->count > 0;
}

bool
redis_redirect_read(
    struct str text, const struct redis_host *from, struct redis_redirect *out)
{
	struct str word = str_cut(&text, ' '), slot = str_cut(&text, ' ');
	size_t colon = str_rindex(text, ':');
	uint64_t number, port;

	out->is_ask = str_eq(word, STR("ASK"));
	if ((!out->is_ask && !str_eq(word, STR("MOVED"))) ||
	    !str_to_u64(slot, &number) || number >= REDIS_SLOTS ||
	    colon >= text.n ||
	    !str_to_u64(str_sub(text, colon + 1, SIZE_MAX), &port))
		return false;
	out->slot = (uint16_t)number;
	return read_host(str_sub(text, 0, colon), port, from, &out->host);
}
