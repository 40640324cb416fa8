/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop's side of the milter: a transaction from MAIL to the end of the
 * message, by the questions that the threads post. Event loop's thread.
 */
#ifndef MILTER_MILTER_TXN_H
#define MILTER_MILTER_TXN_H

#include "milter/milter.h"
#include "milter/milter_ask.h"

struct milter_desk { /* embedded in its owner */
	struct milter_parts parts;
	struct milter_settings settings;
	char *hostname; /* of the settings */
	struct milter_port *port;
	struct list txns, settles;
	void (*on_drained)(void *arg);
	void *drained_arg;
	bool draining;
	int64_t own_reported; /* of mail of ours that came round; 0: not yet */
	bool short_reported;  /* that queue ids come again */
	char server[256];     /* whose hold queue is used; "": nobody's yet */
};

void milter_desk_init(struct milter_desk *d, const struct milter_parts *parts,
    const struct milter_settings *settings);
void milter_desk_drain(struct milter_desk *d, void (*fn)(void *arg), void *arg);
/* Refuses whoever still waits. */
void milter_desk_close(struct milter_desk *d);

/* Any thread; ends with MILTER_CLOSE. */
struct milter_peer *milter_peer_new(void);

#endif
