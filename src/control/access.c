/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file is a JSON object of three lists. What it holds is checked as if a
 * stranger had written it.
 */
#include "config.h"

#include "control/access.h"

#include "control/request.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_BYTES 32
#define PREFIX "weir_"
#define USED_EVERY_MS (60 * INT64_C(1000))

struct access {
	struct list tokens, sessions, users;
	size_t token_count, session_count, user_count;
	bool has_changed;
};

struct access *
access_new(void)
{
	struct access *a = xcalloc(1, sizeof(*a));

	list_init(&a->tokens);
	list_init(&a->sessions);
	list_init(&a->users);
	return a;
}

static void
entry_free(struct access_entry *e)
{
	free(e->name);
	free(e->domain);
	free(e->nets);
	free(e);
}

static void
drop_entry(struct access *a, struct access_entry *e)
{
	list_remove(&e->entry);
	if (e->is_session)
		a->session_count--;
	else
		a->token_count--;
	a->has_changed = true;
	entry_free(e);
}

static void
drop_user(struct access *a, struct access_user *u)
{
	list_remove(&u->entry);
	a->user_count--;
	a->has_changed = true;
	free(u->name);
	free(u->hash);
	free(u->domain);
	free(u);
}

static struct access_entry *
entry_of(struct list *e)
{
	return LIST_ITEM(e, struct access_entry, entry);
}

static void
clear(struct access *a)
{
	while (!list_is_empty(&a->tokens))
		drop_entry(a, entry_of(a->tokens.next));
	while (!list_is_empty(&a->sessions))
		drop_entry(a, entry_of(a->sessions.next));
	while (!list_is_empty(&a->users))
		drop_user(
		    a, LIST_ITEM(a->users.next, struct access_user, entry));
}

void
access_free(struct access *a)
{
	if (a == NULL)
		return;
	clear(a);
	free(a);
}

bool
access_take_changed(struct access *a)
{
	bool was = a->has_changed;

	a->has_changed = false;
	return was;
}

static void
add_entry(struct access *a, struct access_entry *e)
{
	list_append(e->is_session ? &a->sessions : &a->tokens, &e->entry);
	if (e->is_session)
		a->session_count++;
	else
		a->token_count++;
	a->has_changed = true;
}

/* ---- secrets ---- */

static void
hash_secret(struct str secret, uint8_t out[32])
{
	SHA256((const unsigned char *)secret.p, secret.n, out);
}

/* base64url without padding (RFC 4648 5). */
static void
encode(const uint8_t *bytes, size_t n, char *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | bytes[i];
		for (have += 8; have >= 6; have -= 6)
			*out++ = letters[bits >> (have - 6) & 63];
	}
	if (have > 0)
		*out++ = letters[bits << (6 - have) & 63];
	*out = '\0';
}

static void
fill_random(uint8_t *out, int n)
{
	if (RAND_bytes(out, n) != 1)
		panic("access: no random bytes");
}

static void
make_secret(struct access_entry *e, char secret[ACCESS_SECRET_MAX])
{
	uint8_t bytes[SECRET_BYTES], id[8];

	fill_random(bytes, sizeof(bytes));
	fill_random(id, sizeof(id));
	memcpy(secret, PREFIX, sizeof(PREFIX));
	encode(bytes, sizeof(bytes), secret + sizeof(PREFIX) - 1);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(e->id + 2 * i, 3, "%02x", id[i]);
	hash_secret(str_from(secret), e->hash);
}

static bool
may_come_from(const struct access_entry *e, const struct ip *client)
{
	return e->net_count == 0 || client == NULL ||
	       ip_nets_have(e->nets, e->net_count, client);
}

static bool
is_over(const struct access_entry *e, int64_t wall)
{
	if (e->expires != 0 && wall >= e->expires)
		return true;
	return e->is_session && wall - e->last_used >= ACCESS_IDLE_MS;
}

