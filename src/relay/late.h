/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages whose final dot went to the next hop while their clients may never
 * hear the reply: they were answered 451 (answer_timeout), or have left. They
 * will send the same again, and each attempt would be another copy.
 *
 *	LATE_IN_DOUBT	no reply has come yet: the next attempt hears 451
 *	LATE_ACCEPTED	250 came: the next attempt hears 250, and goes no
 *further
 *
 * A refusal, or the end of the connection, is forgotten: the next attempt is
 * sent as usual. Doubt costs a copy, never a loss. So does all else that this
 * does not know: it is in memory alone, and empty after a restart.
 *
 * An attempt is the same if source, reverse path, recipients in any order,
 * their parameters and the text as the client sent it are the same, octet for
 * octet. With a Message-ID that is the same message, whoever sends it (RFC 5322
 * section 3.6.4), and an entry answers it until it expires, for a 250 can be
 * lost as well. Without one it may be an alarm that a script raises again: the
 * entry answers one attempt, so that never are more acknowledged than were
 * accepted.
 *
 * Not for messages of which the next hop had a part: with held recipients, that
 * are taken back with the 451 and may go at once next time, and over LMTP with
 * several, that are accepted one by one. The next attempt's held recipients do
 * count: an attempt in doubt has their allowance.
 *
 * Keys are 128 bits of a seeded hash, with source and reverse path in it: who
 * finds a collision has only mail of his own left out. The entry that was not
 * used for longest goes first. `now` in monotonic ms. Event loop's thread.
 */
#ifndef RELAY_LATE_H
#define RELAY_LATE_H

#include "base/hash.h"
#include "smtp/envelope.h"

#define LATE_ENTRIES_MAX 1024
#define LATE_TIME_MS (INT64_C(6) * 3600 * 1000) /* after its last use */

struct late;
struct late_text; /* a message on its way through */

enum late_state { LATE_NONE, LATE_IN_DOUBT, LATE_ACCEPTED };

struct late *late_new(void);
void late_free(struct late *l); /* takes NULL */
bool late_is_empty(struct late *l, int64_t now);

void late_doubt(struct late *l, const struct hash128 *key, int64_t now);
void late_accepted(struct late *l, const struct hash128 *key,
    bool has_message_id, int64_t now);
/* No word of an entry that was accepted: harmless then. */
void late_forget(struct late *l, const struct hash128 *key);
/* LATE_ACCEPTED: the attempt has to be answered so. */
MUST_CHECK enum late_state late_ask(
    struct late *l, const struct hash128 *key, int64_t now);

/* Nothing is borrowed. The recipients come before the text, then the key, once.
 */
struct late_text *late_text_new(
    const struct late *l, struct str source, const struct smtp_mail *mail);
void late_text_rcpt(struct late_text *t, const struct smtp_rcpt *rcpt);
void late_text_add(struct late_text *t, struct str chunk);
struct hash128 late_text_key(struct late_text *t);
void late_text_free(struct late_text *t); /* takes NULL */

#endif
