/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main of the programs that write what documents a configuration file.
 */
#include "os/options_doc.h"

#include <stdio.h>
#include <string.h>

#define OUT_MAX (1u << 20)

/* mdoc wants each sentence on a line of its own. */
static bool
break_sentences(struct str s, struct buf *out)
{
	bool in_macro = false, ok = true;

	for (size_t i = 0; ok && i < s.n; i++) {
		bool at_start = i == 0 || s.p[i - 1] == '\n';

		if (at_start)
			in_macro = s.p[i] == '.';
		if (!in_macro && !at_start && s.p[i] == ' ' &&
		    s.p[i - 1] == '.')
			ok = buf_append(out, "\n", 1);
		else
			ok = buf_append(out, s.p + i, 1);
	}
	return ok;
}

static bool
print_mdoc(const struct option_schema *schema, struct buf *out)
{
	struct buf text;
	bool ok;

	buf_init(&text, OUT_MAX);
	ok = options_print_mdoc(schema, &text) &&
	     break_sentences(buf_str(&text), out);
	buf_clear(&text);
	return ok;
}

static bool
print(const char *what, const struct option_schema *schema,
    const char *sample_head, struct buf *out)
{
	if (strcmp(what, "--mdoc") == 0)
		return print_mdoc(schema, out);
	if (strcmp(what, "--sample") == 0)
		return buf_append_str(out, str_from(sample_head)) &&
		       options_print_sample(schema, out);
	return false;
}

int
options_doc_main(int argc, char **argv, const struct option_schema *schema,
    const char *sample_head)
{
	struct buf out;
	bool ok = false;

	buf_init(&out, OUT_MAX);
	if (argc == 2 && print(argv[1], schema, sample_head, &out))
		ok = fwrite(buf_str(&out).p, 1, out.len, stdout) == out.len &&
		     fflush(stdout) == 0;
	else
		fprintf(stderr, "usage: %s --mdoc | --sample\n", argv[0]);
	buf_clear(&out);
	return ok ? 0 : 1;
}
