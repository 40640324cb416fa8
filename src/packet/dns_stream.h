/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DNS answers over TCP, read along from the server's segments (RFC 7766: two
 * bytes of length before each message). A stream is followed from its SYN-ACK
 * and in order; at the first gap, or at a message that is too long, it is let
 * go, and what it would have said is not learnt. Bounded: a fixed number of
 * streams, of which a new one may push out an old one. Pure; hostile bytes.
 */
#ifndef PACKET_DNS_STREAM_H
#define PACKET_DNS_STREAM_H

#include "packet/packet.h"

#define DNS_STREAMS 256
#define DNS_STREAM_MAX 4096 /* bytes of one message, with its length */

struct dns_streams;

struct dns_streams *dns_streams_new(uint64_t seed);
void dns_streams_free(struct dns_streams *s);
/* A TCP segment of a server. fn is called for each message that it completes,
 * which is borrowed during the call. */
void dns_streams_take(struct dns_streams *s, const struct packet *p,
    void (*fn)(void *arg, struct str message), void *arg);

#endif
