/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tokens and users, for the control socket and HTTP alike. A change is answered
 * when it is on disk.
 */
#include "control/access_store.h"

#include "control/control.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NULL: the request has failed. */
static struct access_store *
store_of(struct control_conn *c)
{
	struct access_store *s = c->control->server.access;

	if (s == NULL)
		control_fail(
		    c, CONTROL_FAILED, "the configuration has no http section");
	return s;
}

static json_t *
token_row(const struct access_entry *e)
{
	return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:o}", "id",
	    e->id, "name", e->name, "right", control_right_name(e->rights),
	    "domain", e->domain, "networks", access_nets(e), "created",
	    control_time(e->created), "expires", control_time(e->expires),
	    "last_used", control_time(e->last_used));
}

static void
send_token(void *arg, const struct access_entry *e)
{
	struct control_conn *c = arg;

	if (!control_send(c, "row", token_row(e)))
		c->cursor = 1;
}

static void
run_tokens(struct control_conn *c, int64_t now)
{
	struct access_store *s = store_of(c);

	(void)now;
	if (s == NULL)
		return;
	access_each(s->access, clock_wall_ms(), send_token, c);
	control_done(c, NULL);
}

static void
send_user(void *arg, const struct access_user *u)
{
	struct control_conn *c = arg;

	if (!control_send(c, "row",
		json_pack("{s:s, s:s, s:s?, s:o}", "name", u->name, "right",
		    control_right_name(u->rights), "domain", u->domain,
		    "created", control_time(u->created))))
		c->cursor = 1;
}

static void
run_users(struct control_conn *c, int64_t now)
{
	struct access_store *s = store_of(c);

	(void)now;
	if (s == NULL)
		return;
	access_each_user(s->access, send_user, c);
	control_done(c, NULL);
}

/* ---- changes ---- */

static void
on_saved(void *arg, int error)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (error != 0) {
		control_fail(c, CONTROL_FAILED,
		    "in effect until the next restart only: the file cannot be "
		    "written: %s",
		    strerror(error));
		return;
	}
	if (c->kept != NULL && !control_send_only(c, json_incref(c->kept)))
		return;
	control_done(c, NULL);
}

static void
save(struct control_conn *c, struct access_store *s, const char *target,
    const char *detail)
{
	control_audit_change(c, target, detail);
	control_wait(c);
	if (!access_store_save(s, on_saved, c) && control_resume(c))
		control_fail(c, CONTROL_LATER,
		    "in effect until the next restart only: too many writes "
		    "are pending");
}

static struct access_order
order_of(const struct control_conn *c)
{
	const struct control_request *r = &c->request;

	return (struct access_order){.name = r->name,
	    .rights = r->right,
	    .domain = r->domain,
	    .networks = r->networks,
	    .network_count = r->network_count,
	    .for_ms = r->expires_ms};
}

static const char *
describe(const struct control_request *r, char *out, size_t cap)
{
	snprintf(out, cap, "right %s%s%s", control_right_name(r->right),
	    r->domain != NULL ? ", domain " : "",
	    r->domain != NULL ? r->domain : "");
	return out;
}

static void
run_token_new(struct control_conn *c, int64_t now)
{
	struct access_store *s = store_of(c);
	char secret[ACCESS_SECRET_MAX], detail[320];
	struct access_order order = order_of(c);
	const struct access_entry *e;

	(void)now;
	if (s == NULL)
		return;
	e = access_add_token(s->access, &order, clock_wall_ms(), secret);
	if (e == NULL) {
		control_fail(c, CONTROL_FAILED,
		    "limit of %d tokens reached; revoke some",
		    ACCESS_TOKENS_MAX);
		return;
	}
	c->kept = token_row(e);
	json_object_set_new(c->kept, "token", json_string(secret));
	explicit_bzero(secret, sizeof(secret));
	save(c, s, c->request.name,
	    describe(&c->request, detail, sizeof(detail)));
}

static void
run_token_revoke(struct control_conn *c, int64_t now)
{
	struct access_store *s = store_of(c);

	(void)now;
	if (s == NULL)
		return;
	if (access_remove(s->access, str_from(c->request.name)))
		save(c, s, c->request.name, "");
	else
		control_fail(c, CONTROL_ABSENT,
		    "no such token: %s; tokens lists them by id",
		    c->request.name);
}

static void
on_hashed(void *arg, const char *hash, int64_t now)
{
	struct control_conn *c = arg;
	struct access_order order;
	struct access_store *s;
	char detail[320];

	(void)now;
	if (!control_resume(c))
		return;
	s = store_of(c);
	order = order_of(c);
	if (hash == NULL)
		control_fail(
		    c, CONTROL_FAILED, "libcrypt cannot make yescrypt hashes");
	else if (access_set_user(s->access, &order, hash, clock_wall_ms()) ==
		 NULL)
		control_fail(c, CONTROL_FAILED, "limit of %d users reached",
		    ACCESS_USERS_MAX);
	else
		save(c, s, c->request.name,
		    describe(&c->request, detail, sizeof(detail)));
}

static void
run_user_set(struct control_conn *c, int64_t now)
{
	struct access_store *s = store_of(c);

	(void)now;
	if (s == NULL)
		return;
	control_wait(c);
	if (!access_store_hash(s, c->request.password, on_hashed, c) &&
	    control_resume(c))
		control_fail(c, CONTROL_LATER,
		    "too many password checks pending, try again later");
}

static void
run_user_remove(struct control_conn *c, int64_t now)
{
	struct access_store *s = store_of(c);

	(void)now;
	if (s == NULL)
		return;
	if (access_remove_user(s->access, str_from(c->request.name)))
		save(c, s, c->request.name, "");
	else
		control_fail(
		    c, CONTROL_ABSENT, "no such user: %s", c->request.name);
}

const struct control_command access_commands[] = {
    {
	.name = "tokens",
	.right = CONTROL_ADMIN,
	.run = run_tokens,
	.doc = "list API tokens",
    },
    {
	.name = "token_new",
	.takes = CONTROL_NAME | CONTROL_RIGHT | CONTROL_EXPIRES |
		 CONTROL_NETWORKS | CONTROL_DOMAIN,
	.needs = CONTROL_NAME | CONTROL_RIGHT,
	.right = CONTROL_ADMIN,
	.run = run_token_new,
	.doc = "create a token and show it once",
    },
    {
	.name = "token_revoke",
	.takes = CONTROL_NAME,
	.needs = CONTROL_NAME,
	.right = CONTROL_ADMIN,
	.run = run_token_revoke,
	.doc = "revoke a token by its id and end its sessions",
    },
    {
	.name = "users",
	.right = CONTROL_ADMIN,
	.run = run_users,
	.doc = "list dashboard users",
    },
    {
	.name = "user_set",
	.takes =
	    CONTROL_NAME | CONTROL_PASSWORD | CONTROL_RIGHT | CONTROL_DOMAIN,
	.needs = CONTROL_NAME | CONTROL_PASSWORD | CONTROL_RIGHT,
	.right = CONTROL_ADMIN,
	.run = run_user_set,
	.doc = "create or replace a dashboard user with a password",
    },
    {
	.name = "user_remove",
	.takes = CONTROL_NAME,
	.needs = CONTROL_NAME,
	.right = CONTROL_ADMIN,
	.run = run_user_remove,
	.doc = "remove a dashboard user",
    },
    {0},
};
