/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the replay's modules share; nothing else includes this.
 *
 *	replay.c	the trace: who sends, who tries again, who thaws
 *	replay_attack.c	stolen accounts on top of it
 *	replay_stolen.c	an outbreak among its users
 */
#ifndef REPLAY_REPLAY_INTERNAL_H
#define REPLAY_REPLAY_INTERNAL_H

#include "replay/agenda.h"
#include "replay/replay.h"

#define ADDRESS_MAX 64
#define NOBODY UINT32_MAX

struct replay {
	const struct replay_settings *s;
	struct replay_result *out;
	struct world *world;
	struct locals *locals;
	struct agenda agenda;
	struct map *written; /* pairs of sender and recipient */
	struct map *sources; /* key, the sender's id and one */
	uint32_t *wait_of;   /* of each recipient, by its place in the trace:
				the index in waits and one; 0: none */
	struct attack *attacks;
	uint32_t sending;         /* message in hand, or NOBODY */
	struct attack *attacking; /* the same */
	struct stolen *stolen;    /* the outbreak; NULL: there is none */
	uint32_t domain;          /* of attacked accounts */

	/* Room for the message in hand. */
	char (*text)[ADDRESS_MAX];
	struct str *addresses;
	uint64_t *labels;
	bool *unknown; /* of an attack's */
	enum world_end *ends;
};

/* An attacked account. */
struct attack {
	struct replay *r;
	struct replay_attack *out;
	uint32_t number;
	uint32_t next; /* recipient */
	char *source;  /* key, NULL: it has not sent yet */
	bool is_over;
	struct replay_reached reached;
};

/* A client of its own for each: 10.0.0.0/8 within, 11.0.0.0/8 for attacked
 * accounts, 203.0.0.0/8 without. */
struct ip replay_client(uint8_t net, uint32_t id);
/* The address of one of the trace; out is room for it. */
struct str replay_address(
    const struct replay *r, uint32_t id, char out[ADDRESS_MAX]);
/* As its server got the message. */
struct gate_facts replay_facts(
    const struct replay *r, uint32_t message, char out[ADDRESS_MAX]);

/* Puts all down that the number-th attack does. */
void attack_begin(struct replay *r, uint32_t number);
bool attack_has_label(uint64_t label);
void attack_on_delivered(struct replay *r, uint64_t label);
/* False: it is none of an attack's. */
bool attack_on_freeze(struct replay *r, const struct gate_freeze *freeze);

/* Puts all down that the outbreak does. */
void stolen_begin(struct replay *r);
/* Writes what came of it, and frees it; none is fine. */
void stolen_end(struct replay *r);
void stolen_on_delivered(struct replay *r, uint64_t label);
/* False: it is none of the outbreak's. */
bool stolen_on_freeze(struct replay *r, const struct gate_freeze *freeze);

#endif
