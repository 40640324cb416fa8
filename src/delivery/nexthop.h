/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections to the next hop, kept and reused. Several next hops are tried in
 * order; one that failed, or did not greet in time while another was left,
 * rests for a while unless all rest, and then one connection tries it. What
 * goes wrong from MAIL on is the transaction's and rests nobody. A next hop
 * that says 421 to a new connection while others work takes no more: their
 * number is learnt, everybody waits in line for them, and after a while more
 * are tried. Event loop's thread.
 *
 * A struct hop is one connection in one owner's hands. Its owner speaks through
 * hop_client (smtp/client.h) and hears through hop_ops.
 */
#ifndef DELIVERY_NEXTHOP_H
#define DELIVERY_NEXTHOP_H

#include "delivery/credentials.h"
#include "net/conn.h"
#include "os/counters.h"
#include "os/log.h"
#include "os/tap.h"
#include "smtp/client.h"

struct nexthop;
struct hop;

struct nexthop_tls {
	struct tls_client *client; /* whom to trust; NULL: no TLS */
	bool required;             /* else in plain where it fails */
	bool implicit;             /* from the first byte, as on port 465 */
	const char *name;          /* whom to expect; NULL: the host's name */
	int64_t timeout_ms;
};

struct nexthop_settings {
	struct nexthop_tls tls;       /* a reference is taken */
	const char *const *addresses; /* "127.0.0.1:25", "unix:/p", "name:25" */
	size_t address_count;
	const char *hostname;       /* for EHLO */
	int64_t connect_timeout_ms; /* and for the greeting, see above */
	struct smtp_client_timeouts timeouts;
	uint32_t connections_max; /* open at once; more owners wait */
	uint32_t idle_max;        /* kept open without an owner */
	int64_t idle_timeout_ms;  /* then QUIT */
	uint32_t uses_max; /* messages per connection, 0: any; the next hop's
			      MAILMAX (RFC 9422) holds beside it */
	/* The same for SMTP servers that do not name themselves as one that
	 * takes any number: see hop_uses.c. With uses_max 0. */
	uint32_t uses_unknown_max;
	int64_t rest_ms;                 /* after a failure */
	struct credentials *credentials; /* of weir itself, a reference is
					    taken; NULL: it does not log in */
	bool login_in_clear; /* passwords, whosever: where others could read
				them too */
};

struct hop_ops {
	/* The connection can take MAIL. Not called when hop_is_ready was true
	 * right after nexthop_get. Called again after each XCLIENT. */
	void (*on_ready)(void *arg, int64_t now);
	void (*on_reply)(void *arg, enum smtp_client_what what, uintptr_t tag,
	    const struct smtp_reply *reply, int64_t now);
	/* Output drained after hop_is_full. */
	void (*on_drain)(void *arg, int64_t now);
	/* No next hop, or the connection broke. Last call; the hop is gone.
	 * Between the 354 and the final dot a reply of 500 or more is the next
	 * hop's refusal of this message, which it did not wait to the end
	 * with; every other says only that nothing is known of the message. */
	void (*on_fail)(void *arg, const struct smtp_reply *reply, int64_t now);
	/* For a trace: whom it works for, as far as it is for somebody; *out is
	 * all zero but for hop. NULL: for nobody. */
	void (*on_trace)(void *arg, struct tap_who *out);
};

/* settings are copied. NULL and a reason in err: an address is wrong. */
struct nexthop *nexthop_new(struct loop *loop,
    const struct nexthop_settings *settings, struct counters *counters,
    struct log *log, char *err, size_t err_cap);
/* Connections in use stay until their owners put them back. */
bool nexthop_reload(struct nexthop *n, const struct nexthop_settings *settings,
    char *err, size_t err_cap);
void nexthop_free(struct nexthop *n);
/* Several are configured: what one lacks another may have. */
bool nexthop_has_choice(const struct nexthop *n);
/* What the next hop offered last, as hop_caps. False: never reached yet. */
bool nexthop_caps(const struct nexthop *n, struct smtp_caps *caps);

/* How each address did when it was tried last, one at a time: start with
 * *pos = 0, ends with false. Times are monotonic. */
