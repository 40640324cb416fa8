/* SPDX-License-Identifier: BSD-3-Clause */
/* See flows.h. */
#include "replay/flows.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 1024
#define SECOND 1000
#define MADE_UP 0x0a000000u
#define FIRST_PORT 1024
#define PORTS 60000
#define LENGTH 2 /* bytes, before a packet */

/* "14462.488": ms; what is below one is cut off. */
static bool
parse_time(struct str word, int64_t *out)
{
	struct str whole = str_cut(&word, '.');
	uint64_t seconds, ms = 0;

	if (!str_to_u64(whole, &seconds) || seconds > FLOWS_SECONDS_MAX)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		if (word.p[i] < '0' || word.p[i] > '9')
			return false;
	}
	for (size_t i = 0; i < 3; i++)
		ms = ms * 10 + (i < word.n ? (uint64_t)(word.p[i] - '0') : 0);
	*out = (int64_t)(seconds * SECOND + ms);
	return true;
}

/* An address that is only a word gets one of its own. */
static void
set_address(struct flows *f, uint32_t number, struct str word)
{
	uint32_t made_up = htonl(MADE_UP + number);

	if (number >= f->ip_cap) {
		f->ip_cap = f->ip_cap > 0 ? 2 * f->ip_cap : CAP_FIRST;
		f->ips = xrealloc(f->ips, f->ip_cap * sizeof(*f->ips));
	}
	if (ip_parse(word, &f->ips[number]))
		return;
	f->ips[number] = (struct ip){.family = IP_V4};
	memcpy(f->ips[number].bytes, &made_up, sizeof(made_up));
}

/* The number of an address, a new one where it was not seen yet. */
static bool
number_of(struct flows *f, struct str word, uint32_t *out, struct err *why)
{
	uintptr_t known;

	if (f->words == NULL)
		f->words = map_new();
	known = (uintptr_t)map_find(f->words, word);
	if (known == 0 && map_count(f->words) == FLOWS_WORDS_MAX)
		return err_set(why, "more than %d addresses", FLOWS_WORDS_MAX);
	if (known == 0) {
		known = map_count(f->words) + 1;
		set_address(f, (uint32_t)known - 1, word);
		map_set(f->words, word, (void *)known);
	}
	*out = (uint32_t)known - 1;
	return true;
}

static bool
take_address(struct flows *f, struct str *line, const char *what, uint32_t *out,
    struct err *why)
{
	struct str word = str_cut(line, ' ');

	if (word.n == 0 || word.n > FLOWS_WORD_MAX)
		return err_set(why, "%s is missing, or longer than %d bytes",
		    what, FLOWS_WORD_MAX);
	return number_of(f, word, out, why);
}

static bool
take_number(struct str *line, const char *what, uint64_t max, uint64_t *out,
    struct err *why)
{
	struct str word = str_cut(line, ' ');
	char shown[64];

	if (str_to_u64(word, out) && *out <= max)
		return true;
	return err_set(why, "%s: \"%s\" is not a number up to %u", what,
	    str_escape(str_sub(word, 0, 30), shown, sizeof(shown)),
	    (unsigned)max);
}

static bool
add(struct flows *f, const struct flow *flow, struct err *why)
{
	if (f->count == FLOWS_MAX)
		return err_set(why, "more than %d flows", FLOWS_MAX);
	if (f->count == f->cap) {
		f->cap = f->cap == 0 ? CAP_FIRST : f->cap * 2;
		f->v = xrealloc(f->v, f->cap * sizeof(*f->v));
	}
	f->v[f->count++] = *flow;
	f->opened += flow->kind == FLOW_OPEN;
	return true;
}

bool
flows_add_line(void *flows, struct str line, struct err *why)
{
	struct flows *f = flows;
	struct str word = str_cut(&line, ' ');
	uint64_t protocol, port;
	struct flow flow = {.kind = FLOW_OPEN};
	char shown[64];

	if (!parse_time(word, &flow.at))
		return err_set(why,
		    "the time: \"%s\" is not a number of seconds up to %d",
		    str_escape(str_sub(word, 0, 30), shown, sizeof(shown)),
		    FLOWS_SECONDS_MAX);
	if (f->count > 0 && flow.at < f->v[f->count - 1].at)
		return err_set(why,
		    "the time is before that of the previous line; sort by the "
		    "first column");
	if (!take_address(f, &line, "the source", &flow.src, why) ||
	    !take_address(f, &line, "the destination", &flow.dst, why) ||
	    !take_number(&line, "the protocol", UINT8_MAX, &protocol, why) ||
	    !take_number(&line, "the port", UINT16_MAX, &port, why))
		return false;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return err_set(why, "the protocol is neither 6 nor 17");
	if (line.n > 0)
		return err_set(why,
		    "more than five columns; a flow has time, source, "
		    "destination, protocol and port");
	flow.protocol = (uint8_t)protocol;
	flow.dport = (uint16_t)port;
	flow.sport = (uint16_t)(FIRST_PORT + f->count % PORTS);
	flow.seq = f->count;
	return add(f, &flow, why);
}

bool
flows_open(struct flows *f, int64_t at, const struct packet *p, struct err *why)
{
	struct flow flow = {
	    .at = at,
	    .seq = p->tcp_seq,
	    .sport = p->sport,
	    .dport = p->dport,
	    .protocol = p->protocol,
	    .kind = FLOW_OPEN,
	};
	char src[IP_TEXT_MAX], dst[IP_TEXT_MAX];

	return number_of(
		   f, str_from(ip_format(&p->src, src)), &flow.src, why) &&
	       number_of(
		   f, str_from(ip_format(&p->dst, dst)), &flow.dst, why) &&
	       add(f, &flow, why);
}

bool
flows_learn(struct flows *f, int64_t at, enum flow_kind kind, struct str packet,
    struct err *why)
{
	struct flow flow = {
	    .at = at, .seq = f->byte_count, .kind = (uint8_t)kind};
	uint32_t n = (uint32_t)packet.n + LENGTH;

	if (n > FLOWS_BYTES_MAX - f->byte_count)
		return err_set(why,
		    "more than %u MB of DNS answers and contacts; take a "
		    "shorter capture",
		    FLOWS_BYTES_MAX >> 20);
	if (f->byte_count + n > f->byte_cap) {
		f->byte_cap = 2 * (f->byte_count + n);
		f->bytes = xrealloc(f->bytes, f->byte_cap);
	}
	f->bytes[f->byte_count] = (uint8_t)(packet.n >> 8);
	f->bytes[f->byte_count + 1] = (uint8_t)packet.n;
	memcpy(f->bytes + f->byte_count + LENGTH, packet.p, packet.n);
	f->byte_count += n;
	return add(f, &flow, why);
}

struct str
flows_packet(const struct flows *f, const struct flow *flow)
{
	const uint8_t *p = f->bytes + flow->seq;

	return (struct str){(const char *)p + LENGTH, (size_t)p[0] << 8 | p[1]};
}

int64_t
flows_length(const struct flows *f)
{
	return f->count > 0 ? f->v[f->count - 1].at : 0;
}

uint32_t
flows_address_count(const struct flows *f)
{
	return f->words != NULL ? (uint32_t)map_count(f->words) : 0;
}

void
flows_clear(struct flows *f)
{
	free(f->v);
	free(f->ips);
	free(f->bytes);
	if (f->words != NULL)
		map_free(f->words, NULL);
	*f = (struct flows){0};
}
