/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hiredis allocates an array by the number that the server names, and a string
 * when all of it has come. So arrays are counted before they are made, and the
 * bytes since the last whole reply are.
 */
#include "share/resp.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 2050
#define DEPTH_MAX 7 /* of arrays in arrays; hiredis 1.0 has no bound */

struct resp {
	redisReader *reader;
	size_t pending;  /* bytes since the last whole reply */
	size_t elements; /* of the reply in hand */
	bool is_broken;
};

static const struct resp_value nil = {.type = RESP_NIL};

static void *
place(const redisReadTask *task, struct resp_value *v)
{
	if (task->parent != NULL) {
		struct resp_value *parent = task->parent->obj;

		parent->v[task->idx] = v;
	}
	return v;
}

static struct resp_value *
value_new(enum resp_type type)
{
	struct resp_value *v = xcalloc(1, sizeof(*v));

	v->type = type;
	return v;
}

static void *
make_string(const redisReadTask *task, char *p, size_t n)
{
	enum resp_type type = task->type == REDIS_REPLY_ERROR    ? RESP_ERROR
			      : task->type == REDIS_REPLY_STATUS ? RESP_STATUS
								 : RESP_STRING;
	struct resp_value *v = value_new(type);
	char *copy = xmalloc(n + 1);

	memcpy(copy, p, n);
	copy[n] = '\0';
	v->text = (struct str){copy, n};
	return place(task, v);
}

/* hiredis 1.0 has other numbers here, and more types. */
#if HIREDIS_MAJOR >= 1
typedef size_t count_type;
#else
typedef int count_type;
#endif

/* NULL is an error to hiredis. Below zero is more than there may be. */
static void *
make_array(const redisReadTask *task, count_type n)
{
	struct resp *r = task->privdata;
	size_t count = (size_t)n;
	struct resp_value *v;
	int depth = 0;

	for (const redisReadTask *t = task; t->parent != NULL; t = t->parent)
		depth++;
	if (depth > DEPTH_MAX)
		return NULL;
	if (count > RESP_ELEMENTS_MAX - r->elements)
		return NULL;
	r->elements += count;
	v = value_new(RESP_ARRAY);
	v->count = count;
	v->v = xcalloc(v->count + 1, sizeof(struct resp_value *));
	return place(task, v);
}

static void *
make_integer(const redisReadTask *task, long long n)
{
	struct resp_value *v = value_new(RESP_INTEGER);

	v->integer = n;
	return place(task, v);
}

static void *
make_nil(const redisReadTask *task)
{
	return place(task, value_new(RESP_NIL));
}

void
resp_value_free(struct resp_value *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->count; i++)
		resp_value_free(v->v[i]);
	free(v->v);
	free((char *)v->text.p);
	free(v);
}

static void
free_value(void *v)
{
	resp_value_free(v);
}

#if HIREDIS_MAJOR >= 1
/* Types of RESP3, which nobody asked for: errors. Without a function hiredis
 * would give a number in place of a pointer. */
static void *
refuse_double(const redisReadTask *task, double v, char *text, size_t n)
{
	(void)task;
	(void)v;
	(void)text;
	(void)n;
	return NULL;
}

static void *
refuse_bool(const redisReadTask *task, int v)
{
	(void)task;
	(void)v;
	return NULL;
}
#endif

static redisReplyObjectFunctions functions = {
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_value,
};

struct resp *
resp_new(void)
{
	struct resp *r = xcalloc(1, sizeof(*r));

	r->reader = redisReaderCreateWithFunctions(&functions);
	if (r->reader == NULL)
		panic("out of memory");
	r->reader->privdata = r;
	return r;
}

void
resp_free(struct resp *r)
{
	if (r == NULL)
		return;
	redisReaderFree(r->reader);
	free(r);
}

bool
resp_feed(struct resp *r, const char *p, size_t n)
{
	r->pending += n;
	if (r->is_broken || redisReaderFeed(r->reader, p, n) != REDIS_OK)
		r->is_broken = true;
	return !r->is_broken;
}

struct resp_value *
resp_next(struct resp *r)
{
	void *reply = NULL;

	if (r->is_broken)
		return NULL;
	if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
		r->is_broken = true;
		return NULL;
	}
	if (reply != NULL) {
		/* What is left belongs to the next one. */
		r->pending = r->reader->len - r->reader->pos;
		r->elements = 0;
	} else if (r->pending > RESP_REPLY_MAX) {
		r->is_broken = true;
	}
	return reply;
}

bool
resp_is_broken(const struct resp *r)
{
	return r->is_broken;
}

const struct resp_value *
resp_at(const struct resp_value *v, size_t i)
{
	return v != NULL && i < v->count ? v->v[i] : &nil;
}

struct str
resp_text(const struct resp_value *v)
{
	if (v == NULL || (v->type != RESP_STRING && v->type != RESP_STATUS))
		return STR("");
	return v->text;
}

bool
resp_is_error(const struct resp_value *v, const char *word)
{
	return v->type == RESP_ERROR && str_starts(v->text, str_from(word));
}

bool
resp_command(struct buf *out, const struct str *args, size_t count)
{
	const char *v[ARGS_MAX];
	size_t n[ARGS_MAX];
	char *text = NULL;
	bool ok;
	int len;

	if (count > ARGS_MAX)
		panic("resp: a command of %zu words", count);
	for (size_t i = 0; i < count; i++) {
		v[i] = args[i].n > 0 ? args[i].p : "";
		n[i] = args[i].n;
	}
	len = redisFormatCommandArgv(&text, (int)count, v, n);
	if (len < 0)
		panic("out of memory");
	ok = (size_t)len <= RESP_COMMAND_MAX &&
	     buf_append(out, text, (size_t)len);
	explicit_bzero(text, (size_t)len);
	redisFreeCommand(text);
	return ok;
}