static void
expire(struct access *a, struct list *list, int64_t wall)
{
	struct list *i, *next;

	list_each_safe (i, next, list) {
		if (is_over(entry_of(i), wall))
			drop_entry(a, entry_of(i));
	}
}

struct access_entry *
access_find(struct access *a, struct str secret, bool is_session,
    const struct ip *client, int64_t wall)
{
	struct list *list = is_session ? &a->sessions : &a->tokens;
	struct list *i;
	uint8_t hash[32];

	if (!str_starts(secret, STR(PREFIX)) || secret.n >= ACCESS_SECRET_MAX)
		return NULL;
	hash_secret(secret, hash);
	list_each (i, list) {
		struct access_entry *e = entry_of(i);

		if (CRYPTO_memcmp(e->hash, hash, sizeof(hash)) != 0)
			continue;
		if (is_over(e, wall) || !may_come_from(e, client))
			return NULL;
		/* A session that goes on is written down now and then. */
		if (is_session && wall - e->last_used > USED_EVERY_MS)
			a->has_changed = true;
		e->last_used = wall;
		return e;
	}
	return NULL;
}

static bool
is_valid_in(const struct list *list, struct str id, int64_t wall)
{
	struct list *i;

	list_each (i, list) {
		if (str_eq(id, str_from(entry_of(i)->id)))
			return !is_over(entry_of(i), wall);
	}
	return false;
}

bool
access_is_valid(const struct access *a, struct str id, int64_t wall)
{
	return is_valid_in(&a->tokens, id, wall) ||
	       is_valid_in(&a->sessions, id, wall);
}

/* ---- changes ---- */

static bool
set_nets(struct access_entry *e, char *const *networks, size_t n)
{
	e->nets = xcalloc(n + 1, sizeof(*e->nets));
	for (size_t i = 0; i < n; i++) {
		if (!ip_net_parse(str_from(networks[i]), &e->nets[i]))
			return false;
		e->net_count++;
	}
	return true;
}

static struct access_entry *
make_entry(const struct access_order *order, int64_t wall, bool is_session,
    char secret[ACCESS_SECRET_MAX])
{
	struct access_entry *e = xcalloc(1, sizeof(*e));

	e->is_session = is_session;
	make_secret(e, secret);
	e->name = xstrdup(order->name);
	e->rights = order->rights;
	e->domain = order->domain != NULL ? xstrdup(order->domain) : NULL;
	if (order->net_count > 0) {
		e->nets = xcalloc(order->net_count, sizeof(*e->nets));
		memcpy(
		    e->nets, order->nets, order->net_count * sizeof(*e->nets));
		e->net_count = order->net_count;
	}
	e->created = wall;
	e->expires = order->for_ms > 0 ? wall + order->for_ms : 0;
	return e;
}

const struct access_entry *
access_add_token(struct access *a, const struct access_order *order,
    int64_t wall, char secret[ACCESS_SECRET_MAX])
{
	struct access_entry *e;

	expire(a, &a->tokens, wall);
	if (a->token_count >= ACCESS_TOKENS_MAX)
		return NULL;
	e = make_entry(order, wall, false, secret);
	if (order->network_count > 0 &&
	    !set_nets(e, order->networks, order->network_count)) {
		entry_free(e);
		return NULL;
	}
	add_entry(a, e);
	return e;
}

static struct access_entry *
oldest_session(struct access *a)
{
	struct access_entry *oldest = NULL;
	struct list *i;

	list_each (i, &a->sessions) {
		if (oldest == NULL ||
		    entry_of(i)->last_used < oldest->last_used)
			oldest = entry_of(i);
	}
	return oldest;
}

const struct access_entry *
access_add_session(struct access *a, const struct access_order *order,
    int64_t wall, char secret[ACCESS_SECRET_MAX])
{
	struct access_entry *e;

	expire(a, &a->sessions, wall);
	if (a->session_count >= ACCESS_SESSIONS_MAX)
		drop_entry(a, oldest_session(a));
	e = make_entry(order, wall, true, secret);
	e->last_used = wall;
	if (e->expires == 0 || e->expires > wall + ACCESS_SESSION_MS)
		e->expires = wall + ACCESS_SESSION_MS;
	add_entry(a, e);
	return e;
}

