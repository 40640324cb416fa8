/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of weir.conf's own part, which maild_options.c puts together, and
 * the words in which their rows are written. For these files alone.
 */
#ifndef MAILD_MAILD_OPTIONS_H
#define MAILD_MAILD_OPTIONS_H

#include "maild/maild_check.h"
#include "maild/maild_config.h"
#include "os/option_check.h"

extern const struct option maild_options_inbound[];
extern const struct option maild_options_session[];
extern const struct option maild_options_hop[];
extern const struct option maild_options_milter[];
extern const struct option maild_options_share[];
extern const struct option maild_options_tls[];
extern const struct option maild_options_listen[];

#define AT(field) .offset = offsetof(struct maild_config, field)
#define SECONDS(n) ((n)*INT64_C(1000))
#define MINUTES(n) SECONDS((n)*INT64_C(60))
#define HOURS(n) MINUTES((n)*INT64_C(60))
#define DAYS(n) HOURS((n)*INT64_C(24))
#define MIB(n) ((n) * (INT64_C(1) << 20))
#define TIME(option, field, text, least, most)                              \
	.name = option, .type = OPTION_DURATION, AT(field), .preset = text, \
	.min = least, .max = most, .reloadable = true
#define SIZE(option, field, text, least, most)                          \
	.name = option, .type = OPTION_SIZE, AT(field), .preset = text, \
	.min = least, .max = most, .reloadable = true
#define NUMBER(option, field, text, least, most)                        \
	.name = option, .type = OPTION_UINT, AT(field), .preset = text, \
	.min = least, .max = most, .reloadable = true
#define FIXED_NUMBER(option, field, text, least, most)                  \
	.name = option, .type = OPTION_UINT, AT(field), .preset = text, \
	.min = least, .max = most
#define FIXED_SIZE(option, field, text, least)                          \
	.name = option, .type = OPTION_SIZE, AT(field), .preset = text, \
	.min = least
#define SWITCH(option, field, text)                                     \
	.name = option, .type = OPTION_BOOL, AT(field), .preset = text, \
	.reloadable = true
#define CHOICE(option, field, text, list)                               \
	.name = option, .type = OPTION_ENUM, AT(field), .preset = text, \
	.names = list, .reloadable = true

#endif
