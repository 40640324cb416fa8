/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VFS on top of the default one. Every file is the real one with a header in
 * front; only what changes files is looked at, the rest is passed on.
 */
#include "fault_vfs.h"

#include "base/base.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

struct fault_file {
	sqlite3_file base;
	int flags; /* as it was opened */
	sqlite3_file *real;
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	atomic_long left;
	atomic_int code;
	atomic_bool forever, only_database, hit;
} fault;

enum kind { KIND_WRITE, KIND_OTHER };

static bool
is_hit(enum kind kind, int flags)
{
	int code = atomic_load(&fault.code);
	long left;

	if (code == SQLITE_OK || (flags & SQLITE_OPEN_READONLY) != 0 ||
	    (code == SQLITE_FULL && kind != KIND_WRITE) ||
	    (atomic_load(&fault.only_database) &&
		(flags & SQLITE_OPEN_MAIN_DB) == 0))
		return false;
	left = atomic_fetch_sub(&fault.left, 1);
	if (left != 1 && !(left < 1 && atomic_load(&fault.forever)))
		return false;
	atomic_store(&fault.hit, true);
	return true;
}

static sqlite3_file *
real_of(sqlite3_file *f)
{
	return ((struct fault_file *)f)->real;
}

static int
flags_of(sqlite3_file *f)
{
	return ((struct fault_file *)f)->flags;
}

static int
fault_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int
fault_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int
fault_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (is_hit(KIND_WRITE, flags_of(f)))
		return atomic_load(&fault.code) == SQLITE_FULL
			   ? SQLITE_FULL
			   : SQLITE_IOERR_WRITE;
	return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}

static int
fault_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	if (is_hit(KIND_OTHER, flags_of(f)))
		return SQLITE_IOERR_TRUNCATE;
	return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

/* Without the real one: a crash is a copy of the directory, which has what was
 * written whether it was synced or not, and that is the worse case. */
static int
fault_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	return is_hit(KIND_OTHER, flags_of(f)) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int
fault_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int
fault_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int
fault_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int
fault_reserved(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int
fault_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int
fault_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int
fault_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int
fault_shm_map(
    sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real_of(f)->pMethods->xShmMap(
	    real_of(f), page, size, extend, out);
}

static int
fault_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void
fault_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int
fault_shm_unmap(sqlite3_file *f, int delete)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_reserved,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_traits,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int
fault_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
    int *out)
{
	struct fault_file *ff = (struct fault_file *)f;
	int rc;

	(void)vfs;
	memset(ff, 0, sizeof(*ff));
	if (is_hit(KIND_OTHER, flags))
		return SQLITE_CANTOPEN;
	ff->real = (sqlite3_file *)&ff[1];
	ff->flags = flags;
	rc = fault.real->xOpen(fault.real, name, ff->real, flags, out);
	if (rc == SQLITE_OK)
		ff->base.pMethods = &methods;
	return rc;
}

static int
fault_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	if (is_hit(KIND_OTHER, 0))
		return SQLITE_IOERR_DELETE;
	return fault.real->xDelete(fault.real, name, sync);
}

void
fault_vfs_install(void)
{
	fault.real = sqlite3_vfs_find(NULL);
	fault.vfs = *fault.real;
	fault.vfs.zName = "fault";
	fault.vfs.szOsFile =
	    fault.real->szOsFile + (int)sizeof(struct fault_file);
	fault.vfs.pNext = NULL;
	fault.vfs.xOpen = fault_open;
	fault.vfs.xDelete = fault_delete;
	if (sqlite3_vfs_register(&fault.vfs, 1) != SQLITE_OK)
		panic("no fault VFS");
}

void
fault_vfs_set(long n, int code, bool forever, bool only_database)
{
	atomic_store(&fault.left, n);
	atomic_store(&fault.hit, false);
	atomic_store(&fault.forever, forever);
	atomic_store(&fault.only_database, only_database);
	atomic_store(&fault.code, code);
}

bool
fault_vfs_end(void)
{
	atomic_store(&fault.code, SQLITE_OK);
	return atomic_load(&fault.hit);
}
