/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plan of a stolen account: how fast, and whom. First the people whom the
 * account knows, those it wrote to last before all, and then strangers, each
 * once. Or of an outbreak: of accounts that are users of the trace, from a time
 * in it on, with the people whom each of them knows. Pure.
 */
#ifndef REPLAY_ATTACK_H
#define REPLAY_ATTACK_H

#include "base/err.h"
#include "base/str.h"

#define ATTACKS_MAX 16
#define ATTACK_KNOWN_MAX 5000
#define ATTACK_USERS_MAX 1000
#define ATTACK_NETWORKS_MAX 60
#define ATTACK_PACK 100                   /* recipients of a packed message */
#define ATTACK_MS (86400 * INT64_C(1000)) /* it goes on so long */
#define ATTACK_HISTORY_MS \
	(3600 * INT64_C(1000))           /* from one known to the next */
#define ATTACK_QUIET_MS ATTACK_MS        /* after the last of these, at least */
#define ATTACK_AFTER_MS (30 * ATTACK_MS) /* the earliest */

struct attack_plan {
	const char *text;  /* as it was given, borrowed */
	uint32_t place;    /* among those given; of who sorts them */
	uint32_t count;    /* recipients */
	int64_t window_ms; /* in so long */
	uint32_t known;    /* whom the account wrote to before */
	bool is_packed;    /* in messages to ATTACK_PACK */
	uint32_t unknown;  /* percent of the strangers that do not exist */
	bool is_udp;       /* of flows: over UDP */

	/* An outbreak, where users is not 0. */
	uint32_t users;
	uint32_t known_share; /* percent of the recipients, while there are
				 any; 0: as `known` says */
	uint32_t networks;    /* of clients, by turns; 0: one */
	uint32_t decoys;      /* percent of the address books have one */
	int64_t at;           /* ms since the trace's start; -1: not given */
	int64_t at_wall;      /* or a time; 0: not given */
};

/* "10", "1/60", "100/1d", with ",known=500", ",packed", ",unknown=30%" and
 * ",udp"; with ",users=100" also ",known=30%", ",at=40d" or a time in RFC 3339,
 * ",networks=3" and ",decoys=10%". A number alone, and one after the slash
 * without a unit, is of seconds. False: what is wrong in err. */
MUST_CHECK bool attack_parse(
    const char *text, struct attack_plan *out, struct err *err);
/* Since the attack's start: when it reaches for its i-th recipient. */
int64_t attack_at(const struct attack_plan *plan, uint32_t i);
/* Of an outbreak whose account has an address book of so many: its i-th
 * recipient is this one of them; book: it is a stranger. */
uint32_t attack_known(
    const struct attack_plan *plan, uint32_t i, uint32_t book);
/* The n-th account has a decoy in its address book, from 0; evenly. */
bool attack_has_decoy(const struct attack_plan *plan, uint32_t n);
/* Its i-th stranger is none, from 0; evenly. */
bool attack_is_unknown(const struct attack_plan *plan, uint32_t i);
uint32_t attack_message_size(const struct attack_plan *plan);
/* The account's own past, then the attack; since the trace's start. */
int64_t attack_history_at(uint32_t known);
int64_t attack_start(const struct attack_plan *plan);

#endif
