/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parameters of MAIL and RCPT: one table that says which there are, what
 * extension must have been advertised for each, and who reads its value.
 * Slices in the results borrow from the command line.
 */
#include "smtp/server_impl.h"

struct target { /* what is filled, one of both */
	const struct smtp_server *s;
	struct smtp_mail *mail;
	struct smtp_rcpt *rcpt;
	struct smtp_reply *error;
};

enum param_verb { PARAM_MAIL, PARAM_RCPT };

struct param {
	struct str name;
	enum param_verb verb;
	enum smtp_ext ext;
	bool has_value;
	/* False: *t->error was set, or the value is malformed. */
	bool (*read)(struct target *t, struct str value);
};

/* RFC 3461 section 4: printable characters but '+' and '=', or "+HH". What the
 * latter stands for must be no control character: it ends up in a bounce's
 * header. A byte of UTF-8 it may be: Postfix writes those so in ORCPT. Digits
 * in small letters are taken, too; the client engine writes capitals. */
static bool
is_xtext(struct str s, bool utf8)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		int high, low;

		if (c <= ' ' || c == '=' || c == 0x7F || (c > 0x7F && !utf8))
			return false;
		if (c != '+')
			continue;
		high = i + 1 < s.n ? str_hex_digit(s.p[i + 1]) : -1;
		low = i + 2 < s.n ? str_hex_digit(s.p[i + 2]) : -1;
		if (high < 2 || low < 0 || (high == 7 && low == 15))
			return false;
		i += 2;
	}
	return s.n > 0;
}

static bool
read_size(struct target *t, struct str value)
{
	uint64_t max = (t->s->caps.ext & SMTP_EXT_SIZE) != 0
			   ? t->s->caps.size
			   : t->s->limits->data.size_max;

	if (!str_to_u64(value, &t->mail->size))
		return false;
	if (max == 0 || t->mail->size <= max)
		return true;
	*t->error =
	    smtp_reply_make(552, "5.3.4", "message size exceeds the limit");
	return false;
}

static bool
read_body(struct target *t, struct str value)
{
	if (str_ieq(value, STR("7BIT")))
		t->mail->body = SMTP_BODY_7BIT;
	else if (str_ieq(value, STR("8BITMIME")))
		t->mail->body = SMTP_BODY_8BITMIME;
	else
		return false;
	/* After HELO: nobody has said that the next hop takes it. */
	if ((t->s->caps.ext & SMTP_EXT_8BITMIME) == 0)
		t->mail->body = SMTP_BODY_NONE;
	return true;
}

static bool
read_utf8(struct target *t, struct str value)
{
	(void)value;
	t->mail->utf8 = true;
	return true;
}

static bool
read_require_tls(struct target *t, struct str value)
{
	(void)value;
	t->mail->require_tls = true;
	return true;
}

static bool
read_ret(struct target *t, struct str value)
{
	if (str_ieq(value, STR("FULL")))
		t->mail->ret = SMTP_RET_FULL;
	else if (str_ieq(value, STR("HDRS")))
		t->mail->ret = SMTP_RET_HDRS;
	return t->mail->ret != SMTP_RET_NONE;
}

static bool
read_envid(struct target *t, struct str value)
{
	t->mail->envid = value;
	return value.n <= SMTP_ENVID_MAX && is_xtext(value, false);
}

static unsigned
notify_bit(struct str word)
{
	if (str_ieq(word, STR("SUCCESS")))
		return SMTP_NOTIFY_SUCCESS;
	if (str_ieq(word, STR("FAILURE")))
		return SMTP_NOTIFY_FAILURE;
	if (str_ieq(word, STR("DELAY")))
		return SMTP_NOTIFY_DELAY;
	return 0;
}

static bool
read_notify(struct target *t, struct str value)
{
	bool more = true;

	if (str_ieq(value, STR("NEVER"))) {
		t->rcpt->notify = SMTP_NOTIFY_NEVER;
		return true;
	}
	while (more) {
		more = str_index(value, ',') < value.n;
		unsigned bit = notify_bit(str_cut(&value, ','));

		if (bit == 0)
			return false;
		t->rcpt->notify |= bit;
	}
	return true;
}

static bool
is_atom(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = (char)(s.p[i] | 0x20);

		if ((c < 'a' || c > 'z') && (s.p[i] < '0' || s.p[i] > '9') &&
		    s.p[i] != '-')
			return false;
	}
	return s.n > 0;
}

