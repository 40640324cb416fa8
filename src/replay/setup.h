/* SPDX-License-Identifier: BSD-3-Clause */
/* What is to be tried: a weir.conf, or the defaults, as the replay takes it. */
#ifndef REPLAY_SETUP_H
#define REPLAY_SETUP_H

#include "base/err.h"
#include "maild/maild_config.h"
#include "replay/world.h"

struct setup {
	struct maild_config *config;
	struct policies *only; /* of --policy; NULL: as the file has them */
	struct world_settings world;
	uint32_t recipients_max;
};

/* file NULL: a configuration without any policy. policy: everybody has this
 * one, NULL: as they match. Mode is enforce, whatever the file says. 0, or a
 * sysexits status with why in err; setup_clear in any case. */
MUST_CHECK int setup_load(
    struct setup *s, const char *file, const char *policy, struct err *err);
/* base with these policy sections in place of its own. base is borrowed. */
MUST_CHECK int setup_try(struct setup *s, const struct setup *base,
    const char *policies, struct err *err);
void setup_clear(struct setup *s);

#endif
