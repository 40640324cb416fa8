/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mail daemon as a whole: wires the parts, runs the loop, reloads, drains.
 */
#ifndef MAILD_MAILD_H
#define MAILD_MAILD_H

/* Both return an exit status of sysexits(3): 0; 78 the configuration is wrong;
 * 75 something is in use and may be free later; 74 the spool cannot be read or
 * written. One line on stderr says what and where. */
int maild_check(const char *config_file);
/* Until SIGTERM or SIGINT. page_dir: where the dashboard's files are read from
 * while they are worked on; NULL: they are built in. */
int maild_run(const char *config_file, const char *page_dir);

#endif
