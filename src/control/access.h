/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may come by HTTP: tokens, users with passwords, and the sessions of a
 * browser, which are tokens that end by themselves. A token's 256 random bits
 * are kept as their SHA-256 alone, a password as crypt(5) has it; what the file
 * holds lets nobody in. Memory alone, without I/O: access_store.h keeps the
 * file. Times are wall milliseconds. One thread.
 */
#ifndef CONTROL_ACCESS_H
#define CONTROL_ACCESS_H

#include "base/buf.h"
#include "base/ip.h"
#include "base/list.h"

#include <jansson.h>

#define ACCESS_TEXT_MAX (1u << 20) /* bytes of the file */
#define ACCESS_TOKENS_MAX 1000
#define ACCESS_SESSIONS_MAX 256 /* the one least used lately makes room */
#define ACCESS_USERS_MAX 1000
#define ACCESS_SECRET_MAX 64 /* "weir_" and 43 characters, terminated */
#define ACCESS_ID_MAX 20
#define ACCESS_IDLE_MS (12 * 3600 * INT64_C(1000)) /* of a session */
#define ACCESS_SESSION_MS (7 * 24 * 3600 * INT64_C(1000))

struct access;

struct access_entry {
	struct list entry;
	bool is_session;
	char id[ACCESS_ID_MAX]; /* no secret */
	uint8_t hash[32];
	char *name;
	unsigned rights; /* enum control_right */
	char *domain;    /* NULL: all senders */
	struct ip_net *nets;
	size_t net_count; /* 0: from everywhere */
	int64_t created;
	int64_t expires;   /* 0: never */
	int64_t last_used; /* 0: never, or before the daemon started */
};

struct access_user {
	struct list entry;
	char *name, *hash; /* crypt(5) */
	unsigned rights;
	char *domain; /* NULL: all senders */
	int64_t created;
};

/* Strings are borrowed during the call. */
struct access_order {
	const char *name;
	unsigned rights;
	const char *domain; /* NULL: all senders */
	char *const *networks;
	size_t network_count;
	int64_t for_ms; /* 0: for ever */
	/* In place of networks: those of the token that a session is of. */
	const struct ip_net *nets;
	size_t net_count;
};

struct access *access_new(void);
void access_free(struct access *a); /* takes NULL */

/* What access_print wrote. False: what is wrong, in err; a is as it was. */
MUST_CHECK bool access_read(
    struct access *a, struct str text, char *err, size_t cap);
/* False: it does not fit. */
MUST_CHECK bool access_print(const struct access *a, struct buf *out);
/* A change was made since the last call. */
bool access_take_changed(struct access *a);

/* NULL: there is none, or it has expired, or not from there. client NULL: a
 * program of this machine, from where every token may come; IP_NONE: nobody
 * knows from where. Notes the use. */
struct access_entry *access_find(struct access *a, struct str secret,
    bool is_session, const struct ip *client, int64_t wall);
/* Whether the token or session of that id still lets somebody in. */
bool access_is_valid(const struct access *a, struct str id, int64_t wall);
/* NULL: there are too many. secret is shown once and kept nowhere. */
const struct access_entry *access_add_token(struct access *a,
    const struct access_order *order, int64_t wall,
    char secret[ACCESS_SECRET_MAX]);
const struct access_entry *access_add_session(struct access *a,
    const struct access_order *order, int64_t wall,
    char secret[ACCESS_SECRET_MAX]);
/* By its id; sessions that a token or user began end with it. False: there is
 * none. */
MUST_CHECK bool access_remove(struct access *a, struct str id);

/* A user of that name is replaced, and his sessions end. NULL: too many. */
const struct access_user *access_set_user(struct access *a,
    const struct access_order *order, const char *hash, int64_t wall);
const struct access_user *access_find_user(
    const struct access *a, struct str name);
MUST_CHECK bool access_remove_user(struct access *a, struct str name);

/* Those that expired are gone. fn for each, without sessions. */
void access_each(struct access *a, int64_t wall,
    void (*fn)(void *arg, const struct access_entry *e), void *arg);
void access_each_user(const struct access *a,
    void (*fn)(void *arg, const struct access_user *u), void *arg);

/* Where a token may be used from: "192.0.2.0/24", ... */
json_t *access_nets(const struct access_entry *e);

/* ---- passwords; these take long: never on the loop ---- */

#define ACCESS_HASH_MAX 384
/* False: libcrypt refused. */
MUST_CHECK bool access_hash_password(
    const char *password, char out[ACCESS_HASH_MAX]);
/* hash NULL: as much work as with one, and false. */
bool access_check_password(const char *password, const char *hash);

#endif