static void
end_sessions(struct access *a, const char *name)
{
	struct list *i, *next;

	list_each_safe (i, next, &a->sessions) {
		if (strcmp(entry_of(i)->name, name) == 0)
			drop_entry(a, entry_of(i));
	}
}

static bool
remove_from(struct access *a, struct list *list, struct str id)
{
	struct list *i;

	list_each (i, list) {
		struct access_entry *e = entry_of(i);
		char name[CONTROL_NAME_MAX + 16];
		bool is_session = e->is_session;

		if (!str_eq(id, str_from(e->id)))
			continue;
		snprintf(name, sizeof(name), "token %s", e->name);
		drop_entry(a, e);
		if (!is_session)
			end_sessions(a, name);
		return true;
	}
	return false;
}

bool
access_remove(struct access *a, struct str id)
{
	return remove_from(a, &a->tokens, id) ||
	       remove_from(a, &a->sessions, id);
}

static struct access_user *
find_user(const struct access *a, struct str name)
{
	struct list *i;

	list_each (i, &a->users) {
		struct access_user *u = LIST_ITEM(i, struct access_user, entry);

		if (str_eq(name, str_from(u->name)))
			return u;
	}
	return NULL;
}

const struct access_user *
access_find_user(const struct access *a, struct str name)
{
	return find_user(a, name);
}

bool
access_remove_user(struct access *a, struct str name)
{
	struct access_user *u = find_user(a, name);

	if (u == NULL)
		return false;
	end_sessions(a, u->name);
	drop_user(a, u);
	return true;
}

static struct access_user *
add_user(struct access *a, const char *name, const char *hash, unsigned rights,
    const char *domain, int64_t created)
{
	struct access_user *u = xcalloc(1, sizeof(*u));

	u->name = xstrdup(name);
	u->hash = xstrdup(hash);
	u->rights = rights;
	u->domain = domain != NULL ? xstrdup(domain) : NULL;
	u->created = created;
	list_append(&a->users, &u->entry);
	a->user_count++;
	a->has_changed = true;
	return u;
}

const struct access_user *
access_set_user(struct access *a, const struct access_order *order,
    const char *hash, int64_t wall)
{
	bool is_new = !access_remove_user(a, str_from(order->name));

	if (is_new && a->user_count >= ACCESS_USERS_MAX)
		return NULL;
	return add_user(
	    a, order->name, hash, order->rights, order->domain, wall);
}

void
access_each(struct access *a, int64_t wall,
    void (*fn)(void *arg, const struct access_entry *e), void *arg)
{
	struct list *i;

	expire(a, &a->tokens, wall);
	list_each (i, &a->tokens)
		fn(arg, entry_of(i));
}

void
access_each_user(const struct access *a,
    void (*fn)(void *arg, const struct access_user *u), void *arg)
{
	struct list *i;

	list_each (i, &a->users)
		fn(arg, LIST_ITEM(i, struct access_user, entry));
}

/* ---- the file ---- */

json_t *
access_nets(const struct access_entry *e)
{
	json_t *list = json_array();
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < e->net_count; i++)
		json_array_append_new(
		    list, json_sprintf("%s/%u", ip_format(&e->nets[i].ip, text),
			      e->nets[i].bits));
	return list;
}

static json_t *
entry_row(const struct access_entry *e)
{
	char hash[65];

	for (size_t i = 0; i < sizeof(e->hash); i++)
		snprintf(hash + 2 * i, 3, "%02x", e->hash[i]);
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:I, s:I, s:I}", "id",
	    e->id, "sha256", hash, "name", e->name, "right",
	    control_right_name(e->rights), "domain", e->domain, "networks",
	    access_nets(e), "created", (json_int_t)e->created, "expires",
	    (json_int_t)e->expires, "used", (json_int_t)e->last_used);
}

