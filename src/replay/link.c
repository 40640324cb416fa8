/* SPDX-License-Identifier: BSD-3-Clause */
/* See link.h. */
#include "replay/link.h"

#include <pcap/dlt.h>

#define ETHERTYPE_AT 12
#define TYPE_IP4 0x0800
#define TYPE_IP6 0x86dd
#define TYPE_VLAN 0x8100
#define TYPE_QINQ 0x88a8
#define TYPE_PPPOE 0x8864
#define TAGS_MAX 4
#define TAG 4
#define PPPOE_HEADER 6 /* and two bytes of PPP's protocol */
#define PPP_IP4 0x0021
#define PPP_IP6 0x0057
#define SLL_TYPE_AT 14
#define SLL2_HEADER 20
#define NULL_HEADER 4

static unsigned
get16(struct str s, size_t at)
{
	return (unsigned)(uint8_t)s.p[at] << 8 | (uint8_t)s.p[at + 1];
}

/* s begins behind a field that has said `type`. */
static bool
take_type(unsigned type, struct str s, struct str *ip)
{
	for (int i = 0; i < TAGS_MAX && s.n >= TAG &&
			(type == TYPE_VLAN || type == TYPE_QINQ);
	     i++) {
		type = get16(s, 2);
		s = str_sub(s, TAG, s.n);
	}
	if (type == TYPE_PPPOE) {
		if (s.n < PPPOE_HEADER + 2)
			return false;
		type = get16(s, PPPOE_HEADER);
		type = type == PPP_IP4   ? TYPE_IP4
		       : type == PPP_IP6 ? TYPE_IP6
					 : 0;
		s = str_sub(s, PPPOE_HEADER + 2, s.n);
	}
	*ip = s;
	return type == TYPE_IP4 || type == TYPE_IP6;
}

static bool
take_at(struct str frame, size_t type_at, size_t header, struct str *ip)
{
	return frame.n >= header && take_type(get16(frame, type_at),
					str_sub(frame, header, frame.n), ip);
}

bool
link_is_known(int type)
{
	switch (type) {
	case DLT_EN10MB:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_NULL:
	case DLT_LOOP:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
		return true;
	default:
		return false;
	}
}

bool
link_strip(int type, struct str frame, struct str *ip)
{
	switch (type) {
	case DLT_EN10MB:
		return take_at(frame, ETHERTYPE_AT, ETHERTYPE_AT + 2, ip);
	case DLT_LINUX_SLL:
		return take_at(frame, SLL_TYPE_AT, SLL_TYPE_AT + 2, ip);
	case DLT_LINUX_SLL2:
		return take_at(frame, 0, SLL2_HEADER, ip);
	case DLT_NULL:
	case DLT_LOOP:
		*ip = str_sub(frame, NULL_HEADER, frame.n);
		return frame.n > NULL_HEADER;
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
		*ip = frame;
		return frame.n > 0;
	default:
		return false;
	}
}
