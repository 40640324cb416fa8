/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the next hops are: configured addresses in order, names with what they
 * resolved to, and which of them rest after a failure. Knows no socket; time is
 * an argument. Inside delivery alone.
 */
#ifndef DELIVERY_ROUTE_H
#define DELIVERY_ROUTE_H

#include "net/addr.h"

#define ROUTE_TARGETS_MAX 32   /* configured addresses */
#define ROUTE_ENDPOINTS_MAX 16 /* addresses of one name */
#define ROUTE_NAME_MAX 320
#define ROUTE_HOST_MAX 256

struct route;

/* What one search has tried. All zero at its start. */
struct route_cursor {
	uint16_t tried[ROUTE_TARGETS_MAX]; /* a bit for each endpoint */
};

enum route_step {
	ROUTE_CONNECT, /* to *addr */
	ROUTE_RESOLVE, /* the name of target *index first */
	ROUTE_NONE,    /* all were tried */
};

struct route_choice {
	size_t target;
	struct net_addr addr;
	/* "192.0.2.1:25", "mx[192.0.2.1]:25"; see route_is_lmtp */
	char name[ROUTE_NAME_MAX];
	char host[ROUTE_HOST_MAX]; /* "192.0.2.1", "mx"; "": Unix socket */
};

/* A configured address or a choice's name: "lmtp:" stands before it. */
bool route_is_lmtp(const char *name);

/* NULL and a reason in err. */
struct route *route_new(
    const char *const *addresses, size_t count, char *err, size_t err_cap);
void route_free(struct route *r);
bool route_equals(
    const struct route *r, const char *const *addresses, size_t count);

/* The next thing to try: addresses that do not rest first, in order, then
 * those that do. What it returns for ROUTE_CONNECT counts as tried. One that
 * has rested since it failed is given out once and rests on, until it is known
 * what came of that: so one search at a time finds out whether it is back. */
enum route_step route_next(struct route *r, struct route_cursor *cursor,
    int64_t now, struct route_choice *out);
/* Is an address left for this search that does not rest? */
bool route_has_other(
    const struct route *r, const struct route_cursor *cursor, int64_t now);
/* The target cannot be resolved: this search leaves it out. */
void route_skip(struct route_cursor *cursor, size_t target);

/* A target as the configuration writes it. */
const char *route_text(const struct route *r, size_t target);
/* The host and port of a target that is a name. */
const char *route_host(const struct route *r, size_t target, uint16_t *port);
/* True: nobody asks yet, so ask. */
bool route_begin_resolve(struct route *r, size_t target);
/* The answer; n 0: there was none, and the name rests unless it has older
 * addresses, which are used on. False: it rests. */
bool route_end_resolve(struct route *r, size_t target,
    const struct net_addr *addrs, size_t n, int64_t now, int64_t rest_ms);

/* Names are asked for again before their next use, whatever they are known or
 * rest for; the addresses they have stay until then. */
void route_forget_names(struct route *r);

/* A connection there succeeded, or failed: then it rests. True: that is news,
 * it was otherwise before. An address that is not known any more is none. */
bool route_set_up(struct route *r, const struct net_addr *addr);
bool route_set_down(
    struct route *r, const struct net_addr *addr, int64_t now, int64_t rest_ms);
/* Why, to be shown. */
void route_set_reason(
    struct route *r, const struct net_addr *addr, const char *why);
void route_set_target_reason(struct route *r, size_t target, const char *why);
/* Nothing of the target can be reached: each of its addresses is down, or the
 * name has none. False past the last target. */
bool route_look(const struct route *r, size_t target, bool *is_down);
/* How each address did when it was tried last, one at a time: start with
 * *pos = 0, ends with false. */
enum route_health { ROUTE_UNTRIED, ROUTE_UP, ROUTE_DOWN };
struct route_place {
	char name[ROUTE_NAME_MAX];
	enum route_health health;
	const char *why;               /* borrowed, "": not told */
	int64_t failed_at, rest_until; /* DOWN */
};
bool route_each(const struct route *r, size_t *pos, struct route_place *out);

#endif
