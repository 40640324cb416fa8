/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds what the script in the shared server counts about a sender against
 * src/gate/credit.c and networks.c: random rules, refusals, deliveries,
 * networks and times, told to a real redis-server by three relays in turn. Each
 * result, the credit, each network, and which new recipients wait for them must
 * be equal.
 */
#include "oracle_rig.h"

#include "gate/signals.h"

#define ROUND_OPS 200
#define NETS 60

struct world {
	struct oracle o;
	char sender[32];
	struct credit_rules credit_rules;
	struct networks_rules networks_rules;
	struct credit credit;
	struct networks networks;
	int64_t now;
	uint64_t credits[CREDIT_FREEZE + 1], nets[NETWORKS_MORE + 1];
	uint64_t waited, passed, learnt, joined;

	/* of the last question */
	struct share_answer answer;
	struct share_network list[SHARE_NETWORKS_MAX];
	struct throttle_reservation ruling;
};

_Static_assert(SHARE_NETWORKS_MAX == NETWORKS_MAX, "each has a place");

static const struct throttle_policy policy = {.working_set = 5,
    .interval_ms = 1000,
    .burst = 2,
    .initial = 2,
    .queue_max = 1000};

static uint64_t
below(struct world *w, uint64_t n)
{
	return oracle_below(&w->o, n);
}

static int
set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	oracle_open(&w->o);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	oracle_close(&w->o);
	networks_clear(&w->networks);
	free(w);
	return 0;
}

static void
on_answer(void *arg, const struct share_answer *answer, int64_t now)
{
	struct world *w = arg;

	(void)now;
	assert_non_null(answer);
	w->answer = *answer;
	for (size_t i = 0; i < answer->signals.networks_n; i++)
		w->list[i] = answer->signals.networks[i];
	if (answer->rulings_n > 0)
		w->ruling = answer->rulings[0];
	oracle_answer(&w->o);
}

static void
question(struct world *w, const struct share_step *steps, size_t n,
    uint64_t network, const struct share_signals *known)
{
	static const struct share_level seed = {.allowance = 2, .tick_in = -1};
	struct share_question q = {
	    .sender = str_from(w->sender),
	    .policy = &policy,
	    .seed = &seed,
	    .signals = {.credit = w->credit_rules.credit,
		.credit_freeze_ms = w->credit_rules.freeze_ms,
		.networks = w->networks_rules.count,
		.networks_window_ms = w->networks_rules.window_ms},
	    .network = network,
	    .known = known,
	    .steps = steps,
	    .steps_n = n,
	    .at = w->now,
	};

	oracle_ask(&w->o, oracle_relay(&w->o), &q, on_answer, w);
}

/* ---- both side by side ---- */

static void
same_credit(struct world *w)
{
	const struct share_signals *s = &w->answer.signals;
	struct credit *c = &w->credit;

	/* What a pause gives is given when somebody looks, as it does there. */
	assert_true(s->has_credit == c->is_known);
	if (!c->is_known)
		return;
	(void)credit_is_empty(c, &w->credit_rules, w->now);
	assert_true(s->left == c->left);
	assert_true(
	    s->empty_ms == (c->is_empty ? w->now - c->empty_since : -1));
	if (c->is_empty)
		assert_true(s->refused_ms == w->now - c->refused_at);
}

static const struct network *
find(const struct world *w, uint64_t net)
{
	for (uint32_t i = 0; i < w->networks.n; i++) {
		if (w->networks.v[i].net == net)
			return &w->networks.v[i];
	}
	return NULL;
}

static void
same_networks(struct world *w)
{
	const struct share_signals *s = &w->answer.signals;

	assert_true(s->has_networks);
	assert_int_equal(s->networks_n, w->networks.n);
	assert_int_equal(s->are_many, w->networks.is_told);
	for (size_t i = 0; i < s->networks_n; i++) {
		const struct network *n = find(w, w->list[i].net);

		assert_non_null(n);
		assert_int_equal(w->list[i].is_learnt, n->is_learnt);
		assert_true(w->list[i].since_ms == w->now - n->since);
		assert_true(w->list[i].last_ms == w->now - n->last);
		w->learnt += n->is_learnt;
	}
}

static void
refuse(struct world *w)
{
	bool hearsay = below(w, 4) == 0;
	struct share_step s = {
	    .what = hearsay ? SHARE_REFUSED_HEARSAY : SHARE_REFUSED,
	    .destination = 1 + below(w, 400)};
	enum credit_result r = credit_refused(
	    &w->credit, &w->credit_rules, s.destination, hearsay, w->now);

	question(w, &s, 1, 0, NULL);
	assert_int_equal(w->answer.result, (int)r);
	w->credits[r]++;
	same_credit(w);
}

static void
deliver(struct world *w)
{
	struct share_step s = {.what = SHARE_DELIVERED};

	credit_delivered(&w->credit, &w->credit_rules, w->now);
	question(w, &s, 1, 0, NULL);
	same_credit(w);
}

static uint64_t
draw_net(struct world *w)
{
	return UINT64_C(4) << 56 | (1 + below(w, NETS));
}

