/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who asks: the user at the other end of a Unix socket, a token, a session. And
 * how a session begins and ends. A wrong password or token costs its address
 * time; a right token is believed even from there, since nobody guesses one.
 */
#include "config.h"

#include "control/api.h"

#include "http/reply.h"
#include "os/clock.h"
#include "os/priv.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASIC_MAX 512
#define SLOW_MS 1000 /* before a failed login is told */

/* ---- who it is ---- */

static void
take_entry(struct web_who *out, const struct access_entry *e)
{
	out->proof = e->is_session ? WEB_SESSION : WEB_TOKEN;
	snprintf(out->name, sizeof(out->name), "%s%s",
	    e->is_session ? "" : "token ", e->name);
	out->rights = e->rights;
	(void)str_copy(str_from(e->domain), out->domain, sizeof(out->domain));
	(void)str_copy(str_from(e->id), out->id, sizeof(out->id));
	out->expires = e->expires;
}

/* NULL: a program of this machine, over a Unix socket that no proxy stands
 * before. */
static const struct ip *
client_of(const struct web_exchange *x)
{
	uid_t uid;
	gid_t gid;

	return web_peer(x, &uid, &gid) ? NULL : web_client(x);
}

/* Of a Unix socket all are one address. */
static void
fail(const struct web_exchange *x, struct web_who *out, int64_t now)
{
	const struct api *a = api_of(x);
	struct guard *guard = a->settings.store->guard;

	/* While it is locked nothing is tried, or told. */
	out->proof = WEB_BLOCKED;
	out->retry_ms = guard_locked_for(guard, web_client(x), now);
	if (out->retry_ms > 0)
		return;
	guard_failed(guard, web_client(x), now);
	out->retry_ms = guard_locked_for(guard, web_client(x), now);
	out->proof = out->retry_ms > 0 ? WEB_BLOCKED : WEB_DENIED;
	log_write(a->settings.log, LOG_EV_HTTP_LOGIN_FAILED,
	    KV(listener, web_access(x)->name), KV(client, web_client(x)),
	    KV(locked_ms, out->retry_ms));
}

/* The password of Basic, in out (RFC 7617). False: malformed. */
static bool
decode_basic(struct str text, char *out, struct str *password)
{
	int n;

	while (text.n > 0 && text.p[text.n - 1] == '=')
		text.n--;
	if (text.n == 0 || text.n > BASIC_MAX)
		return false;
	{
		char padded[BASIC_MAX + 4];
		size_t whole = (text.n + 3) / 4 * 4;

		memcpy(padded, text.p, text.n);
		memset(padded + text.n, '=', whole - text.n);
		n = EVP_DecodeBlock((unsigned char *)out,
		    (const unsigned char *)padded, (int)whole);
		if (n < 0)
			return false;
		n -= (int)(whole - text.n);
	}
	if (n < 0)
		return false;
	*password = (struct str){out, (size_t)n};
	str_cut(password, ':');
	return true;
}

static void
identify_token(const struct web_exchange *x, struct str field,
    struct web_who *out, int64_t now)
{
	const struct api *a = api_of(x);
	char basic[BASIC_MAX + 8];
	struct str secret = STR(""), rest = field;
	struct str scheme = str_cut(&rest, ' ');
	const struct access_entry *e;

	if (str_ieq(scheme, STR("Bearer")))
		secret = str_trim(rest);
	else if (!str_ieq(scheme, STR("Basic")) ||
		 !decode_basic(str_trim(rest), basic, &secret))
		secret = STR("");
	e = access_find(a->settings.store->access, secret, false, client_of(x),
	    clock_wall_ms());
	if (e != NULL)
		take_entry(out, e);
	else
		fail(x, out, now);
	explicit_bzero(basic, sizeof(basic));
}

static const char *
cookie_name(const struct web_exchange *x)
{
	return web_is_secure(x) ? API_SESSION_TLS : API_SESSION;
}

/* A session that has ended is no attack. */
static bool
identify_session(const struct web_exchange *x, struct web_who *out)
{
	const struct str *field = http_request_field(web_request(x), "Cookie");
	struct str secret = http_cookie(field, cookie_name(x));
	struct access_store *s = api_of(x)->settings.store;
	const struct access_entry *e;

	if (secret.n == 0)
		return false;
	e = access_find(s->access, secret, true, client_of(x), clock_wall_ms());
	if (e != NULL)
		take_entry(out, e);
	return e != NULL;
}

