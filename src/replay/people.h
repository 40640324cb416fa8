/* SPDX-License-Identifier: BSD-3-Clause */
/* Whom the replay of logs plays: logins, clients and addresses as the log has
 * them. */
#ifndef REPLAY_PEOPLE_H
#define REPLAY_PEOPLE_H

#include "replay/logs.h"
#include "replay/replay.h"

struct people {
	struct replay_people replay;
	const struct submissions *submissions;
};

/* l is borrowed. Returns p's replay. */
const struct replay_people *people_init(struct people *p, const struct logs *l);

#endif
