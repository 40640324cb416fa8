/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sources: the throttle owns them; what the gate adds hangs on the user
 * pointer and is small, since there may be millions. Each source holds a
 * reference to the set of its policy. Changed ones are saved behind, some
 * seconds later and a few at a time; the stored state is the policy's name and
 * the throttle's snapshot:
 *
 *	'G' 1 | length of name u8 | name | snapshot
 *	'G' 2 | length of name u8 | name | home, 8 bytes | snapshot
 */
#include "gate/gate_internal.h"

#include <stdlib.h>
#include <string.h>

#define STATE_HEADER 3
#define STATE_HOME 8
#define STATE_NAME_MAX 255
#define FULL_LOOK 64 /* looked at for room when the table is full */
#define FULL_TOLD_EVERY_MS 60000

struct gate_source *
source_data(const struct throttle_source *src)
{
	return throttle_source_user(src);
}

const struct policy *
source_policy(const struct throttle_source *src)
{
	return CONTAINER_OF(
	    throttle_source_policy(src), struct policy, throttle);
}

const char *
source_name(const struct throttle_source *src, char out[GATE_KEY_MAX])
{
	size_t n;
	const char *key = throttle_source_key(src, &n);

	str_copy((struct str){key, n}, out, GATE_KEY_MAX);
	return out;
}

uint32_t
source_queue(struct gate *g, struct throttle_source *src)
{
	struct throttle_source_info info;

	throttle_source_info(g->throttle, src, g->now, &info);
	return info.queue_length;
}

struct throttle_source *
source_find(const struct gate *g, struct str key)
{
	return throttle_find(g->throttle, key.p, key.n);
}

/* ---- names ---- */

static struct str
login_of(const struct gate *g, struct str user, char out[LOGIN_NAME_MAX])
{
	const struct login_rules rules = {
	    .form = g->login_form,
	    .locals = g->locals,
	    .key = g->recipient_key,
	};

	return login_name(&rules, user, out);
}

/* A sender by the one key that all spellings of its address have. */
static struct str
sender_of(const struct gate *g, struct str sender, char out[GATE_RECIPIENT_MAX])
{
	size_t n = g->recipient_key(sender, false, out);

	return n > 0 ? (struct str){out, n} : sender;
}

const struct policy *
source_of(const struct gate *g, struct gate_facts *facts,
    struct source_names *names, char key[POLICY_SOURCE_MAX], size_t *n)
{
	const struct policy *policy;

	facts->sender = sender_of(g, facts->sender, names->sender);
	facts->user = login_of(g, facts->user, names->user);
	facts->exact_user = g->login_form == LOGIN_EXACT;
	policy = policies_select(g->policies, facts);
	*n = policy_source_key(policy, facts, key);
	return policy;
}

/* The key for what a person typed: a login in the form in which it counts. */
static void
name_key(const struct gate *g, struct str name, char out[POLICY_SOURCE_MAX])
{
	bool exact = g->login_form == LOGIN_EXACT;
	char user[LOGIN_NAME_MAX];

	policy_name_key(g->policies, name, exact, out);
	if (out[0] != '[' && out[0] != '<' && !str_istarts(name, STR("user:")))
		policy_name_key(
		    g->policies, login_of(g, name, user), exact, out);
}

struct throttle_source *
source_guess(const struct gate *g, struct str name)
{
	char key[POLICY_SOURCE_MAX];
	struct throttle_source *src = source_find(g, name);

	for (unsigned i = 0; src == NULL && policy_key_guess(name, i, key); i++)
		src = source_find(g, str_from(key));
	if (src == NULL) {
		name_key(g, name, key);
		src = source_find(g, str_from(key));
	}
	return src;
}

void
source_resolve(const struct gate *g, struct str name, char out[GATE_KEY_MAX])
{
	struct throttle_source *src = source_guess(g, name);

	if (src != NULL)
		source_name(src, out);
	else
		name_key(g, name, out);
}

/* The one with the least at stake of those looked at: who is known to nobody
 * or to few, the longest silent first. Its allowance and windows are whole, so
 * it gains nothing by it; and nobody with many known recipients has to go while
 * there are others. An envelope sender may go with a little spent: whoever can
 * invent one can as well invent another. */
struct room {
	struct throttle_source *src;
	uint32_t known;
	int64_t last_seen;
};