static void
identify_peer(const struct web_exchange *x, struct web_who *out)
{
	char name[64];
	uid_t uid;
	gid_t gid;

	if (!web_peer(x, &uid, &gid))
		return;
	out->rights =
	    control_peer_rights(api_of(x)->settings.control, uid, gid);
	if (out->rights == 0)
		return;
	out->proof = WEB_PEER;
	snprintf(out->name, sizeof(out->name), "%s (uid %lu)",
	    priv_user_name(uid, name, sizeof(name)), (unsigned long)uid);
}

void
api_identify(const struct web_exchange *x, struct web_who *out, int64_t now)
{
	const struct str *field =
	    http_request_field(web_request(x), "Authorization");

	if (api_of(x)->settings.store != NULL) {
		if (field != NULL) {
			identify_token(x, *field, out, now);
			return;
		}
		if (identify_session(x, out))
			return;
	}
	identify_peer(x, out);
}

/* ---- sessions ---- */

static json_t *
event_types(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < EVENT_TYPE_MAX; i++)
		json_array_append_new(list, json_string(event_type_name[i]));
	return list;
}

static json_t *
session_row(const struct api *a, const struct web_who *who)
{
	static const char *const kinds[] = {[WEB_PEER] = "peer",
	    [WEB_TOKEN] = "token",
	    [WEB_SESSION] = "session"};

	return json_pack("{s:o, s:s, s:s?, s:s, s:o, s:s, s:s, s:o}", "name",
	    control_text(who->name), "right", control_right_name(who->rights),
	    "domain", who->domain[0] != '\0' ? who->domain : NULL, "kind",
	    kinds[who->proof], "expires", control_time(who->expires), "daemon",
	    a->settings.daemon, "version", a->settings.version, "event_types",
	    event_types());
}

void
api_get_session(struct web_exchange *x, int64_t now)
{
	(void)now;
	api_answer(x, 200, session_row(api_of(x), web_who(x)));
}

static void
set_cookie(struct web_exchange *x, const char *value, int64_t max_age_s)
{
	char field[256];

	snprintf(field, sizeof(field),
	    "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%" PRId64 "%s",
	    cookie_name(x), value, max_age_s,
	    web_is_secure(x) ? "; Secure" : "");
	web_set_field(x, "Set-Cookie", field);
	explicit_bzero(field, sizeof(field));
}

/* What is not written now is with the next change, or at the stop. */
static void
save(const struct api *a)
{
	struct access_store *s = a->settings.store;

	if (!access_store_save(s, NULL, NULL))
		log_write(a->settings.log, LOG_EV_HTTP_ACCESS_FILE_LATER,
		    LOG_NO_FIELDS);
}

static void
begin_session(struct web_exchange *x, const struct access_order *order)
{
	const struct api *a = api_of(x);
	struct access_store *s = a->settings.store;
	char secret[ACCESS_SECRET_MAX];
	int64_t wall = clock_wall_ms();
	const struct access_entry *e =
	    access_add_session(s->access, order, wall, secret);
	struct web_who who = {.proof = WEB_NOBODY};

	take_entry(&who, e);
	guard_passed(s->guard, web_client(x));
	set_cookie(x, secret, (e->expires - wall) / 1000);
	explicit_bzero(secret, sizeof(secret));
	log_write(a->settings.log, LOG_EV_HTTP_LOGIN, KV(by, who.name),
	    KV(right, control_right_name(who.rights)),
	    KV(client, web_client(x)));
	save(a);
	api_answer(x, 200, session_row(a, &who));
}

struct login {
	struct web_exchange *x;
	char *name;
	struct loop_timer slow;
	bool is_checking; /* the worker will call */
};

static void
login_free(struct login *l)
{
	loop_timer_clear(&l->slow);
	free(l->name);
	free(l);
}

static void
on_gone(void *arg)
{
	struct login *l = arg;

	l->x = NULL;
	if (!l->is_checking)
		login_free(l);
}

static void
on_slow(void *arg, int64_t now)
{
	struct login *l = arg;

	(void)now;
	web_refuse(l->x, 401, "Wrong name, password or token.");
	login_free(l);
}

