/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which messages of which source weir let go, by the queue ids that the mail
 * server gave them, so that a freeze finds those that still wait there. In
 * memory, for some days, so many a source and so many in all, the oldest out
 * first. Keeps nothing until it is turned on. No I/O, no clock.
 */
#ifndef DELIVERY_LET_GO_H
#define DELIVERY_LET_GO_H

#include "delivery/mta_queue.h"

#define LET_GO_SOURCE_MAX 500
#define LET_GO_MAX 50000
#define LET_GO_MS ((int64_t)5 * 24 * 3600 * 1000) /* maximal_queue_lifetime */

struct let_go;

struct let_go *let_go_new(void);
void let_go_free(struct let_go *g); /* takes NULL */
/* Off: what was known is forgotten. */
void let_go_set(struct let_go *g, bool on);
/* The mail server has it under this id, which is looked at here. An id that
 * another source had was given again: it is this one's now. */
void let_go_note(
    struct let_go *g, const char *source, struct str id, int64_t now);
/* The same from a reply to the final dot, where it names one: Postfix says
 * "2.0.0 Ok: queued as 4jWFs55w7zz1cQhf". */
void let_go_note_reply(
    struct let_go *g, const char *source, struct str text, int64_t now);
void let_go_forget(struct let_go *g, const char *id);

struct let_go_id {
	char id[MTA_ID_MAX + 1];
	int64_t at;
};
/* What is known of a source, at most LET_GO_SOURCE_MAX, the oldest first. */
size_t let_go_of(struct let_go *g, const char *source, int64_t now,
    struct let_go_id out[LET_GO_SOURCE_MAX]);
size_t let_go_count(const struct let_go *g);

#endif