bool
source_may_go(struct gate *g, struct throttle_source *src, int64_t now)
{
	size_t n;
	const char *key = throttle_source_key(src, &n);

	switch (throttle_stake(g->throttle, src, now)) {
	case THROTTLE_STAKE_NONE:
	case THROTTLE_STAKE_KNOWN:
		return true;
	case THROTTLE_STAKE_SPENT:
		return n > 2 && key[0] == '<';
	case THROTTLE_STAKE_BUSY:
		break;
	}
	return false;
}

static void
consider(
    struct gate *g, struct throttle_source *src, int64_t now, struct room *room)
{
	struct throttle_source_info info;

	if (!source_may_go(g, src, now))
		return;
	throttle_source_info(g->throttle, src, now, &info);
	if (room->src != NULL && (info.working_set > room->known ||
				     (info.working_set == room->known &&
					 info.last_seen >= room->last_seen)))
		return;
	*room = (struct room){src, info.working_set, info.last_seen};
}

static bool
make_room(struct gate *g, int64_t now)
{
	struct room room = {0};

	for (unsigned i = 0; i < FULL_LOOK; i++) {
		struct throttle_source *src =
		    throttle_each(g->throttle, &g->room_pos);

		if (src != NULL)
			consider(g, src, now, &room);
	}
	if (room.src == NULL)
		return false;
	throttle_forget(g->throttle, room.src);
	counters_add(g->counters, COUNT_SENDERS_MADE_ROOM, 1);
	return true;
}

static bool
is_full(struct gate *g, int64_t now)
{
	size_t n = throttle_source_count(g->throttle);

	if (g->senders_max == 0 || n < g->senders_max)
		return false;
	throttle_expire(g->throttle, now, FULL_LOOK);
	if (throttle_source_count(g->throttle) < g->senders_max)
		return false;
	if (now - g->full_told_at >= FULL_TOLD_EVERY_MS) {
		g->full_told_at = now;
		log_event(g->log, LOG_LEVEL_WARNING, "gate", "full",
		    "senders=%zu why=\"senders_max reached, the sender with "
		    "the least at stake makes room; where none may go, new "
		    "senders share one allowance\"",
		    n);
	}
	return !make_room(g, now);
}

struct throttle_source *
source_overflow(struct gate *g, int64_t now)
{
	counters_add(g->counters, COUNT_SENDERS_SHARED, 1);
	return source_get(g, POLICY_KEY_OVERFLOW,
	    policies_of_key(g->policies, POLICY_KEY_OVERFLOW), now, true);
}

void
source_drop_blank(struct gate *g, struct str key, int64_t now)
{
	struct throttle_source *src = source_find(g, key);

	if (src != NULL &&
	    throttle_stake(g->throttle, src, now) == THROTTLE_STAKE_NONE)
		throttle_forget(g->throttle, src);
}

static struct throttle_source *
add_source(
    struct gate *g, struct str key, const struct policy *policy, int64_t now)
{
	struct throttle_source *src;
	struct gate_source *data;

	src = throttle_get(g->throttle, key.p, key.n, &policy->throttle, now);
	if (src == NULL)
		return NULL;
	data = xcalloc(1, sizeof(*data));
	list_init(&data->dirty);
	data->src = src;
	throttle_source_set_user(src, data);
	policies_ref(policy->set);
	return src;
}

struct throttle_source *
source_get(struct gate *g, struct str key, const struct policy *policy,
    int64_t now, bool must)
{
	struct throttle_source *src = source_find(g, key);
	struct policies *was;

	if (src == NULL) {
		if (!must && is_full(g, now))
			return NULL;
		return add_source(g, key, policy, now);
	}
	if (source_policy(src) != policy) {
		was = source_policy(src)->set;
		policies_ref(policy->set);
		throttle_get(g->throttle, key.p, key.n, &policy->throttle, now);
		policies_free(was);
	}
	return src;
}

struct throttle_source *
source_add_named(struct gate *g, struct str name, int64_t now)
{
	char key[GATE_KEY_MAX];
	struct ip_net net;
	struct str text;

	name = str_trim(name);
	if (name.n == 0 || name.n > POLICY_SOURCE_MAX)
		return NULL;
	/* It would be a user's name that nobody has. */
	if (ip_net_parse(name, &net) && !ip_parse(name, &net.ip))
		return NULL;
	name_key(g, name, key);
	text = str_from(key);
	return source_get(
	    g, text, source_choose_policy(g, text, (struct str){0}), now, true);
}

