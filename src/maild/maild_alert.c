/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What freeze_command is told beside the bare freeze: from where the sender's
 * held mail came, and samples of its subjects, decoded, each in quotes. Both
 * are from strangers: escaped, few and short. The spool is asked first; where
 * it does not answer the command runs without them.
 */
#include "maild/maild_internal.h"

#include "base/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MAX 100 /* of its messages, the oldest */
#define CLIENTS_MAX 5
#define SUBJECTS_MAX 3
#define SHOWN_MAX 120 /* bytes of a subject */
#define TEXT_MAX 1024

struct maild_alert {
	struct list entry;
	struct maild *m;
	char *sender, *policy, *reason;
	struct gate_freeze freeze; /* with these */
};

static void
alert_free(struct maild_alert *a)
{
	list_remove(&a->entry);
	free(a->sender);
	free(a->policy);
	free(a->reason);
	free(a);
}

/* "one; two", each once. */
struct samples {
	const char *seen[CLIENTS_MAX];
	size_t count, max, used;
	char text[TEXT_MAX];
};

/* key: what makes it another one; borrowed for as long as the samples are. */
static void
add(struct samples *s, const char *key, const char *quote, struct str text)
{
	char shown[SHOWN_MAX];

	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->seen[i], key) == 0)
			return;
	}
	if (s->count == s->max)
		return;
	/* As many as there may be have room. */
	s->used += (size_t)snprintf(s->text + s->used, TEXT_MAX - s->used,
	    "%s%s%s%s", s->count > 0 ? "; " : "", quote,
	    str_escape(text, shown, sizeof(shown)), quote);
	s->seen[s->count++] = key;
}

static void
run(struct maild_alert *a, const char *clients, const char *subjects)
{
	struct maild *m = a->m;

	hook_run(m->hook, m->gen->conf->freeze_command,
	    &(struct hook_freeze){.sender = a->sender,
		.policy = a->policy,
		.reason = a->reason,
		.queue_length = a->freeze.queue_length,
		.freeze_at = a->freeze.freeze_at,
		.at = a->freeze.at,
		.passed = a->freeze.passed,
		.clients = clients,
		.subjects = subjects});
}

/* The latest first. */
static void
on_mail(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct maild_alert *a = arg;
	struct samples clients = {.max = CLIENTS_MAX};
	struct samples subjects = {.max = SUBJECTS_MAX};
	char *text;

	while (error == 0 && n-- > 0) {
		const struct spool_message *m = &messages[n];

		if (m->client[0] != '\0')
			add(&clients, m->client, "", str_from(m->client));
		if (m->subject == NULL)
			continue;
		text = header_decode(str_from(m->subject));
		add(&subjects, m->subject, "\"", str_from(text));
		free(text);
	}
	run(a, clients.text, subjects.text);
	alert_free(a);
}

void
maild_alert(struct maild *m, const struct gate_freeze *freeze)
{
	struct maild_alert *a;
	struct spool_select select = {.source = freeze->sender};

	if (m->gen->conf->freeze_command == NULL)
		return;
	a = xcalloc(1, sizeof(*a));
	a->m = m;
	a->sender = xstrdup(freeze->sender);
	a->policy = xstrdup(freeze->policy);
	a->reason = xstrdup(freeze->reason);
	a->freeze = *freeze;
	list_append(&m->alerts, &a->entry);
	spool_list(m->spool, &select, 0, LOOK_MAX, on_mail, a);
}

void
maild_alert_clear(struct maild *m)
{
	if (m->alerts.next == NULL) /* the start did not come so far */
		return;
	while (!list_is_empty(&m->alerts))
		alert_free(
		    LIST_ITEM(m->alerts.next, struct maild_alert, entry));
}