static void
refuse_slowly(struct login *l, int64_t now)
{
	struct web_who who = {.proof = WEB_NOBODY};

	fail(l->x, &who, now);
	loop_timer_set(&l->slow, now + SLOW_MS);
}

static void
on_checked(void *arg, bool is_right, int64_t now)
{
	struct login *l = arg;
	struct web_exchange *x = l->x;
	const struct access_user *u;

	l->is_checking = false;
	if (x == NULL) {
		login_free(l);
		return;
	}
	/* He may have been removed meanwhile. */
	u = access_find_user(
	    api_of(x)->settings.store->access, str_from(l->name));
	if (!is_right || u == NULL) {
		refuse_slowly(l, now);
		return;
	}
	begin_session(
	    x, &(struct access_order){
		   .name = u->name, .rights = u->rights, .domain = u->domain});
	login_free(l);
}

static struct login *
login_new(struct web_exchange *x, const char *name)
{
	struct login *l = xcalloc(1, sizeof(*l));

	l->x = x;
	l->name = xstrdup(name);
	loop_timer_init(&l->slow, api_of(x)->settings.loop, on_slow, l);
	web_wait(x, on_gone, l);
	return l;
}

static void
check_password(struct web_exchange *x, const char *name, const char *password)
{
	struct access_store *s = api_of(x)->settings.store;
	const struct access_user *u =
	    access_find_user(s->access, str_from(name));
	struct login *l = login_new(x, name);

	l->is_checking = true;
	if (access_store_check(
		s, password, u != NULL ? u->hash : NULL, on_checked, l))
		return;
	login_free(l);
	web_set_field(x, "Retry-After", "2");
	web_refuse(x, 503, "Too many password checks pending.");
}

static void
check_token(struct web_exchange *x, struct str secret, int64_t now)
{
	struct access_store *s = api_of(x)->settings.store;
	const struct access_entry *e = access_find(
	    s->access, secret, false, client_of(x), clock_wall_ms());
	char name[CONTROL_NAME_MAX + 16];
	int64_t wall = clock_wall_ms();

	if (e == NULL) {
		refuse_slowly(login_new(x, "-"), now);
		return;
	}
	snprintf(name, sizeof(name), "token %s", e->name);
	begin_session(x, &(struct access_order){.name = name,
			     .rights = e->rights,
			     .domain = e->domain,
			     .nets = e->nets,
			     .net_count = e->net_count,
			     .for_ms = e->expires > 0 ? e->expires - wall : 0});
}

void
api_post_session(struct web_exchange *x, int64_t now)
{
	struct access_store *s = api_of(x)->settings.store;
	int64_t locked_ms;
	json_t *body;
	const char *token, *name, *password;
	char seconds[24];

	if (s == NULL) {
		web_refuse(x, 404, "Login is not possible here.");
		return;
	}
	locked_ms = guard_locked_for(s->guard, web_client(x), now);
	if (locked_ms > 0) {
		snprintf(seconds, sizeof(seconds), "%" PRId64,
		    (locked_ms + 999) / 1000);
		web_set_field(x, "Retry-After", seconds);
		web_refuse(x, 429,
		    "Too many failed logins from this address; try again in "
		    "%s s.",
		    seconds);
		return;
	}
	body = api_body(x);
	if (body == NULL)
		return;
	token = json_string_value(json_object_get(body, "token"));
	name = json_string_value(json_object_get(body, "name"));
	password = json_string_value(json_object_get(body, "password"));
	if (token != NULL && json_object_size(body) == 1)
		check_token(x, str_from(token), now);
	else if (name != NULL && password != NULL &&
		 json_object_size(body) == 2 &&
		 strlen(password) <= CONTROL_WORD_MAX)
		check_password(x, name, password);
	else
		web_refuse(x, 400,
		    "A login must be {\"token\": ...} or {\"name\": ..., "
		    "\"password\": ...}.");
	json_decref(body);
}

void
api_delete_session(struct web_exchange *x, int64_t now)
{
	const struct web_who *who = web_who(x);

	(void)now;
	if (who->proof != WEB_SESSION) {
		web_refuse(x, 409, "There is no session to end.");
		return;
	}
	if (access_remove(api_of(x)->settings.store->access, str_from(who->id)))
		save(api_of(x));
	set_cookie(x, "", 0);
	web_answer_nothing(x);
}
