/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of one value for options tables: false and, in err, how the sentence
 * that began with the value goes on ("... is not a full path"). They look at
 * the machine (users, files), never at other options.
 */
#ifndef OS_OPTION_CHECK_H
#define OS_OPTION_CHECK_H

#include "base/base.h"

/* Always false: how the sentence goes on, in err. */
PRINTF_LIKE(3, 4)
bool option_refuse(char *err, size_t cap, const char *fmt, ...);

bool option_check_path(const char *text, char *err, size_t cap);
bool option_check_socket_path(const char *text, char *err, size_t cap);
bool option_check_program(const char *text, char *err, size_t cap);
bool option_check_user(const char *text, char *err, size_t cap);
bool option_check_group(const char *text, char *err, size_t cap);
bool option_check_network(const char *text, char *err, size_t cap);

#endif
