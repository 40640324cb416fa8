/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One table of mechanisms, each with the function that finds the name in what
 * the client says. The name becomes a key and stands in log lines, hence it is
 * held to UTF-8 without control characters and to a length.
 */
#include "smtp/sasl.h"

#include "base/hash.h"

#include <string.h>

#define HIDDEN_LEAST 8 /* a password of four to six characters */

struct mech_info {
	enum sasl_mech mech;
	struct str name;
	enum sasl_verdict (*read)(
	    struct sasl_watch *w, struct str text, unsigned line);
};

void
sasl_wipe(struct buf *b)
{
	if (b->mem != NULL)
		explicit_bzero(b->mem, b->cap);
	buf_clear(b);
}

static bool
is_name(struct str s)
{
	if (s.n == 0 || s.n > SASL_USER_MAX || !str_is_utf8(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == 0x7F)
			return false;
		if (c == 0xC2 && i + 1 < s.n &&
		    (unsigned char)s.p[i + 1] < 0xA0)
			return false; /* C1 control character */
	}
	return true;
}

static enum sasl_verdict
set_user(struct sasl_watch *w, struct str name)
{
	name = str_trim(name);
	if (!is_name(name))
		return SASL_NAMELESS;
	str_copy(name, w->user, sizeof(w->user));
	return SASL_GOES_ON;
}

/* That two logins had the same password can be seen, and nothing else. */
static void
prove(struct sasl_watch *w, struct str password)
{
	if (w->seed != 0 && password.n > 0)
		w->proof = hash_str(password, w->seed) | 1;
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. Who has the password is meant,
 * not for whom he speaks. */
static enum sasl_verdict
read_plain(struct sasl_watch *w, struct str text, unsigned line)
{
	struct str name;

	if (line > 1)
		return SASL_MALFORMED;
	if (str_index(text, '\0') == text.n)
		return SASL_MALFORMED;
	(void)str_cut(&text, '\0');
	name = text;
	if (str_index(text, '\0') == text.n)
		return SASL_MALFORMED;
	name = str_cut(&text, '\0');
	if (text.n == 0 || str_index(text, '\0') < text.n)
		return SASL_MALFORMED;
	prove(w, text);
	return set_user(w, name);
}

static enum sasl_verdict
read_login(struct sasl_watch *w, struct str text, unsigned line)
{
	if (line > 2)
		return SASL_MALFORMED;
	if (line == 1)
		return set_user(w, text);
	prove(w, text);
	return SASL_GOES_ON;
}

/* RFC 2195: name, blank, 32 hexadecimal digits. */
static enum sasl_verdict
read_cram_md5(struct sasl_watch *w, struct str text, unsigned line)
{
	size_t blank = str_rindex(text, ' ');

	if (line > 1 || blank == text.n || text.n - blank - 1 != 32)
		return SASL_MALFORMED;
	return set_user(w, str_sub(text, 0, blank));
}

/* After an error's JSON the client sends an empty answer, or one SOH. */
static bool
is_oauth_farewell(struct str text, unsigned line)
{
	return line == 2 && (text.n == 0 || str_eq(text, STR("\001")));
}

/* "user=" name ^A "auth=Bearer " token ^A ^A */
static enum sasl_verdict
read_xoauth2(struct sasl_watch *w, struct str text, unsigned line)
{
	struct str field = str_cut(&text, '\001');

	if (line > 1)
		return is_oauth_farewell(field, line) ? SASL_GOES_ON
						      : SASL_MALFORMED;
	if (!str_istarts(field, STR("user=")))
		return SASL_MALFORMED;
	return set_user(w, str_sub(field, sizeof("user=") - 1, field.n));
}

/* RFC 5801 section 4: "=2C" and "=3D" in a name. */
static bool
unescape_saslname(struct str in, char out[SASL_USER_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		struct str escape = str_sub(in, i, 3);
		char c = in.p[i];

		if (str_eq(escape, STR("=2C")))
			c = ',';
		else if (str_eq(escape, STR("=3D")))
			c = '=';
		else if (c == '=')
			return false;
		i += in.p[i] == '=' ? 2 : 0;
		if (n == SASL_USER_MAX || c == '\0')
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

/* RFC 7628: "n,a=" name "," ^A ... ^A ^A */
static enum sasl_verdict
read_oauthbearer(struct sasl_watch *w, struct str text, unsigned line)
{
	struct str header = str_cut(&text, '\001'), flag, authzid;
	char name[SASL_USER_MAX + 1];

	if (line > 1)
		return is_oauth_farewell(text.n > 0 ? text : header, line)
			   ? SASL_GOES_ON
			   : SASL_MALFORMED;
	flag = str_cut(&header, ',');
	authzid = str_cut(&header, ',');
	if (!str_eq(flag, STR("n")) && !str_eq(flag, STR("y")) &&
	    !str_starts(flag, STR("p=")))
		return SASL_MALFORMED;
	if (authzid.n == 0)
		return SASL_OPAQUE;
	if (!str_starts(authzid, STR("a=")) ||
	    !unescape_saslname(str_sub(authzid, 2, authzid.n), name))
		return SASL_MALFORMED;
	return set_user(w, str_from(name));
}

static const struct mech_info mechs[] = {
    {SASL_PLAIN, STR("PLAIN"), read_plain},
    {SASL_LOGIN, STR("LOGIN"), read_login},
    {SASL_CRAM_MD5, STR("CRAM-MD5"), read_cram_md5},
    {SASL_XOAUTH2, STR("XOAUTH2"), read_xoauth2},
    {SASL_OAUTHBEARER, STR("OAUTHBEARER"), read_oauthbearer},
};

static const struct mech_info *
info_of(enum sasl_mech mech)
{
	for (size_t i = 0; i < ARRAY_LEN(mechs); i++) {
		if (mechs[i].mech == mech)
			return &mechs[i];
	}
	panic("sasl mechanism %d", (int)mech);
}

enum sasl_mech
sasl_mech_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(mechs); i++) {
		if (str_ieq(name, mechs[i].name))
			return mechs[i].mech;
	}
	return (enum sasl_mech)0;
}

const char *
sasl_mech_name(enum sasl_mech mech)
{
	return info_of(mech)->name.p;
}

unsigned
sasl_mechs_parse(struct str list)
{
	unsigned found = 0;

	while (list.n > 0)
		found |= sasl_mech_find(str_cut(&list, ' '));
	return found;
}

const char *
sasl_mechs_format(unsigned set, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(mechs); i++) {
		if (!(set & mechs[i].mech))
			continue;
		if (n > 0)
			n += str_copy(STR(" "), out + n, cap - n);
		n += str_copy(mechs[i].name, out + n, cap - n);
	}
	return out;
}

