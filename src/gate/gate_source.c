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
 *	'G' 3 | length of name u8 | name | home, 8 bytes |
 *		length u32 | snapshot of familiar recipients | snapshot
 */
#include "gate/gate_internal.h"

#include "gate/gate_load.h"
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include "base/bytes.h"
#include "base/reverse_path.h"

#include <stdlib.h>
#include <string.h>

#define STATE_HEADER 3
#define STATE_HOME 8
#define STATE_LENGTH 4
#define STATE_NAME_MAX 255
#define FULL_LOOK 64 /* looked at for room when the table is full */
#define FULL_TOLD_EVERY_MS 60000
#define PASSED_MS (24 * INT64_C(3600000))

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
	return info.queue_length + tier_queue(g, src);
}

static void
turn_days(struct gate_source *data, int64_t now)
{
	int64_t age = now - data->passed_from;

	if (age < PASSED_MS)
		return;
	data->passed[1] = age < 2 * PASSED_MS ? data->passed[0] : 0;
	data->passed[0] = 0;
	data->passed_from = now;
}

void
source_note_passed(struct gate_source *data, int64_t now)
{
	turn_days(data, now);
	if (data->passed[0] < UINT32_MAX / 2)
		data->passed[0]++;
}

uint32_t
source_passed(struct gate_source *data, int64_t now)
{
	turn_days(data, now);
	return data->passed[0] + data->passed[1];
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

/* A sender by the one key that all spellings of its address have, and all that
 * were made from it for one message or recipient: a list with VERP would be a
 * new sender each time. Tags alone are people's own. */
static struct str
sender_of(const struct gate *g, struct str sender, char out[GATE_RECIPIENT_MAX])
{
	struct str key = {out, g->recipient_key(sender, false, out)};
	char text[REVERSE_PATH_MAX];
	struct str base;

	if (key.n == 0)
		return sender;
	if (memchr(out, '=', key.n) == NULL)
		return key;
	base = reverse_path_base(key, text);
	if (base.n == 0 || base.n >= GATE_RECIPIENT_MAX)
		return key;
	memmove(out, base.p, base.n);
	out[base.n] = '\0';
	return (struct str){out, base.n};
}

const struct policy *
source_of(const struct gate *g, struct gate_facts *facts,
    struct source_names *names, char key[POLICY_SOURCE_MAX], size_t *n)
{
	const struct policy *policy;

	facts->sender = sender_of(g, facts->sender, names->sender);
	facts->user = login_of(g, facts->user, names->user);
	facts->exact_user = g->login_form == LOGIN_EXACT;
	if (!facts->exact_user)
		facts->user = spellings_first(g->spellings, facts->user,
		    locals_has_domains(g->locals), facts->proof);
	policy = policies_select(g->policies, facts);
	*n = policy_source_key(policy, facts, key);
	return policy;
}

/* What a person typed, or took from a log: an address made for one message by
 * the sender that it counts for. */
static struct str
typed_name(const struct gate *g, struct str name, char out[GATE_RECIPIENT_MAX])
{
	struct str bare = name;

	if (str_starts(name, STR("<")) && name.p[name.n - 1] == '>')
		bare = str_sub(name, 1, name.n - 2);
	if (str_index(bare, '@') == bare.n || str_index(bare, '=') == bare.n)
		return name;
	return sender_of(g, bare, out);
}

/* The key for it: a login in the form in which it counts. */
static void
name_key(const struct gate *g, struct str name, char out[POLICY_SOURCE_MAX])
{
	bool exact = g->login_form == LOGIN_EXACT;
	char user[LOGIN_NAME_MAX], sender[GATE_RECIPIENT_MAX];

	name = typed_name(g, name, sender);
	policy_name_key(g->policies, name, exact, out);
	if (out[0] != '[' && out[0] != '<' && !str_istarts(name, STR("user:")))
		policy_name_key(
		    g->policies, login_of(g, name, user), exact, out);
}

struct throttle_source *
source_guess(const struct gate *g, struct str name)
{
	char key[POLICY_SOURCE_MAX], sender[GATE_RECIPIENT_MAX];
	struct throttle_source *src = source_find(g, name);

	for (unsigned i = 0; src == NULL && policy_key_guess(name, i, key); i++)
		src = source_find(g, str_from(key));
	if (src == NULL)
		name = typed_name(g, name, sender);
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

/* Its window of stranger_messages would begin anew. */
static bool
has_strangers(struct throttle_source *src, int64_t now)
{
	const struct option_rate *rate;

	return strangers_count(src, now, &rate) > 0;
}

bool
source_may_expire(void *arg, struct throttle_source *src, int64_t now)
{
	(void)arg;
	return source_data(src) == NULL ||
	       (source_data(src)->load == LOAD_DONE &&
		   !has_strangers(src, now));
}

bool
source_may_go(struct gate *g, struct throttle_source *src, int64_t now)
{
	size_t n;
	const char *key = throttle_source_key(src, &n);

	/* What waits for it may not be here yet. */
	if (source_data(src)->load != LOAD_DONE)
		return false;
	switch (tier_stake(g, src, now)) {
	case THROTTLE_STAKE_NONE:
	case THROTTLE_STAKE_KNOWN:
		return !has_strangers(src, now) || (n > 2 && key[0] == '<');
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
	tier_forget(g, room.src);
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
		log_write(g->log, LOG_EV_GATE_FULL, KV(senders, n),
		    KV(reason, "senders_max reached: the sender with the "
			       "least at stake is replaced; if none can be, "
			       "new senders share one allowance"));
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

	if (src == NULL || source_data(src)->load != LOAD_DONE ||
	    tier_stake(g, src, now) != THROTTLE_STAKE_NONE)
		return;
	tier_forget(g, src);
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
	list_init(&data->near);
	data->src = src;
	throttle_source_set_user(src, data);
	policies_ref(policy->set);
	throttle_spare(src, policies_spares(policy->set, policy, key));
	load_flag(g, src);
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
		throttle_spare(src, policies_spares(policy->set, policy, key));
		tier_adapt(g, src);
		policies_free(was);
	}
	return src;
}

void
source_refresh(struct gate *g, struct throttle_source *src)
{
	const struct policy *was = source_policy(src);
	char key[GATE_KEY_MAX];
	struct str name;

	if (was->set == g->policies)
		return;
	name = str_from(source_name(src, key));
	source_get(g, name,
	    source_choose_policy(g, name, str_from(was->conf->name)), g->now,
	    true);
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
	warn_forget(g, data);
	policies_free(source_policy(src)->set);
	hand_drop(data);
	free(data->last_path);
	scope_pins_free(data->scopes);
	habit_forget(g, src);
	shared_forget(data);
	load_forget(g, data);
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

/* For free(). NULL: nobody will read it. */
static unsigned char *
make_state(
    struct gate *g, struct throttle_source *src, int64_t now, size_t *size)
{
	const char *policy = source_policy(src)->conf->name;
	uint64_t home = source_data(src)->home;
	size_t n, familiar_n, name_n = strlen(policy);
	unsigned char *state, *p;

	*size = 0;
	if (spool_is_scratch(g->spool))
		return NULL;
	n = throttle_save(src, now, NULL, 0);
	familiar_n = tier_save(g, src, now, NULL, 0);
	if (name_n > STATE_NAME_MAX)
		name_n = 0;
	p = state = xmalloc(
	    STATE_HEADER + name_n + STATE_HOME + STATE_LENGTH + familiar_n + n);
	*p++ = 'G';
	*p++ = familiar_n > 0 ? 3 : home != 0 ? 2 : 1;
	*p++ = (unsigned char)name_n;
	memcpy(p, policy, name_n);
	p += name_n;
	if (state[1] >= 2)
		bytes_put(&p, home, STATE_HOME);
	if (state[1] >= 3) {
		bytes_put(&p, familiar_n, STATE_LENGTH);
		tier_save(g, src, now, p, familiar_n);
		p += familiar_n;
	}
	throttle_save(src, now, p, n);
	*size = (size_t)(p - state) + n;
	return state;
}

void
source_save(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	struct gate_source *data = source_data(src);
	char name[GATE_KEY_MAX];
	size_t size;
	unsigned char *state = make_state(g, src, now, &size);

	habit_save(g, src, now, wall);
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
	unsigned char *state = make_state(g, src, now, &size);

	habit_save(g, src, now, wall); /* in the same commit */
	spool_secure_state(
	    g->spool, source_name(src, name), state, size, wall, fn, arg);
	free(state);
	source_data(src)->is_stored = true;
}

/* The first n bytes, which leave it. False: there are not so many. */
static bool
cut(struct str *state, size_t n, struct str *out)
{
	if (state->n < n)
		return false;
	*out = str_sub(*state, 0, n);
	*state = str_sub(*state, n, state->n);
	return true;
}

static bool
cut_number(struct str *state, size_t n, uint64_t *out)
{
	struct str part;
	const unsigned char *p;

	if (!cut(state, n, &part))
		return false;
	p = (const unsigned char *)part.p;
	*out = bytes_get(&p, (unsigned)n);
	return true;
}

bool
source_split_state(struct str state, struct source_state *out)
{
	uint64_t mark, form, name_n, n = 0;

	*out = (struct source_state){0};
	if (!cut_number(&state, 1, &mark) || mark != 'G' ||
	    !cut_number(&state, 1, &form) || form < 1 || form > 3 ||
	    !cut_number(&state, 1, &name_n) ||
	    !cut(&state, name_n, &out->policy))
		return false;
	if (form >= 2 && !cut_number(&state, STATE_HOME, &out->home))
		return false;
	if (form >= 3 && (!cut_number(&state, STATE_LENGTH, &n) ||
			     !cut(&state, n, &out->familiar)))
		return false;
	out->rest = state;
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
