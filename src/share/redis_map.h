/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The servers of a link and which of them has which slot: one place with a
 * connection for each master of a cluster, or one for all where there is no
 * cluster. For redis_link.c, which is what others use. Event loop's thread.
 */
#ifndef SHARE_REDIS_MAP_H
#define SHARE_REDIS_MAP_H

#include "base/list.h"
#include "share/redis_link.h"
#include "share/redis_node.h"

struct redis_map;

enum redis_place_state { REDIS_PLACE_NEW, REDIS_PLACE_DOWN, REDIS_PLACE_UP };

struct redis_place {       /* a server */
	struct list entry; /* of the map */
	struct redis_map *map;
	struct redis_node *node;
	struct redis_host host;
	unsigned slots;
	enum redis_place_state state, told; /* told: to the owner */
	size_t questions; /* the owner's: it stays while there are some */
	int64_t used_at;  /* the owner's: the last question went there */
	int64_t since;
	char why[REDIS_LINK_WHY_MAX];
};

/* None may free the map. */
struct redis_map_ops {
	/* As struct redis_link_ops has them. */
	void (*on_up)(void *arg, int64_t now);
	void (*on_down)(void *arg, const char *why, int64_t now);
	void (*on_node)(
	    void *arg, const struct redis_link_node *node, int64_t now);
	/* Before on_up, and after on_down. */
	void (*on_place_up)(void *arg, struct redis_place *p, int64_t now);
	void (*on_place_down)(void *arg, struct redis_place *p, int64_t now);
};

/* settings is borrowed and lives longer. */
struct redis_map *redis_map_new(struct loop *loop,
    const struct redis_link_settings *settings, const struct redis_map_ops *ops,
    void *arg);
void redis_map_free(struct redis_map *m); /* takes NULL */

/* Who has the slot (without a cluster: any); NULL: nobody. */
struct redis_place *redis_map_at(const struct redis_map *m, uint16_t slot);
/* The server at this address, a new one if need be; NULL: there are too many.
 */
struct redis_place *redis_map_get(
    struct redis_map *m, const struct redis_host *host);
/* Of a cluster: the slot is there now, and the map is learnt anew. */
void redis_map_moved(
    struct redis_map *m, uint16_t slot, struct redis_place *to, int64_t now);
/* The map may be out of date. Nothing without a cluster. */
void redis_map_learn(struct redis_map *m, int64_t now);

/* As redis_link.h has them. why: that nobody answers for this slot; NULL: it
 * has not been tried yet. */
bool redis_map_is_up(const struct redis_map *m);
bool redis_map_is_whole(const struct redis_map *m);
const char *redis_map_why(const struct redis_map *m, uint16_t slot);
bool redis_map_node(
    const struct redis_map *m, size_t i, struct redis_link_node *out);
void redis_map_memory(const struct redis_map *m, struct redis_link_memory *out);

#endif
