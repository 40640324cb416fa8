/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may come by HTTP, kept in a file: read at the start, written anew, by a
 * thread, when it has changed. And what takes as long: passwords. Event loop's
 * thread.
 */
#ifndef CONTROL_ACCESS_STORE_H
#define CONTROL_ACCESS_STORE_H

#include "control/access.h"
#include "control/guard.h"
#include "net/worker.h"
#include "os/log.h"

#define ACCESS_FILE "http-access.json"
#define ACCESS_WAITING_MAX 16  /* passwords and writes */
#define ACCESS_PASSWORDS_MAX 8 /* of these, so that writes find room */

struct access_store {
	struct access *access;
	struct guard *guard;
	struct worker *worker;
	unsigned password_count; /* that wait */
	struct loop *loop;
	struct log *log;
	char *path, *temporary;
};

/* Reads ACCESS_FILE in dir, and blocks. NULL: why in err. */
struct access_store *access_store_open(
    struct loop *loop, struct log *log, const char *dir, char *err, size_t cap);
/* Writes what has changed; takes NULL. */
void access_store_free(struct access_store *s);

/* fn comes with 0 or an errno value when the file holds what access does; never
 * from within. fn NULL: nobody waits for it. False: too much waits. */
typedef void access_saved_fn(void *arg, int error);
MUST_CHECK bool access_store_save(
    struct access_store *s, access_saved_fn *fn, void *arg);

/* Each in the worker, never from within; strings are copied. False: too much
 * waits. */
typedef void access_checked_fn(void *arg, bool is_right, int64_t now);
MUST_CHECK bool access_store_check(struct access_store *s, const char *password,
    const char *hash, access_checked_fn *fn, void *arg);
/* hash NULL: libcrypt refused. */
typedef void access_hashed_fn(void *arg, const char *hash, int64_t now);
MUST_CHECK bool access_store_hash(struct access_store *s, const char *password,
    access_hashed_fn *fn, void *arg);

#endif
