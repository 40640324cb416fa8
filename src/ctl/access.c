/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * token and user: who may come by HTTP. A password is never on the command
 * line, where others see it: it is asked for, or read from standard input.
 */
#include "ctl/ctl.h"
#include "ctl/table.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_MAX 1024

static enum ctl_status
usage(const struct ctl *ctl)
{
	ctl_error(
	    "usage: weirctl %s %s", ctl->command->name, ctl->command->usage);
	return CTL_USAGE;
}

static bool
is_verb(const struct ctl *ctl, const char *verb, int words)
{
	return strcmp(ctl->words[0], verb) == 0 && ctl->word_count == words;
}

/* ---- lists ---- */

static const struct table_column columns[] = {
    {.title = "ID", .keep = true, .whole = true},
    {.title = "NAME"},
    {.title = "RIGHT", .keep = true},
    {.title = "DOMAIN"},
    {.title = "NETWORKS"},
    {.title = "EXPIRES", .keep = true},
    {.title = "LAST USED", .keep = true},
};

static void
on_row(void *arg, const char *kind, const json_t *row)
{
	static const char *const names[] = {
	    "id", "name", "right", "domain", NULL, "expires", "last_used"};
	const char *cells[ARRAY_LEN(columns)];
	const json_t *nets = json_object_get(row, "networks");
	char list[400];
	size_t n = 0;

	(void)kind;
	list[0] = '\0';
	for (size_t i = 0; i < json_array_size(nets) && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s",
		    i > 0 ? "," : "",
		    json_string_value(json_array_get(nets, i)));
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		cells[i] = names[i] != NULL ? ctl_text(row, names[i]) : list;
		if (*cells[i] == '\0')
			cells[i] = "-";
	}
	table_add(arg, cells);
}

static enum ctl_status
list(struct ctl *ctl, const char *command, const char *none)
{
	json_t *request = ctl_request(ctl, command);
	enum ctl_status status;
	struct table t;

	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	table_init(&t, columns, ARRAY_LEN(columns), text_columns());
	status = ctl_ask(ctl, request, on_row, &t, NULL);
	table_finish(&t, status == CTL_OK ? none : NULL);
	return status;
}

/* ---- changes ---- */

/* Asks; says that it was done. */
static enum ctl_status
change(struct ctl *ctl, json_t *request, const char *what, const char *name)
{
	enum ctl_status status = ctl_ask(ctl, request, NULL, NULL, NULL);
	char *safe = text_safe(str_from(name), 0);

	if (status == CTL_OK && ctl->json)
		printf("{}\n");
	else if (status == CTL_OK)
		printf("%s: %s\n", what, safe);
	free(safe);
	return status;
}

static json_t *
named(const struct ctl *ctl, const char *command)
{
	json_t *request = ctl_request(ctl, command);

	json_object_set_new(request, "name", json_string(ctl->words[1]));
	return request;
}

static void
on_token(void *arg, const char *kind, const json_t *row)
{
	(void)arg;
	(void)kind;
	printf("%s\n", ctl_text(row, "token"));
	fflush(stdout);
	if (isatty(STDERR_FILENO))
		fprintf(stderr,
		    "This is shown once. Its id is %s; weirctl token revoke %s "
		    "ends it.\n",
		    ctl_text(row, "id"), ctl_text(row, "id"));
}

static enum ctl_status
new_token(struct ctl *ctl)
{
	json_t *request = named(ctl, "token_new");
	struct str rest = str_from(ctl->networks);
	json_t *nets = json_array();

	if (ctl->right == NULL)
		json_object_set_new(request, "right", json_string("view"));
	while (rest.n > 0) {
		struct str net = str_trim(str_cut(&rest, ','));

		json_array_append_new(nets, json_stringn(net.p, net.n));
	}
	if (json_array_size(nets) > 0)
		json_object_set(request, "networks", nets);
	json_decref(nets);
	if (ctl->json)
		return ctl_ask_json_one(ctl, request);
	return ctl_ask(ctl, request, on_token, NULL, NULL);
}

enum ctl_status
ctl_token(struct ctl *ctl)
{
	if (is_verb(ctl, "list", 1))
		return list(ctl, "tokens", "no tokens");
	if (is_verb(ctl, "new", 2))
		return new_token(ctl);
	if (is_verb(ctl, "revoke", 2))
		return change(
		    ctl, named(ctl, "token_revoke"), "revoked", ctl->words[1]);
	return usage(ctl);
}

/* A line without its end. False: there is none. */
static bool
read_password(const char *prompt, char out[PASSWORD_MAX])
{
	struct termios was = {0}, quiet;
	bool is_tty =
	    isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &was) == 0;
	bool ok;

	if (is_tty) {
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
		fprintf(stderr, "%s: ", prompt);
	}
	ok = fgets(out, PASSWORD_MAX, stdin) != NULL;
	if (is_tty) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
		fprintf(stderr, "\n");
	}
	if (ok)
		out[strcspn(out, "\n")] = '\0';
	return ok;
}

static enum ctl_status
set_user(struct ctl *ctl)
{
	char password[PASSWORD_MAX], again[PASSWORD_MAX];
	json_t *request;
	enum ctl_status status = CTL_USAGE;

	if (!read_password("Password", password)) {
		ctl_error("no password given");
		return CTL_USAGE;
	}
	if (isatty(STDIN_FILENO) &&
	    (!read_password("Again", again) || strcmp(password, again) != 0)) {
		ctl_error("the two passwords differ");
	} else {
		request = named(ctl, "user_set");
		if (ctl->right == NULL)
			json_object_set_new(
			    request, "right", json_string("view"));
		json_object_set_new(request, "password", json_string(password));
		status = change(ctl, request, "user", ctl->words[1]);
	}
	explicit_bzero(password, sizeof(password));
	explicit_bzero(again, sizeof(again));
	return status;
}

enum ctl_status
ctl_user(struct ctl *ctl)
{
	if (is_verb(ctl, "list", 1))
		return list(ctl, "users", "no users");
	if (is_verb(ctl, "set", 2))
		return set_user(ctl);
	if (is_verb(ctl, "remove", 2))
		return change(
		    ctl, named(ctl, "user_remove"), "removed", ctl->words[1]);
	return usage(ctl);
}
