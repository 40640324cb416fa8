/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/places.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct places {
	pthread_mutex_t lock;
	struct share *share;
};

struct places *
places_new(void)
{
	struct places *p = xcalloc(1, sizeof(*p));

	if (pthread_mutex_init(&p->lock, NULL) != 0)
		panic("places: no lock");
	p->share = share_new();
	return p;
}

void
places_free(struct places *p)
{
	if (p == NULL)
		return;
	share_free(p->share);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct share_user *
places_take(struct places *p, struct str key, uint32_t max)
{
	struct share_user *u;
	bool may;

	pthread_mutex_lock(&p->lock);
	u = share_join(p->share, key);
	may = max == 0 || share_may(p->share, u, max, 1);
	if (may)
		share_take(p->share, u, 1);
	share_leave(p->share, u);
	pthread_mutex_unlock(&p->lock);
	return may ? u : NULL;
}

void
places_give(struct places *p, struct share_user *place)
{
	if (place == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	share_give(p->share, place, 1);
	pthread_mutex_unlock(&p->lock);
}

uint32_t
places_most(uint32_t max)
{
	return max + (uint32_t)share_reserve(max);
}

uint32_t
places_used(struct places *p)
{
	uint32_t n;

	pthread_mutex_lock(&p->lock);
	n = (uint32_t)share_used(p->share);
	pthread_mutex_unlock(&p->lock);
	return n;
}

struct str
places_peer_key(const struct peer *peer, char buf[PLACE_KEY_MAX])
{
	struct ip site;
	struct str key;

	if (peer->kind == PEER_USER) {
		snprintf(
		    buf, PLACE_KEY_MAX, "uid %lu", (unsigned long)peer->uid);
		return str_from(buf);
	}
	if (peer->address.family == IP_NONE)
		return STR("unknown");
	key = ip_site_key(&peer->address, &site);
	memcpy(buf, key.p, key.n);
	return (struct str){buf, key.n};
}
