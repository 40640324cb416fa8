/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what documents weir.conf from the options table: the options of the
 * manual page (--mdoc) or the sample file (--sample). Used by the build alone.
 */
#include "config.h"

#include "maild/maild_config.h"

#include <stdio.h>
#include <string.h>

#define OUT_MAX (1u << 20)

static const char sample_head[] =
    "# weir.conf: configuration of weir-maild, see weir.conf(5).\n"
    "# Lines that begin with # show the default, or an example where there\n"
    "# is none. Check a change with: weir-maild -t -c FILE\n\n";

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
print_mdoc(struct buf *out)
{
	struct buf text;
	bool ok;

	buf_init(&text, OUT_MAX);
	ok = options_print_mdoc(&maild_schema, &text) &&
	     break_sentences(buf_str(&text), out);
	buf_clear(&text);
	return ok;
}

static bool
print(const char *what, struct buf *out)
{
	if (strcmp(what, "--mdoc") == 0)
		return print_mdoc(out);
	if (strcmp(what, "--sample") == 0)
		return buf_append_str(out, str_from(sample_head)) &&
		       options_print_sample(&maild_schema, out);
	return false;
}

int
main(int argc, char **argv)
{
	struct buf out;
	bool ok = false;

	buf_init(&out, OUT_MAX);
	if (argc == 2 && print(argv[1], &out))
		ok = fwrite(buf_str(&out).p, 1, out.len, stdout) == out.len &&
		     fflush(stdout) == 0;
	else
		fprintf(stderr, "usage: weir-conf-doc --mdoc | --sample\n");
	buf_clear(&out);
	return ok ? 0 : 1;
}
