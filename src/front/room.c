/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/room.h"

#include <stdio.h>
#include <string.h>

const char *
room_words(const struct spool_usage *u, char out[ROOM_TEXT_MAX])
{
	bool bytes = strcmp(u->limit, "held_bytes_max") == 0;
	unsigned shift = bytes ? 20 : 0;

	snprintf(out, ROOM_TEXT_MAX,
	    "Hold queue is full (%s), try again later: %llu of %llu %s in use, "
	    "%llu by this sender",
	    u->limit, (unsigned long long)(u->used >> shift),
	    (unsigned long long)(u->max >> shift), bytes ? "MB" : "recipients",
	    (unsigned long long)(u->own >> shift));
	return out;
}
