/* SPDX-License-Identifier: BSD-3-Clause */
/* The gate's settings of a configuration, which they borrow from. */
#ifndef MAILD_MAILD_GATE_H
#define MAILD_MAILD_GATE_H

#include "gate/gate.h"
#include "maild/maild_config.h"

struct gate_settings maild_gate_settings(const struct maild_config *conf);

#endif
