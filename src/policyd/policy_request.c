/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A byte at a time, so that fragments need no memory of their own. The first
 * '=' ends the name; what comes after it is value, further '=' included. An
 * attribute that comes twice counts as the last one, as with Postfix.
 */
#include "policyd/policy_request.h"

#include <string.h>

#define FIELD(f)                                               \
	{                                                      \
#f, offsetof(struct policy_request, f),        \
		    sizeof(((struct policy_request *)NULL)->f) \
	}

static const struct field {
	const char *name;
	size_t offset, cap;
} fields[] = {
    FIELD(request),
    FIELD(protocol_state),
    FIELD(client_address),
    FIELD(helo_name),
    FIELD(sender),
    FIELD(recipient),
    FIELD(instance),
    FIELD(sasl_username),
};

void
policy_parser_init(struct policy_parser *p)
{
	*p = (struct policy_parser){0};
}

static const struct field *
find_field(const struct policy_parser *p)
{
	if (p->name_long)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (strlen(fields[i].name) == p->name_n &&
		    memcmp(fields[i].name, p->name, p->name_n) == 0)
			return &fields[i];
	}
	return NULL;
}

static void
begin_value(struct policy_parser *p)
{
	const struct field *f = find_field(p);

	p->in_value = true;
	p->value_n = 0;
	if (f != NULL)
		memset((char *)&p->request + f->offset, 0, f->cap);
}

static void
add_name(struct policy_parser *p, char c)
{
	if (p->name_n < sizeof(p->name))
		p->name[p->name_n++] = c;
	else
		p->name_long = true;
}

static void
add_value(struct policy_parser *p, char c)
{
	const struct field *f = find_field(p);

	if (f == NULL)
		return;
	if (p->value_n + 1 < f->cap)
		((char *)&p->request + f->offset)[p->value_n++] = c;
	else if (f->offset != offsetof(struct policy_request, helo_name))
		p->request.cut = true; /* nothing is decided by HELO */
}

static void
end_line(struct policy_parser *p)
{
	p->in_value = p->name_long = false;
	p->name_n = p->value_n = 0;
}

enum policy_parse
policy_parse(struct policy_parser *p, struct str *in)
{
	while (in->n > 0) {
		char c = in->p[0];

		*in = str_sub(*in, 1, in->n);
		if (c == '\0' || ++p->size > POLICY_REQUEST_MAX)
			return POLICY_BAD;
		if (c == '\n' && !p->in_value)
			return p->name_n == 0 ? POLICY_DONE : POLICY_BAD;
		if (c == '\n')
			end_line(p);
		else if (p->in_value)
			add_value(p, c);
		else if (c == '=')
			begin_value(p);
		else
			add_name(p, c);
	}
	return POLICY_MORE;
}