static void
use(struct world *w)
{
	struct share_step s = {
	    .what = SHARE_NETWORK, .destination = draw_net(w)};
	enum networks_result r = networks_use(
	    &w->networks, &w->networks_rules, s.destination, w->now);

	question(w, &s, 1, 0, NULL);
	assert_int_equal(w->answer.result, (int)r);
	w->nets[r]++;
	same_networks(w);
	same_credit(w);
}

/* Somebody new, which the sender has allowance for. */
static void
send_new(struct world *w)
{
	struct share_step s = {.what = SHARE_RESERVE,
	    .destination = ++w->o.ids,
	    .reservation = w->o.ids};
	uint64_t net = below(w, 3) == 0 ? 0 : draw_net(w);
	bool waits =
	    credit_is_empty(&w->credit, &w->credit_rules, w->now) ||
	    (w->networks.n > 0 && networks_are_many(&w->networks,
				      &w->networks_rules, net, w->now));

	question(w, &s, 1, net, NULL);
	assert_int_equal(
	    w->ruling.verdict, waits ? THROTTLE_HOLD : THROTTLE_PASS);
	w->waited += waits;
	w->passed += !waits;
	s.what = SHARE_CANCEL;
	question(w, &s, 1, 0, NULL);
	/* Its allowance is gone with one that waited: there is another. */
	if (waits)
		w->now += policy.interval_ms * (int64_t)policy.burst;
}

/* A relay that knows of less credit, and of networks, after an outage. */
static void
join(struct world *w)
{
	struct share_network nets[2] = {
	    {.net = draw_net(w), .last_ms = (int64_t)below(w, 100000)},
	    {.net = draw_net(w), .is_learnt = true}};
	int64_t left = w->credit.is_known ? w->credit.left : INT64_MAX;
	struct share_signals known = {.has_credit = true,
	    .left =
		(int64_t)below(w, 1 + (uint64_t)w->credit_rules.credit * 3000),
	    .empty_ms = -1,
	    .has_networks = true,
	    .networks = nets,
	    .networks_n = 2};

	nets[0].since_ms = nets[0].last_ms + (int64_t)below(w, 100000);
	question(w, NULL, 0, 0, &known);
	assert_true(w->answer.signals.has_credit);
	assert_true(w->answer.signals.left <= known.left);
	assert_true(w->answer.signals.left <= left ||
		    w->answer.signals.left >= known.left);
	for (size_t i = 0; i < 2; i++) {
		bool found = false;

		for (size_t j = 0; j < w->answer.signals.networks_n; j++)
			found |= w->list[j].net == nets[i].net &&
				 w->list[j].is_learnt >= nets[i].is_learnt;
		assert_true(found);
	}
	w->joined++;
}

static void
step(struct world *w)
{
	uint64_t pick = below(w, 100);

	switch (below(w, 12)) {
	case 0:
		w->now += (int64_t)below(w, 3 * 86400000);
		break;
	case 1:
	case 2:
	case 3:
		w->now += (int64_t)below(w, 3600000);
		break;
	default:
		w->now += (int64_t)below(w, 8000);
	}
	if (pick < 40)
		refuse(w);
	else if (pick < 50)
		deliver(w);
	else if (pick < 80)
		use(w);
	else
		send_new(w);
}

static void
begin_round(struct world *w)
{
	static const uint32_t counts[] = {1, 3, 8, 20};

	snprintf(w->sender, sizeof(w->sender), "sender%llu",
	    (unsigned long long)++w->o.ids);
	w->credit_rules =
	    (struct credit_rules){.credit = counts[below(w, ARRAY_LEN(counts))],
		.freeze_ms = below(w, 4) == 0
				 ? 0
				 : (int64_t)below(
				       w, below(w, 2) == 0 ? 20000 : 7200000)};
	w->networks_rules = (struct networks_rules){
	    .count = 1 + (uint32_t)below(w, NETWORKS_COUNT_MAX),
	    .window_ms = 1000 + (int64_t)below(w, 86399000)};
	w->credit = (struct credit){0};
	networks_clear(&w->networks);
}

static void
test_every_result_is_the_gates(void **state)
{
	struct world *w = *state;
	uint64_t ops = oracle_begin(&w->o), done = 0;

	w->now = 1000000;
	while (done < ops) {
		begin_round(w);
		for (unsigned i = 0; i < ROUND_OPS; i++)
			step(w);
		join(w);
		done += ROUND_OPS;
		w->now += 1000000;
	}
	/* Nothing is equal for want of occasion. */
	for (size_t i = 0; i < ARRAY_LEN(w->credits); i++)
		assert_true(w->credits[i] > 0);
	for (size_t i = 0; i < ARRAY_LEN(w->nets); i++)
		assert_true(w->nets[i] > 0);
	assert_true(w->waited > 0);
	assert_true(w->passed > 0);
	assert_true(w->learnt > 0);
	assert_true(w->joined > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_every_result_is_the_gates, set_up, tear_down),
	};

	if (!redis_rig_is_there())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
