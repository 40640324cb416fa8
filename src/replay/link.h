/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the IP packet begins in a frame of a capture: Ethernet with VLAN tags
 * and PPPoE, Linux "any" (SLL, SLL2), BSD loopback, and bare IP. Pure; the
 * bytes are hostile.
 */
#ifndef REPLAY_LINK_H
#define REPLAY_LINK_H

#include "base/str.h"

/* type: a DLT_ of libpcap. */
bool link_is_known(int type);
/* False: the frame carries no IP, or ends before it. */
MUST_CHECK bool link_strip(int type, struct str frame, struct str *ip);

#endif
