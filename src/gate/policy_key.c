/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The name of a source. It is stored, shown, and typed by people, so it is
 * printable text; and since an outsider has a hand in it, no user may be named
 * like another's address: a user's name that begins like one of the other
 * forms gets "user:" in front, and a name that is too long to be kept ends in
 * a hash of the whole.
 */
#include "gate/policy.h"

#include "base/hash.h"
#include "base/mailbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 320   /* of a name, escaped */
#define LONG_KEPT 280        /* of a longer one, in front of its hash */
#define LONG_SEED 0x77656972 /* stored keys must stay the same */

static void
lower(char *s)
{
	for (; *s != '\0'; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + ('a' - 'A'));
	}
}

/* Printable, in lower case unless exact. `out` has room for NAME_MAX_BYTES and
 * a NUL. */
static void
put_name(struct str name, bool exact, char out[NAME_MAX_BYTES + 1])
{
	/* Never cut while the name itself fits: a byte becomes four at most. */
	char text[4 * NAME_MAX_BYTES + 1];
	size_t n;

	str_escape(name, text, sizeof(text));
	n = strlen(text);
	if (!exact)
		lower(text);
	if (n <= NAME_MAX_BYTES && name.n <= NAME_MAX_BYTES) {
		str_copy((struct str){text, n}, out, NAME_MAX_BYTES + 1);
		return;
	}
	n = LONG_KEPT;
	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	snprintf(out, NAME_MAX_BYTES + 1, "%.*s#%016" PRIx64, (int)n, text,
	    hash_str(name, LONG_SEED));
}

static size_t
put_between(const char *before, const char *text, const char *behind,
    char out[POLICY_SOURCE_MAX])
{
	size_t n = str_copy(str_from(before), out, POLICY_SOURCE_MAX);

	n += str_copy(str_from(text), out + n, POLICY_SOURCE_MAX - n);
	return n + str_copy(str_from(behind), out + n, POLICY_SOURCE_MAX - n);
}

static size_t
put_user(struct str user, bool exact, char out[POLICY_SOURCE_MAX])
{
	char name[NAME_MAX_BYTES + 1];
	bool alike;

	put_name(user, exact, name);
	alike =
	    name[0] == '[' || name[0] == '<' || strncmp(name, "user:", 5) == 0;
	return put_between(alike ? "user:" : "", name, "", out);
}

static size_t
put_client(const struct policy *policy, const struct ip *client,
    char out[POLICY_SOURCE_MAX])
{
	unsigned bits = policy->conf->ipv6_prefix;
	char text[IP_TEXT_MAX];
	struct ip net;

	if (client->family != IP_V6 || bits >= 128)
		return put_between("[", ip_format(client, text), "]", out);
	net = ip_mask(client, bits);
	snprintf(
	    out, POLICY_SOURCE_MAX, "[%s/%u]", ip_format(&net, text), bits);
	return strlen(out);
}

/* Quotes that quote nothing make no other sender. */
static size_t
put_envelope(struct str sender, char out[POLICY_SOURCE_MAX])
{
	char name[NAME_MAX_BYTES + 1], plain[MAILBOX_PLAIN_MAX];

	put_name(mailbox_plain(sender, plain), false, name);
	return put_between("<", name, ">", out);
}

/* ---- what names the source ---- */

enum named_by { BY_USER, BY_CLIENT, BY_SENDER, BY_LOCAL_PART };

/* Programs on the mail server itself never have one key for all of them. */
static enum named_by
named_by(const struct policy *policy, const struct gate_facts *facts)
{
	switch ((enum policy_key)policy->conf->key) {
	case POLICY_KEY_CLIENT:
		return BY_CLIENT;
	case POLICY_KEY_ENVELOPE:
		return BY_SENDER;
	case POLICY_KEY_FIRST:
	case POLICY_KEY_USER:
		break;
	}
	if (facts->user.n > 0)
		return BY_USER;
	/* Reports of a mail server on this machine, whichever way they come:
	 * what somebody outside makes it send stops nobody else's mail. */
	if (facts->sender.n == 0 && ip_is_loopback(&facts->client) &&
	    policy->conf->local != POLICY_LOCAL_CLIENT)
		return BY_SENDER;
	if (facts->local && policy->conf->local == POLICY_LOCAL_USER)
		return facts->sender.n > 0 ? BY_LOCAL_PART : BY_SENDER;
	if (facts->local && policy->conf->local == POLICY_LOCAL_SENDER)
		return BY_SENDER;
	return facts->client.family != IP_NONE ? BY_CLIENT : BY_SENDER;
}

