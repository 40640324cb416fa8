/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Body files. bodies/<id>.tmp while it is written, bodies/<id> afterwards.
 *
 * Crash windows:
 *
 *	before the rename	a .tmp file, removed at the next start.
 *	renamed, not committed	a file that no row names; the same. Whoever
 *				sent the message was not told that it is safe.
 *	the row is committed	fsync of the file, rename and fsync of the
 *				directory came before, in that order: the file
 *				is there, whole, under its name.
 *	row gone, file there	the removal was committed, the unlink had not
 *				happened or did not last; removed at the next
 *				start.
 *
 * After a failed fsync the pages count as written although they are not, so it
 * is never tried again: the file is given up, and the put fails.
 */
#include "spool/filer.h"

#include "os/clock.h"
#include "os/file.h"
#include "spool/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_MAX 64
#define BATCH_COST_MAX (1 << 20)
#define WAIT_MS 60000

struct filer {
	struct spool *spool;
	struct queue queue;
	pthread_t thread;
};

struct remove_op {
	struct op op;
	uint64_t id;
};

struct body_file *
filer_file_new(uint64_t id)
{
	struct body_file *file = xcalloc(1, sizeof(*file));

	file->id = id;
	file->fd = -1;
	return file;
}

static int
open_temporary(struct filer *f, struct body_file *file)
{
	char *path = core_body_path(f->spool, file->id, true);

	do
		file->fd = open(path,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	while (file->fd < 0 && errno == EINTR);
	if (file->fd < 0)
		file->error = errno;
	free(path);
	return file->error;
}

int
filer_write(struct filer *f, struct body_file *file, const void *p, size_t n)
{
	if (file->error == 0 && file->fd < 0)
		open_temporary(f, file);
	if (file->error == 0)
		file->error = file_write_all(file->fd, p, n);
	file->size += n;
	return file->error;
}

static void
remove_path(struct filer *f, uint64_t id, bool temporary)
{
	char *path = core_body_path(f->spool, id, temporary);

	if (unlink(path) != 0 && errno != ENOENT)
		log_write(f->spool->log, LOG_EV_SPOOL_UNLINK_FAILED,
		    KV(file, path), KV(error, strerror(errno)));
	free(path);
}

void
filer_abort(struct filer *f, struct body_file *file)
{
	if (file->fd >= 0) {
		close(file->fd);
		remove_path(f, file->id, true);
	}
	free(file);
}

static int
sync_and_rename(struct filer *f, struct body_file *file)
{
	char *from = core_body_path(f->spool, file->id, true);
	char *to = core_body_path(f->spool, file->id, false);
	int err = file->error;

	if (err == 0 && file->fd < 0)
		err = open_temporary(f, file);
	if (err == 0)
		err = file_sync(file->fd);
	if (err == 0 && rename(from, to) != 0)
		err = errno;
	free(from);
	free(to);
	return err;
}

int
filer_seal(struct filer *f, struct body_file *file)
{
	int err = sync_and_rename(f, file);

	if (err != 0) {
		char id[SPOOL_ID_TEXT];

		log_write(f->spool->log, LOG_EV_SPOOL_BODY_FILE_FAILED,
		    KV(id, spool_id_format(file->id, id)),
		    KV(error, strerror(err)));
		atomic_fetch_add(&f->spool->errors, 1);
		filer_abort(f, file);
		return err;
	}
	close(file->fd);
	free(file);
	return 0;
}

/* Sealed puts go on only when their names are safe. */
static void
hand_on(struct filer *f, struct list *sealed)
{
	struct list *e, *tmp;
	int err;

	if (list_is_empty(sealed))
		return;
	err = file_sync_dir(f->spool->bodies);
	if (err != 0)
		atomic_fetch_add(&f->spool->errors, 1);
	list_each_safe (e, tmp, sealed) {
		struct op *op = LIST_ITEM(e, struct op, entry);

		list_remove(e);
		op->error = err;
		if (err == 0) {
			writer_put(f->spool->writer, op);
			continue;
		}
		if (op->type->failed != NULL)
			op->type->failed(f->spool, op, false);
		done_put(&f->spool->done, op);
	}
}

static void
run_batch(struct filer *f, struct list *batch)
{
	struct list sealed, *e;

	list_init(&sealed);
	while (!list_is_empty(batch)) {
		struct op *op;

		e = batch->next;
		op = LIST_ITEM(e, struct op, entry);
		list_remove(e);
		op->type->file(f, op);
		if (op->type->run != NULL && op->error == 0)
			list_append(&sealed, e);
		else if (op->type->finish != NULL)
			done_put(&f->spool->done, op);
		else
			core_free(op);
	}
	hand_on(f, &sealed);
}

static void *
filer_main(void *arg)
{
	struct filer *f = arg;
	struct list batch;

	list_init(&batch);
	while (queue_take(&f->queue, &batch, BATCH_MAX, BATCH_COST_MAX,
	    clock_mono_ms() + WAIT_MS))
		run_batch(f, &batch);
	return NULL;
}

int
filer_start(struct spool *s)
{
	struct filer *f = xcalloc(1, sizeof(*f));
	sigset_t all, was;
	int err;

	f->spool = s;
	queue_init(&f->queue);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	err = pthread_create(&f->thread, NULL, filer_main, f);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (err != 0) {
		queue_clear(&f->queue);
		free(f);
		return err;
	}
	s->filer = f;
	return 0;
}

void
filer_put(struct filer *f, struct op *op)
{
	queue_put(&f->queue, op);
}

static void
remove_file(struct filer *f, struct op *op)
{
	remove_path(f, CONTAINER_OF(op, struct remove_op, op)->id, false);
}

static const struct op_type remove_type = {
    .name = "remove", .file = remove_file};

void
filer_remove(struct filer *f, uint64_t id)
{
	struct remove_op *r = xcalloc(1, sizeof(*r));

	r->op.type = &remove_type;
	r->id = id;
	filer_put(f, &r->op);
}

void
filer_stop(struct filer *f)
{
	queue_stop(&f->queue);
	pthread_join(f->thread, NULL);
	queue_clear(&f->queue);
	free(f);
}