/* "rfc822;" and xtext; "utf-8;" as RFC 6533 section 3 writes it fits the same
 * characters, and raw UTF-8 comes with SMTPUTF8 alone. */
static bool
read_orcpt(struct target *t, struct str value)
{
	struct str text = value;
	struct str type = str_cut(&text, ';');

	t->rcpt->orcpt = value;
	return value.n <= SMTP_ORCPT_MAX && is_atom(type) &&
	       is_xtext(text, t->s->utf8) && str_is_shown(text);
}

/*
 * RFC 4954 section 5: who advertises AUTH must take it, logged in or not. What
 * it claims is believed of nobody, as if it were "<>": it is checked, and goes
 * no further.
 */
static bool
read_auth(struct target *t, struct str value)
{
	(void)t;
	return value.n <= SMTP_AUTH_MAX && is_xtext(value, false);
}

static const struct param params[] = {
    {STR("SIZE"), PARAM_MAIL, SMTP_EXT_SIZE, true, read_size},
    {STR("BODY"), PARAM_MAIL, SMTP_EXT_8BITMIME, true, read_body},
    {STR("SMTPUTF8"), PARAM_MAIL, SMTP_EXT_SMTPUTF8, false, read_utf8},
    {STR("REQUIRETLS"), PARAM_MAIL, SMTP_EXT_REQUIRETLS, false,
	read_require_tls},
    {STR("AUTH"), PARAM_MAIL, SMTP_EXT_AUTH, true, read_auth},
    {STR("RET"), PARAM_MAIL, SMTP_EXT_DSN, true, read_ret},
    {STR("ENVID"), PARAM_MAIL, SMTP_EXT_DSN, true, read_envid},
    {STR("NOTIFY"), PARAM_RCPT, SMTP_EXT_DSN, true, read_notify},
    {STR("ORCPT"), PARAM_RCPT, SMTP_EXT_DSN, true, read_orcpt},
};

static const struct param *
find_param(const struct smtp_server *s, enum param_verb verb, struct str name)
{
	uint32_t ext = s->caps.ext;

	/* Where a login was taken AUTH is offered no more. */
	if (s->authenticated)
		ext |= SMTP_EXT_AUTH;
	if (s->limits->lenient && !s->esmtp)
		ext |= SMTP_EXT_SIZE | SMTP_EXT_8BITMIME;
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		if (params[i].verb == verb && (ext & params[i].ext) &&
		    str_ieq(name, params[i].name))
			return &params[i];
	}
	return NULL;
}

/* One "NAME" or "NAME=value". seen: a bit for each row of the table. */
static bool
read_param(
    struct target *t, enum param_verb verb, struct str word, unsigned *seen)
{
	bool has_value = str_index(word, '=') < word.n;
	struct str name = str_cut(&word, '=');
	const struct param *p = find_param(t->s, verb, name);
	unsigned bit;

	if (p == NULL) {
		*t->error = smtp_reply_make(
		    555, "5.5.4", "parameter not recognized or not offered");
		return false;
	}
	bit = 1u << (p - params);
	*t->error = smtp_reply_make(501, "5.5.4",
	    (*seen & bit) ? "duplicate parameter"
			  : "malformed parameter value");
	if ((*seen & bit) || has_value != p->has_value)
		return false;
	*seen |= bit;
	return p->read(t, word);
}

static bool
read_params(struct target *t, enum param_verb verb, struct str text)
{
	unsigned seen = 0;

	for (;;) {
		size_t n = 0;

		text = str_trim(text);
		while (n < text.n && text.p[n] != ' ' && text.p[n] != '\t')
			n++;
		if (n == 0)
			return true;
		if (!read_param(t, verb, str_sub(text, 0, n), &seen))
			return false;
		text = str_sub(text, n, text.n);
	}
}

bool
smtp_server_mail_params(const struct smtp_server *s, struct str text,
    struct smtp_mail *mail, struct smtp_reply *error)
{
	struct target t = {.s = s, .mail = mail, .error = error};

	return read_params(&t, PARAM_MAIL, text);
}

bool
smtp_server_rcpt_params(const struct smtp_server *s, struct str text,
    struct smtp_rcpt *rcpt, struct smtp_reply *error)
{
	struct target t = {.s = s, .rcpt = rcpt, .error = error};

	return read_params(&t, PARAM_RCPT, text);
}