struct nexthop_place {
	char name[320];
	bool is_up, is_down; /* neither: not tried yet */
	char why[200];       /* is_down; may be empty */
	int64_t failed_at, rest_until;
};
bool nexthop_each(
    const struct nexthop *n, size_t *pos, struct nexthop_place *out);

struct nexthop_load {
	uint32_t open, idle, max; /* connections */
	uint32_t line;            /* who waits for one */
};
struct nexthop_load nexthop_load(const struct nexthop *n);

/* The i-th next hop as the configuration writes it, and whether all of it is
 * down; NULL past the last. */
const char *nexthop_look(const struct nexthop *n, size_t i, bool *is_down);

/* A connection that came in. Is it one of ours, that we stand at both ends of?
 */
struct nexthop_ends {
	struct ip peer, local;
	uint16_t peer_port, local_port;
};
bool nexthop_is_own(const struct nexthop *n, const struct nexthop_ends *ends);
/* The same where only the mail server behind tells who came to it. */
bool nexthop_is_from(
    const struct nexthop *n, const struct ip *ip, uint16_t port);

/* How many wait in line: all connections are taken, or enough of them wait for
 * the next hop's greeting. */
uint32_t nexthop_line(const struct nexthop *n);
/* All are taken: the line moves when one is given back. */
bool nexthop_is_full(const struct nexthop *n);

/* No further one of nexthop_get_private can be had. */
bool nexthop_is_private_full(const struct nexthop *n);

/* A connection, or a place in line for one: never NULL, no callback from
 * within. fresh: a new connection, not a kept one (to try again what failed on
 * a kept one). */
struct hop *nexthop_get(struct nexthop *n, bool fresh,
    const struct hop_ops *ops, void *arg, int64_t now);
/* A new connection for this owner alone, never kept for another, on which weir
 * does not log in: somebody else's identity will be. Some of connections_max
 * stay free of such; past that on_fail says so. */
struct hop *nexthop_get_private(
    struct nexthop *n, const struct hop_ops *ops, void *arg, int64_t now);
bool hop_is_ready(const struct hop *h);
bool hop_is_reused(const struct hop *h); /* it had served before */
struct smtp_client *hop_client(struct hop *h);
/* What its peer offers; AUTH only where a password may go over it. */
struct smtp_caps hop_caps(struct hop *h);
bool hop_is_full(const struct hop *h);     /* hold back until on_drain */
bool hop_is_tls(const struct hop *h);      /* ready, and spoken to over TLS */
const char *hop_name(const struct hop *h); /* address text */
/*
 * What a refusal (4xx, 5xx) of MAIL, RCPT, DATA or the text is about. Ask
 * within on_reply, with the hop in hand. Who finds SPENT or FULL drops the hop
 * and tries the transaction once more, with nexthop_get and fresh = (it is
 * SPENT): what is FULL waits in line for those that work. Once for each, or two
 * next hops that disagree would be asked for ever.
 */
enum hop_blame {
	HOP_BLAME_MESSAGE, /* this transaction; also an answer when in doubt */
	HOP_BLAME_SPENT,   /* the connection has carried mail, and is over */
	HOP_BLAME_FULL,    /* no further connection beside those that work */
	HOP_BLAME_LOGIN,   /* weir's login or TLS: nothing of the mail */
};
enum hop_blame hop_blame(struct hop *h, enum smtp_client_what what,
    const struct smtp_reply *reply, int64_t now);
/* It has carried as many messages as one connection may: hop_put will close
 * it. Who has more to send takes another. */
bool hop_is_spent(const struct hop *h);
/* A password is spoken of: see conn_set_secret. */
void hop_set_secret(struct hop *h, bool secret);
/* hop_put will close it with QUIT, whatever state it is in. */
void hop_retire(struct hop *h);
/* Gives it back: kept when it is idle or its transaction is abandoned, unless
 * it is spent, or has had so many refusals and RSETs since its last message
 * that the next hop would soon take it for a nuisance (Exim closes after 10,
 * Postfix after 20 and 100). */
void hop_put(struct hop *h, int64_t now);
/* Closes it: whatever was sent after DATA does not count. */
void hop_drop(struct hop *h);

#endif
