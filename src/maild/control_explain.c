/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explain: what the gate would say to a recipient of a sender now, and why.
 */
#include "maild/control_private.h"

#include "os/clock.h"
#include "smtp/address.h"

static const char *const verdict_names[] = {
    [THROTTLE_PASS] = "pass",
    [THROTTLE_HOLD] = "hold",
    [THROTTLE_REFUSE] = "refuse",
};

static json_t *
limits_of(const struct gate_explanation *x)
{
	json_t *limits = json_array();
	char window[UNITS_TEXT_MAX];

	for (uint32_t i = 0; i < x->throttle->limit_count; i++)
		json_array_append_new(limits,
		    json_sprintf("%u of %u in %s", (unsigned)x->t.limit_used[i],
			(unsigned)x->throttle->limits[i].count,
			units_format_duration(
			    x->throttle->limits[i].window_ms, window)));
	return limits;
}

static json_t *
scopes_of(const struct gate_explanation *x)
{
	json_t *scopes = json_array();

	for (size_t i = 0; i < x->scope_count; i++)
		json_array_append_new(scopes, control_scope(&x->scopes[i]));
	return scopes;
}

/* When it would go; null where nothing but a person lets it go. */
static json_t *
due_of(const struct gate_explanation *x)
{
	return x->due != INT64_MAX ? control_time(x->due) : json_null();
}

/* null where the policy has no familiar recipients. */
static void
put_familiar(json_t *row, const struct gate_explanation *x)
{
	const struct throttle_source_info *t = &x->familiar_t;
	bool has = x->familiar != NULL;

	json_object_set_new(row, "familiar_allowance",
	    has ? json_integer((json_int_t)t->allowance) : json_null());
	json_object_set_new(row, "familiar_burst",
	    has ? json_integer((json_int_t)x->familiar->burst) : json_null());
	json_object_set_new(row, "familiar_waiting",
	    has ? json_integer((json_int_t)t->queue_length) : json_null());
	json_object_set_new(row, "familiar_freeze_at",
	    has ? json_integer((json_int_t)x->familiar->freeze_at)
		: json_null());
}

static void
on_explained(void *arg, const struct gate_explanation *x)
{
	struct control_conn *c = arg;
	const struct gate_answer *a = &x->answer;
	const struct throttle_policy *t = x->throttle;
	json_t *reply, *row;

	if (!control_resume(c))
		return;
	reply = a->verdict == THROTTLE_REFUSE
		    ? json_sprintf("%u %s", a->code, a->enhanced)
		    : json_null();
	row = json_pack(
	    "{s:o, s:b, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:b, s:I, s:I, "
	    "s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
	    "sender", control_text(x->sender), "seen", (int)x->is_known,
	    "policy", control_text(x->policy), "verdict",
	    verdict_names[a->verdict], "observed", (int)a->observed, "why",
	    control_text(a->why), "reply", reply, "release", due_of(x),
	    "change", control_text(x->change), "frozen", (int)x->t.frozen,
	    "never_freeze", (int)x->is_spared, "allowance",
	    (json_int_t)x->t.allowance, "burst",
	    (json_int_t)(t->paper ? t->working_set : t->burst), "working_set",
	    (json_int_t)x->t.working_set, "queue_length",
	    (json_int_t)x->t.queue_length, "freeze_at",
	    (json_int_t)t->freeze_at, "credit", (json_int_t)x->credit.left,
	    "credit_max", (json_int_t)x->credit.max, "client_networks",
	    (json_int_t)x->networks.fresh, "client_networks_max",
	    (json_int_t)x->networks.max, "limits", limits_of(x), "scopes",
	    scopes_of(x));

	json_object_set_new(row, "tier", control_text(x->tier));
	put_familiar(row, x);
	if (control_send_only(c, row))
		control_done(c, NULL);
}

void
control_explain(struct control_conn *c, int64_t now)
{
	const struct control_request *r = &c->request;
	struct gate_question q = {
	    .sender = str_from(r->sender),
	    .knows_decoys = (c->rights & CONTROL_CHANGE) != 0,
	    .now = now,
	    .wall = clock_wall_ms(),
	};
	struct smtp_path path;

	if (smtp_path_parse_given(str_from(r->recipient), false, &path) !=
	    SMTP_PATH_OK) {
		control_fail(
		    c, 2, "explain: \"%.80s\" is not an address", r->recipient);
		return;
	}
	q.recipient = path.address;
	if (r->client != NULL && !ip_parse(str_from(r->client), &q.client)) {
		control_fail(c, CONTROL_USAGE,
		    "explain: \"client\" must be an IP address");
		return;
	}
	control_wait(c);
	gate_explain(control_parts(c)->gate, &q, on_explained, c);
}
