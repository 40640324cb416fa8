/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Puts the kernel's rules in place, puts them back when somebody took them
 * away, and takes them away in the end. A process of its own, started before
 * anything else: it may start programs when the daemon may not any more, and it
 * lives when the daemon is killed. Then it takes the rules away with fail =
 * open, and leaves them with fail = closed. A second process stands by for it.
 */
#ifndef NETD_KEEPER_H
#define NETD_KEEPER_H

#include "net/loop.h"
#include "netd/apply.h"

struct keeper;

enum keeper_news {
	KEEPER_RESTORED, /* rules were missing, and stand again */
	KEEPER_MISSING,  /* rules are missing, and cannot be put back */
	KEEPER_REPLACED, /* the keeper died; the other took its place */
	KEEPER_GONE,     /* nobody keeps the rules any more */
};

struct keeper_report {
	enum keeper_news news;
	bool ok; /* the first: the rules stand */
	struct apply_result result;
};

/* Blocks until the rules stand. NULL and a reason in err. */
struct keeper *keeper_start(const struct netd_config *conf,
    struct apply_result *result, char *err, size_t cap);
/* Tells of what the keeper has to say from now on. */
void keeper_watch(struct keeper *k, struct loop *loop,
    void (*on_news)(void *arg, const struct keeper_report *report), void *arg);
/* Takes the rules away, and waits until that is done. False: there was nobody
 * to do it. */
bool keeper_stop(struct keeper *k);

#endif
