/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A resource with a limit that many use, so that none of them uses it up for
 * all the others. Counts only; what is counted is the caller's.
 *
 *	- Up to half of the limit everybody may take what he likes.
 *	- From there on one may have as much as is still free (dynamic
 *	  thresholds, Choudhury and Hahne 1998): n users that want all of it get
 *	  1/(n + 1) each, and whoever comes next finds room.
 *	- Or all that leaves the others twice what they have: one who is alone,
 *	  or nearly so, may use it all.
 *	- A sixteenth above the limit is for those who come when it is used up.
 *
 * A user is there while it uses something or somebody holds a reference.
 * No lock; O(1), and no allocation for a user that is there.
 */
#ifndef BASE_SHARE_H
#define BASE_SHARE_H

#include "base/str.h"

struct share;
struct share_user;

struct share *share_new(void);
void share_free(struct share *s); /* with its users; takes NULL */

/* A reference; the key is copied. */
struct share_user *share_join(struct share *s, struct str key);
/* Gives it back; takes NULL. */
void share_leave(struct share *s, struct share_user *u);
/* NULL: nobody of this name is there. */
struct share_user *share_find(const struct share *s, struct str key);

/* May it have so much more, of max in all? Takes nothing. u NULL: one that
 * uses nothing yet. */
MUST_CHECK bool share_may(const struct share *s, const struct share_user *u,
    uint64_t max, uint64_t amount);
void share_take(struct share *s, struct share_user *u, uint64_t amount);
/* u may be gone after it, where nobody holds a reference. */
void share_give(struct share *s, struct share_user *u, uint64_t amount);

/* What may be used above the limit, by late comers. */
uint64_t share_reserve(uint64_t max);
uint64_t share_used(const struct share *s);
uint64_t share_used_by(const struct share_user *u); /* NULL: 0 */
size_t share_users(const struct share *s);

#endif