static json_t *
list_rows(const struct list *list)
{
	json_t *rows = json_array();
	struct list *i;

	list_each (i, list)
		json_array_append_new(rows, entry_row(entry_of(i)));
	return rows;
}

static int
append(const char *p, size_t n, void *out)
{
	return buf_append(out, p, n) ? 0 : -1;
}

bool
access_print(const struct access *a, struct buf *out)
{
	json_t *users = json_array(), *root;
	struct list *i;
	bool ok;

	list_each (i, &a->users) {
		const struct access_user *u =
		    LIST_ITEM(i, struct access_user, entry);

		json_array_append_new(
		    users, json_pack("{s:s, s:s, s:s, s:s?, s:I}", "name",
			       u->name, "crypt", u->hash, "right",
			       control_right_name(u->rights), "domain",
			       u->domain, "created", (json_int_t)u->created));
	}
	root = json_pack("{s:i, s:o, s:o, s:o}", "version", 1, "tokens",
	    list_rows(&a->tokens), "users", users, "sessions",
	    list_rows(&a->sessions));
	ok = root != NULL &&
	     json_dump_callback(root, append, out,
		 JSON_INDENT(1) | JSON_PRESERVE_ORDER) == 0 &&
	     buf_append(out, "\n", 1);
	json_decref(root);
	return ok;
}

struct problem {
	char *err;
	size_t cap;
};

PRINTF_LIKE(2, 3)
static bool
refuse(struct problem *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->cap, fmt, ap);
	va_end(ap);
	return false;
}

/* A short line of printable text. */
static const char *
text_of(const json_t *row, const char *name, size_t max)
{
	const json_t *value = json_object_get(row, name);
	struct str s = {json_string_value(value), json_string_length(value)};

	return s.p != NULL && s.n > 0 && s.n <= max && str_is_shown(s) ? s.p
								       : NULL;
}

static bool
read_hash(const json_t *row, uint8_t out[32])
{
	const char *text = text_of(row, "sha256", 64);

	if (text == NULL || strlen(text) != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int high = str_hex_digit(text[2 * i]);
		int low = str_hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

static bool
read_nets(const json_t *row, struct access_entry *e)
{
	const json_t *list = json_object_get(row, "networks");
	size_t n = json_array_size(list);

	if (n > CONTROL_NETWORKS_MAX)
		return false;
	e->nets = xcalloc(n + 1, sizeof(*e->nets));
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!ip_net_parse(str_from(s), &e->nets[i]))
			return false;
		e->net_count++;
	}
	return true;
}

static int64_t
time_of(const json_t *row, const char *name)
{
	json_int_t t = json_integer_value(json_object_get(row, name));

	return t > 0 ? t : 0;
}

/* NULL: it is malformed. */
static struct access_entry *
read_entry(const json_t *row, bool is_session)
{
	struct access_entry *e = xcalloc(1, sizeof(*e));
	const char *id = text_of(row, "id", ACCESS_ID_MAX - 1);
	const char *name = text_of(row, "name", 2 * CONTROL_NAME_MAX);
	const char *domain = text_of(row, "domain", CONTROL_DOMAIN_MAX);

	e->is_session = is_session;
	e->rights = control_right_parse(str_from(text_of(row, "right", 16)));
	/* A domain that cannot be read must not mean all of them. */
	if (id != NULL && name != NULL && e->rights != 0 &&
	    (domain != NULL ||
		!json_is_string(json_object_get(row, "domain"))) &&
	    read_hash(row, e->hash) && read_nets(row, e)) {
		(void)str_copy(str_from(id), e->id, sizeof(e->id));
		e->name = xstrdup(name);
		e->domain = domain != NULL ? xstrdup(domain) : NULL;
		e->created = time_of(row, "created");
		e->expires = time_of(row, "expires");
		e->last_used = time_of(row, "used");
		return e;
	}
	entry_free(e);
	return NULL;
}

static bool
read_entries(struct access *a, const json_t *root, const char *what, size_t max,
    struct problem *p)
{
	const json_t *list = json_object_get(root, what);

