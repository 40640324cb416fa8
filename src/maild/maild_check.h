/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of one value of weir.conf, for the options table: false and, in err,
 * how the sentence that began with the value goes on ("... is not a path").
 * They look at the machine (users, files), never at other options.
 */
#ifndef MAILD_MAILD_CHECK_H
#define MAILD_MAILD_CHECK_H

#include "base/base.h"

bool maild_check_hostname(const char *text, char *err, size_t cap);
bool maild_check_text(const char *text, char *err, size_t cap);
bool maild_check_next_hop(const char *text, char *err, size_t cap);
bool maild_check_listen(const char *text, char *err, size_t cap);
bool maild_check_protocol(const char *text, char *err, size_t cap);
bool maild_check_command(const char *text, char *err, size_t cap);
/* SHA-256 of a certificate, and "user=" with one. */
bool maild_check_fingerprint(const char *text, char *err, size_t cap);
bool maild_check_account(const char *text, char *err, size_t cap);
bool maild_check_shared(const char *text, char *err, size_t cap);
bool maild_check_prefix(const char *text, char *err, size_t cap);
bool maild_check_mode(const char *text, char *err, size_t cap);
/* Permission bits from octal digits. */
MUST_CHECK bool maild_parse_mode(const char *text, unsigned *out);

#endif
