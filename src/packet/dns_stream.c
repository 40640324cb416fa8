/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream has the one place that its addresses and ports hash to. It has a
 * buffer only while it is open.
 */
#include "packet/dns_stream.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH 2 /* bytes before a message */

struct stream {
	struct ip server, client;
	uint16_t server_port, client_port;
	uint32_t next; /* sequence number */
	size_t used;
	char *data; /* DNS_STREAM_MAX; NULL: closed */
};

struct dns_streams {
	uint64_t seed;
	struct stream v[DNS_STREAMS];
};

struct dns_streams *
dns_streams_new(uint64_t seed)
{
	struct dns_streams *s = xcalloc(1, sizeof(*s));

	s->seed = seed;
	return s;
}

void
dns_streams_free(struct dns_streams *s)
{
	for (size_t i = 0; i < DNS_STREAMS; i++)
		free(s->v[i].data);
	free(s);
}

static struct stream *
place_of(struct dns_streams *s, const struct packet *p)
{
	uint8_t key[36];

	memcpy(key, p->src.bytes, 16);
	memcpy(key + 16, p->dst.bytes, 16);
	memcpy(key + 32, &p->sport, 2);
	memcpy(key + 34, &p->dport, 2);
	return &s->v[hash_bytes(key, sizeof(key), s->seed) % DNS_STREAMS];
}

static bool
is_of(const struct stream *t, const struct packet *p)
{
	return t->data != NULL && ip_eq(&t->server, &p->src) &&
	       ip_eq(&t->client, &p->dst) && t->server_port == p->sport &&
	       t->client_port == p->dport;
}

static void
close_stream(struct stream *t)
{
	free(t->data);
	t->data = NULL;
}

/* Hands on what is whole. False: the next message can never be. */
static bool
drain(struct stream *t, void (*fn)(void *arg, struct str message), void *arg)
{
	size_t at = 0;

	while (t->used - at >= LENGTH) {
		const uint8_t *p = (const uint8_t *)t->data + at;
		size_t n = (size_t)p[0] << 8 | p[1];

		if (n > DNS_STREAM_MAX - LENGTH)
			return false;
		if (t->used - at < LENGTH + n)
			break;
		fn(arg, (struct str){t->data + at + LENGTH, n});
		at += LENGTH + n;
	}
	memmove(t->data, t->data + at, t->used - at);
	t->used -= at;
	return true;
}

/* What of the segment is new; false: there is a gap before it. */
static bool
cut_known(const struct stream *t, const struct packet *p, struct str *out)
{
	uint32_t known = t->next - p->tcp_seq;

	*out = p->payload;
	if (known == 0)
		return true;
	if (known > INT32_MAX)
		return false;
	if (known >= p->payload_full) {
		out->n = 0;
		return true;
	}
	if (known > out->n)
		return false;
	out->p += known;
	out->n -= known;
	return true;
}

static bool
take_data(struct stream *t, const struct packet *p,
    void (*fn)(void *arg, struct str message), void *arg)
{
	struct str left;

	if (!cut_known(t, p, &left))
		return false;
	t->next += (uint32_t)left.n;
	while (left.n > 0) {
		size_t room = DNS_STREAM_MAX - t->used;
		size_t n = left.n < room ? left.n : room;

		memcpy(t->data + t->used, left.p, n);
		t->used += n;
		left.p += n;
		left.n -= n;
		if (!drain(t, fn, arg))
			return false;
	}
	/* What was not copied is a gap. */
	return p->payload.n == p->payload_full;
}

void
dns_streams_take(struct dns_streams *s, const struct packet *p,
    void (*fn)(void *arg, struct str message), void *arg)
{
	struct stream *t = place_of(s, p);

	if (packet_is_syn_ack(p)) {
		char *data =
		    t->data != NULL ? t->data : xmalloc(DNS_STREAM_MAX);

		*t = (struct stream){p->src, p->dst, p->sport, p->dport,
		    p->tcp_seq + 1, 0, data};
		return;
	}
	if (!is_of(t, p))
		return;
	if (!take_data(t, p, fn, arg) ||
	    (p->tcp_flags & (PACKET_FIN | PACKET_RST)) != 0)
		close_stream(t);
}