void
sasl_watch_init(struct sasl_watch *w, enum sasl_mech mech, uint64_t seed)
{
	*w = (struct sasl_watch){.mech = mech, .seed = seed};
}

enum sasl_verdict
sasl_watch_line(struct sasl_watch *w, struct str line)
{
	enum sasl_verdict verdict = SASL_MALFORMED;
	struct buf text;

	buf_init(&text, SASL_LINE_MAX);
	if (str_eq(line, STR("=")) && w->lines == 0)
		line = STR("");
	if (w->lines < SASL_ROUNDS_MAX && base64_decode(line, &text))
		verdict = info_of(w->mech)->read(w, buf_str(&text), ++w->lines);
	sasl_wipe(&text);
	return verdict;
}

struct str
sasl_watch_user(const struct sasl_watch *w)
{
	return str_from(w->user);
}

/* ---- base64 (RFC 4648 section 4) ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz0123456789+/";

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_encode(struct str in, struct buf *out)
{
	char *p = buf_reserve(out, (in.n + 2) / 3 * 4);
	size_t n = 0;

	if (p == NULL)
		return in.n == 0;
	for (size_t i = 0; i < in.n; i += 3) {
		uint32_t v = 0;

		for (size_t j = 0; j < 3; j++)
			v = v << 8 |
			    (i + j < in.n ? (unsigned char)in.p[i + j] : 0);
		p[n++] = alphabet[v >> 18];
		p[n++] = alphabet[v >> 12 & 63];
		p[n++] = i + 1 < in.n ? alphabet[v >> 6 & 63] : '=';
		p[n++] = i + 2 < in.n ? alphabet[v & 63] : '=';
	}
	buf_commit(out, n);
	return true;
}

/* How many characters are padding; 4: it is malformed. */
static size_t
padding(struct str in)
{
	size_t pad = 0;

	if (in.n % 4 != 0)
		return 4;
	while (pad < 2 && pad < in.n && in.p[in.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < in.n - pad; i++) {
		if (value_of(in.p[i]) < 0)
			return 4;
	}
	return pad;
}

bool
sasl_is_base64(struct str line)
{
	return str_eq(line, STR("=")) || padding(line) < 4;
}

static bool
is_base64_digit(char c)
{
	return str_is_alnum(c) || c == '+' || c == '/';
}

/* A word of a language has one capital, in front; a number of a server's has
 * letters of one case. */
static bool
looks_secret(struct str run)
{
	unsigned lower = 0, upper = 0, other = 0, humps = 0;

	if (run.n < HIDDEN_LEAST)
		return false;
	for (size_t i = 0; i < run.n; i++) {
		bool is_lower = run.p[i] >= 'a' && run.p[i] <= 'z';
		bool is_upper = run.p[i] >= 'A' && run.p[i] <= 'Z';

		humps += is_upper && i > 0 && run.p[i - 1] >= 'a';
		lower += is_lower;
		upper += is_upper;
		other += !is_lower && !is_upper;
	}
	return run.p[run.n - 1] == '=' ||
	       (lower > 0 && upper > 0 && (other > 0 || humps >= 2));
}

/* The front of it: base64 with its padding, or one byte. */
static struct str
next_run(struct str words)
{
	size_t n = 0, end;

	while (n < words.n && is_base64_digit(words.p[n]))
		n++;
	for (end = n; end < words.n && words.p[end] == '='; end++)
		;
	/* "name=value" is two. */
	if (n > 0 && (end == words.n || !is_base64_digit(words.p[end])))
		n = end;
	return str_sub(words, 0, n > 0 ? n : 1);
}

struct str
sasl_hide(struct str words, char *out, size_t cap)
{
	size_t n = 0;

	while (words.n > 0) {
		struct str run = next_run(words);

		words = str_sub(words, run.n, words.n);
		if (looks_secret(run))
			run = STR("...");
		if (run.n > cap - n)
			break;
		memcpy(out + n, run.p, run.n);
		n += run.n;
	}
	return (struct str){out, n};
}

bool
base64_decode(struct str in, struct buf *out)
{
	size_t pad = padding(in), n = 0;
	char *p;

	if (pad == 4)
		return false;
	if (in.n == 0)
		return true;
	p = buf_reserve(out, in.n / 4 * 3);
	if (p == NULL)
		return false;
	for (size_t i = 0; i < in.n; i += 4) {
		uint32_t v = 0;

		for (size_t j = 0; j < 4; j++)
			v = v << 6 | (in.p[i + j] == '='
					     ? 0
					     : (uint32_t)value_of(in.p[i + j]));
		p[n++] = (char)(v >> 16);
		p[n++] = (char)(v >> 8);
		p[n++] = (char)v;
	}
	buf_commit(out, n - pad);
	return true;
}