const struct policy *
source_choose_policy(const struct gate *g, struct str key, struct str was)
{
	const struct policy *policy = policies_of_key(g->policies, key);
	struct gate_facts facts;

	if (policy == NULL)
		policy = policies_find(g->policies, was);
	if (policy != NULL)
		return policy;
	policy_key_facts(key, &facts);
	return policies_select(g->policies, &facts);
}

void
source_on_expire(void *arg, struct throttle_source *src)
{
	struct gate *g = arg;
	struct gate_source *data = source_data(src);
	char name[GATE_KEY_MAX];

	if (data == NULL)
		return;
	if (data->is_stored && !g->is_quiet)
		spool_forget_source(g->spool, source_name(src, name));
	list_remove(&data->dirty);
	policies_free(source_policy(src)->set);
	free(data->last_path);
	free(data);
}

void
source_touch(struct gate *g, struct throttle_source *src)
{
	struct gate_source *data = source_data(src);

	if (data->dirty.next != &data->dirty)
		return;
	if (list_is_empty(&g->dirty))
		g->save_due = g->now + GATE_SAVE_EVERY_MS;
	list_append(&g->dirty, &data->dirty);
}

/* For free(). */
static unsigned char *
make_state(struct throttle_source *src, int64_t now, size_t *size)
{
	const char *policy = source_policy(src)->conf->name;
	uint64_t home = source_data(src)->home;
	size_t n = throttle_save(src, now, NULL, 0), name_n = strlen(policy);
	size_t home_n = home != 0 ? STATE_HOME : 0;
	unsigned char *state;

	if (name_n > STATE_NAME_MAX)
		name_n = 0;
	state = xmalloc(STATE_HEADER + name_n + home_n + n);
	state[0] = 'G';
	state[1] = home_n > 0 ? 2 : 1;
	state[2] = (unsigned char)name_n;
	memcpy(state + STATE_HEADER, policy, name_n);
	for (size_t i = 0; i < home_n; i++)
		state[STATE_HEADER + name_n + i] =
		    (unsigned char)(home >> (8 * i));
	throttle_save(src, now, state + STATE_HEADER + name_n + home_n, n);
	*size = STATE_HEADER + name_n + home_n + n;
	return state;
}

void
source_save(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	struct gate_source *data = source_data(src);
	char name[GATE_KEY_MAX];
	size_t size;
	unsigned char *state = make_state(src, now, &size);

	spool_save_state(g->spool, source_name(src, name), state, size, wall);
	free(state);
	list_remove(&data->dirty);
	data->is_stored = true;
}

void
source_secure(struct gate *g, struct throttle_source *src, int64_t now,
    int64_t wall, spool_done_fn *fn, void *arg)
{
	char name[GATE_KEY_MAX];
	size_t size;
	unsigned char *state = make_state(src, now, &size);

	spool_secure_state(
	    g->spool, source_name(src, name), state, size, wall, fn, arg);
	free(state);
	source_data(src)->is_stored = true;
}

bool
source_split_state(
    struct str state, struct str *policy, uint64_t *home, struct str *rest)
{
	size_t name_n, home_n;

	if (state.n < STATE_HEADER || state.p[0] != 'G' ||
	    (state.p[1] != 1 && state.p[1] != 2))
		return false;
	name_n = (unsigned char)state.p[2];
	home_n = state.p[1] == 2 ? STATE_HOME : 0;
	if (state.n - STATE_HEADER < name_n + home_n)
		return false;
	*policy = str_sub(state, STATE_HEADER, name_n);
	*rest = str_sub(state, STATE_HEADER + name_n + home_n, state.n);
	*home = 0;
	for (size_t i = 0; i < home_n; i++)
		*home |=
		    (uint64_t)(unsigned char)state.p[STATE_HEADER + name_n + i]
		    << (8 * i);
	return true;
}

void
source_save_some(struct gate *g, size_t max, int64_t now, int64_t wall)
{
	while (max-- > 0 && !list_is_empty(&g->dirty))
		source_save(g,
		    LIST_ITEM(g->dirty.next, struct gate_source, dirty)->src,
		    now, wall);
	if (list_is_empty(&g->dirty))
		g->save_due = INT64_MAX;
}
