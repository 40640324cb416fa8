/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what weir-log(5) has of the log's table: the events of each part
 * (--events), or the keys (--keys). Used by the build alone.
 */
#include "os/log.h"

#include <stdio.h>
#include <string.h>

static void
print_event(const struct log_event *e)
{
	struct str keys = str_from(e->keys);

	printf(".It Sy %s Pq Em %s\n", e->name, log_level_name[e->level]);
	printf("%s.\n", e->doc);
	if (keys.n > 0)
		printf(".br\n");
	while (keys.n > 0) {
		struct str key = str_cut(&keys, ' ');

		printf(".Va %.*s\n", STR_ARG(key));
	}
}

static void
print_events(void)
{
	for (const struct log_part *p = log_parts; p->name != NULL; p++) {
		printf(".Ss %s\n%s.\nLogged by %s.\n", p->name, p->doc,
		    p->program);
		printf(".Bl -tag -width indent\n");
		for (size_t i = 0; i < LOG_EV_MAX; i++) {
			struct str event = str_from(log_events[i].name);

			if (str_eq(str_cut(&event, ' '), str_from(p->name)))
				print_event(&log_events[i]);
		}
		printf(".El\n");
	}
}

static void
print_keys(void)
{
	static const char *const kinds[] = {
	    [LOG_KIND_TEXT] = "",
	    [LOG_KIND_NUMBER] = " (number)",
	    [LOG_KIND_MS] = " (milliseconds)",
	    [LOG_KIND_BYTES] = " (bytes)",
	    [LOG_KIND_TIME] = " (time)",
	    [LOG_KIND_YESNO] = " (yes or no)",
	};

	printf(".Bl -tag -width protocol_state\n");
	for (size_t i = LOG_KEY_NONE + 1; i < LOG_KEY_MAX; i++)
		printf(".It Va %s\n%s%s.\n", log_keys[i].name, log_keys[i].doc,
		    kinds[log_keys[i].kind]);
	printf(".El\n");
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--events") == 0) {
		print_events();
	} else if (argc == 2 && strcmp(argv[1], "--keys") == 0) {
		print_keys();
	} else {
		fprintf(stderr, "usage: weir-log-doc --events | --keys\n");
		return 64;
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