/* Of an address with or without a domain; out has room for it. */
static struct str
local_part(struct str sender, char out[MAILBOX_PLAIN_MAX])
{
	struct str at = mailbox_plain(sender, out);

	return str_sub(at, 0, str_rindex(at, '@'));
}

struct str
policy_own_name(const struct policy *policy, const struct gate_facts *facts)
{
	switch (named_by(policy, facts)) {
	case BY_USER:
	case BY_CLIENT:
		break;
	case BY_SENDER:
		return facts->sender;
	case BY_LOCAL_PART:
		return str_sub(
		    facts->sender, 0, str_rindex(facts->sender, '@'));
	}
	return (struct str){0};
}

size_t
policy_source_key(const struct policy *policy, const struct gate_facts *facts,
    char out[POLICY_SOURCE_MAX])
{
	char plain[MAILBOX_PLAIN_MAX];
	struct str local;

	switch (named_by(policy, facts)) {
	case BY_USER:
		return put_user(facts->user, facts->exact_user, out);
	case BY_CLIENT:
		return put_client(policy, &facts->client, out);
	case BY_SENDER:
		break;
	case BY_LOCAL_PART:
		local = local_part(facts->sender, plain);
		if (local.n > 0)
			return put_user(local, false, out);
		break;
	}
	return put_envelope(facts->sender, out);
}

void
policy_key_facts(struct str key, struct gate_facts *facts)
{
	struct str inner = str_sub(key, 1, key.n >= 2 ? key.n - 2 : 0);
	struct str address = inner;

	*facts = (struct gate_facts){0};
	if (str_starts(key, STR("["))) {
		address = str_cut(&inner, '/');
		if (!ip_parse(address, &facts->client))
			facts->client.family = IP_NONE;
	} else if (str_starts(key, STR("<"))) {
		facts->sender = inner;
	} else {
		facts->user = str_starts(key, STR("user:"))
				  ? str_sub(key, 5, key.n)
				  : key;
	}
}

static bool
is_key(struct str name)
{
	return str_starts(name, STR("[")) || str_starts(name, STR("<")) ||
	       str_istarts(name, STR("user:"));
}

/* Escaped already, in lower case as all of them but exact users. */
static void
put_key(struct str key, bool exact_user, char out[POLICY_SOURCE_MAX])
{
	str_copy(key, out, POLICY_SOURCE_MAX);
	if (!exact_user || key.p[0] == '[' || key.p[0] == '<')
		lower(out);
}

void
policy_name_key(const struct policies *set, struct str name, bool exact_user,
    char out[POLICY_SOURCE_MAX])
{
	struct gate_facts facts = {.user = name, .sender = name};
	const struct policy *policy;

	if (ip_parse(name, &facts.client)) {
		facts.user = facts.sender = (struct str){0};
		put_client(policies_select(set, &facts), &facts.client, out);
		return;
	}
	facts.client.family = IP_NONE;
	policy = policies_select(set, &facts);
	if (is_key(name))
		put_key(name, exact_user, out);
	else if (policy->conf->key == POLICY_KEY_ENVELOPE)
		put_envelope(name, out);
	else
		put_user(name, exact_user, out);
}

/* Writes the form that number `i` stands for; false: no more. */
bool
policy_key_guess(struct str name, unsigned i, char out[POLICY_SOURCE_MAX])
{
	char text[NAME_MAX_BYTES + 1], at[IP_TEXT_MAX];
	struct ip ip;

	put_name(name, false, text);
	switch (i) {
	case 0: /* as it is: a key, or a user */
		snprintf(out, POLICY_SOURCE_MAX, "%s", text);
		return true;
	case 1:
		(void)put_envelope(name, out);
		return true;
	case 2:
		snprintf(out, POLICY_SOURCE_MAX, "user:%s", text);
		return true;
	case 3:
		if (!ip_parse(name, &ip))
			snprintf(out, POLICY_SOURCE_MAX, "[%s]", text);
		else
			snprintf(
			    out, POLICY_SOURCE_MAX, "[%s]", ip_format(&ip, at));
		return true;
	case 4: /* stored when quotes still made another sender */
		snprintf(out, POLICY_SOURCE_MAX, "<%s>", text);
		if (name.n > 0 && name.p[0] == '"')
			return true;
		break;
	default:
		break;
	}
	/* An address is found under whatever prefix it is counted. */
	if (!ip_parse(name, &ip) || ip.family != IP_V6 || i > 3 + 112)
		return false;
	ip = ip_mask(&ip, 131 - i);
	snprintf(
	    out, POLICY_SOURCE_MAX, "[%s/%u]", ip_format(&ip, at), 131 - i);
	return true;
}