	if (!json_is_array(list) || json_array_size(list) > max)
		return refuse(p, "\"%s\" is not a list, or is too long", what);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct access_entry *e = read_entry(
		    json_array_get(list, i), strcmp(what, "sessions") == 0);

		if (e == NULL)
			return refuse(
			    p, "entry %zu of \"%s\" is malformed", i + 1, what);
		add_entry(a, e);
	}
	return true;
}

static bool
read_users(struct access *a, const json_t *root, struct problem *p)
{
	const json_t *list = json_object_get(root, "users");

	if (!json_is_array(list) || json_array_size(list) > ACCESS_USERS_MAX)
		return refuse(p, "\"users\" is not a list, or is too long");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		const char *name = text_of(row, "name", CONTROL_NAME_MAX);
		const char *hash = text_of(row, "crypt", ACCESS_HASH_MAX - 1);
		const char *domain = text_of(row, "domain", CONTROL_DOMAIN_MAX);
		unsigned rights =
		    control_right_parse(str_from(text_of(row, "right", 16)));

		if (name == NULL || hash == NULL || rights == 0 ||
		    (domain == NULL &&
			json_is_string(json_object_get(row, "domain"))))
			return refuse(
			    p, "entry %zu of \"users\" is malformed", i + 1);
		add_user(
		    a, name, hash, rights, domain, time_of(row, "created"));
	}
	return true;
}

static void
move_all(struct list *to, struct list *from)
{
	while (!list_is_empty(from)) {
		struct list *e = from->next;

		list_remove(e);
		list_append(to, e);
	}
}

bool
access_read(struct access *a, struct str text, char *err, size_t cap)
{
	struct problem p = {err, cap};
	struct access *fresh = access_new();
	json_error_t why;
	json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
	bool ok;

	if (!json_is_object(root))
		ok = refuse(&p, "line %d: %s", why.line,
		    root == NULL ? why.text : "not an object");
	else if (json_integer_value(json_object_get(root, "version")) != 1)
		ok = refuse(&p, "written by a newer weir");
	else
		ok = read_entries(
			 fresh, root, "tokens", ACCESS_TOKENS_MAX, &p) &&
		     read_entries(
			 fresh, root, "sessions", ACCESS_SESSIONS_MAX, &p) &&
		     read_users(fresh, root, &p);
	json_decref(root);
	if (ok) {
		clear(a);
		move_all(&a->tokens, &fresh->tokens);
		move_all(&a->sessions, &fresh->sessions);
		move_all(&a->users, &fresh->users);
		a->token_count = fresh->token_count;
		a->session_count = fresh->session_count;
		a->user_count = fresh->user_count;
		a->has_changed = false;
	}
	access_free(fresh);
	return ok;
}

/* ---- passwords ---- */

bool
access_hash_password(const char *password, char out[ACCESS_HASH_MAX])
{
	struct crypt_data *data = xcalloc(1, sizeof(*data));
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash = NULL;
	bool ok;

	if (crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof(salt)) != NULL)
		hash = crypt_rn(password, salt, data, (int)sizeof(*data));
	ok = hash != NULL &&
	     str_copy(str_from(hash), out, ACCESS_HASH_MAX) == strlen(hash);
	OPENSSL_cleanse(data, sizeof(*data));
	free(data);
	return ok;
}

bool
access_check_password(const char *password, const char *hash)
{
	/* Of no password: who tries names must not see by the time which of
	 * them there are. */
	static const char nobody[] =
	    "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"
	    "X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";
	struct crypt_data *data = xcalloc(1, sizeof(*data));
	const char *want = hash != NULL ? hash : nobody;
	const char *got = crypt_rn(password, want, data, (int)sizeof(*data));
	bool ok = got != NULL && hash != NULL && strlen(got) == strlen(want) &&
		  CRYPTO_memcmp(got, want, strlen(want)) == 0;

	OPENSSL_cleanse(data, sizeof(*data));
	free(data);
	return ok;
}
