/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SQLite's files on the simulated disk, with its locks and the shared memory of
 * its log as connections of one process see them. The sleep of a busy
 * connection is one of its coroutine.
 */
#include "sim.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS 256

struct shared { /* of a file: its locks, the index of its log */
	unsigned users, readers;
	struct vfs_file *reserved, *pending, *exclusive;
	void *region[REGIONS];
	unsigned shm_users;
	int slot[SQLITE_SHM_NLOCK]; /* -1: exclusive, else how many share */
};

struct vfs_file {
	sqlite3_file base;
	struct inode *inode;
	struct shared *shared;
	int level;
	bool sync_dir, has_shm;
	uint32_t shares, owns; /* slots */
	char path[256];
	bool delete_on_close;
};

static struct vfs_file *
of(sqlite3_file *f)
{
	return (struct vfs_file *)(void *)f;
}

static int
vfs_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int got = inode_read(of(f)->inode, p, (size_t)n, (uint64_t)at);

	if (got == n)
		return SQLITE_OK;
	memset((char *)p + got, 0, (size_t)(n - got));
	return SQLITE_IOERR_SHORT_READ;
}

static int
vfs_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	return inode_write(of(f)->inode, p, (size_t)n, (uint64_t)at) == 0
		   ? SQLITE_OK
		   : SQLITE_FULL;
}

static int
vfs_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	inode_truncate(of(f)->inode, (uint64_t)n);
	return SQLITE_OK;
}

static int
vfs_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	if (inode_sync(of(f)->inode) != 0)
		return SQLITE_IOERR_FSYNC;
	if (of(f)->sync_dir) {
		of(f)->sync_dir = false;
		disk_sync_dir_of(of(f)->path);
	}
	return SQLITE_OK;
}

static int
vfs_size(sqlite3_file *f, sqlite3_int64 *n)
{
	*n = (sqlite3_int64)inode_size(of(f)->inode);
	return SQLITE_OK;
}

static int
vfs_unlock(sqlite3_file *file, int level)
{
	struct vfs_file *f = of(file);
	struct shared *s = f->shared;

	if (level >= f->level)
		return SQLITE_OK;
	if (s->exclusive == f)
		s->exclusive = NULL;
	if (s->pending == f)
		s->pending = NULL;
	if (s->reserved == f)
		s->reserved = NULL;
	if (level == SQLITE_LOCK_NONE)
		s->readers--;
	f->level = level;
	return SQLITE_OK;
}

static int
vfs_lock(sqlite3_file *file, int level)
{
	struct vfs_file *f = of(file);
	struct shared *s = f->shared;

	if (level <= f->level)
		return SQLITE_OK;
	if (level == SQLITE_LOCK_SHARED) {
		if (s->pending != NULL || s->exclusive != NULL)
			return SQLITE_BUSY;
		s->readers++;
	} else if (level == SQLITE_LOCK_RESERVED) {
		if (s->reserved != NULL && s->reserved != f)
			return SQLITE_BUSY;
		s->reserved = f;
	} else {
		if ((s->pending != NULL && s->pending != f) ||
		    (s->reserved != NULL && s->reserved != f))
			return SQLITE_BUSY;
		s->pending = f;
		f->level = SQLITE_LOCK_PENDING;
		if (level == SQLITE_LOCK_EXCLUSIVE && s->readers > 1)
			return SQLITE_BUSY;
		if (level == SQLITE_LOCK_EXCLUSIVE)
			s->exclusive = f;
	}
	f->level = level;
	return SQLITE_OK;
}

static int
vfs_reserved(sqlite3_file *f, int *out)
{
	*out =
	    of(f)->shared->reserved != NULL || of(f)->shared->exclusive != NULL;
	return SQLITE_OK;
}

static int
vfs_control(sqlite3_file *f, int op, void *arg)
{
	(void)f;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int
vfs_sector(sqlite3_file *f)
{
	(void)f;
	return 4096;
}

static int
vfs_traits(sqlite3_file *f)
{
	(void)f;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int
vfs_shm_map(
    sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
	struct vfs_file *f = of(file);
	struct shared *s = f->shared;

	if (region >= REGIONS)
		return SQLITE_IOERR_SHMMAP;
	if (!f->has_shm) {
		f->has_shm = true;
		s->shm_users++;
	}
	if (s->region[region] == NULL && extend)
		s->region[region] = xcalloc(1, (size_t)size);
	*out = s->region[region];
	return SQLITE_OK;
}

static int
vfs_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	struct vfs_file *f = of(file);
	struct shared *s = f->shared;
	uint32_t mask = ((1u << n) - 1) << offset;

	if (flags & SQLITE_SHM_UNLOCK) {
		for (int i = offset; i < offset + n; i++) {
			if (f->owns >> i & 1)
				s->slot[i] = 0;
			else if (f->shares >> i & 1)
				s->slot[i]--;
		}
		f->owns &= ~mask;
		f->shares &= ~mask;
		return SQLITE_OK;
	}
	if (flags & SQLITE_SHM_SHARED) {
		if (f->shares & mask)
			return SQLITE_OK;
		if (s->slot[offset] < 0)
			return SQLITE_BUSY;
		s->slot[offset]++;
		f->shares |= mask;
		return SQLITE_OK;
	}
	for (int i = offset; i < offset + n; i++) {
		if (s->slot[i] != 0 && !(f->owns >> i & 1))
			return SQLITE_BUSY;
	}
	for (int i = offset; i < offset + n; i++)
		s->slot[i] = -1;
	f->owns |= mask;
	return SQLITE_OK;
}

static void
vfs_shm_barrier(sqlite3_file *f)
{
	(void)f;
}

static int
vfs_shm_unmap(sqlite3_file *file, int delete)
{
	struct vfs_file *f = of(file);
	struct shared *s = f->shared;

	(void)delete;
	if (!f->has_shm)
		return SQLITE_OK;
	(void)vfs_shm_lock(file, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK);
	f->has_shm = false;
	if (--s->shm_users > 0)
		return SQLITE_OK;
	for (size_t i = 0; i < REGIONS; i++) {
		free(s->region[i]);
		s->region[i] = NULL;
	}
	return SQLITE_OK;
}

static int
vfs_close(sqlite3_file *file)
{
	struct vfs_file *f = of(file);

	vfs_shm_unmap(file, 0);
	vfs_unlock(file, SQLITE_LOCK_NONE);
	if (--f->shared->users == 0) {
		free(f->shared);
		*inode_user(f->inode) = NULL;
	}
	if (f->delete_on_close)
		disk_unlink(f->path);
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_reserved,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector,
    .xDeviceCharacteristics = vfs_traits,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

static int
vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
    int *out)
{
	static unsigned temporary;
	struct vfs_file *f = of(file);
	bool created;
	void **user;

	(void)vfs;
	memset(f, 0, sizeof(*f));
	if (name != NULL)
		snprintf(f->path, sizeof(f->path), "%s", name);
	else
		snprintf(f->path, sizeof(f->path), "/sim/tmp/%u", temporary++);
	f->inode =
	    disk_open(f->path, (flags & SQLITE_OPEN_CREATE) != 0, &created);
	if (f->inode == NULL)
		return SQLITE_CANTOPEN;
	/* As the VFS of unix does, whoever created it. */
	f->sync_dir =
	    (flags & SQLITE_OPEN_CREATE) != 0 &&
	    (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
	f->delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE;
	user = inode_user(f->inode);
	if (*user == NULL)
		*user = xcalloc(1, sizeof(struct shared));
	f->shared = *user;
	f->shared->users++;
	f->base.pMethods = &methods;
	if (out != NULL)
		*out = flags;
	return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	(void)vfs;
	if (disk_unlink(path) != 0)
		return SQLITE_IOERR_DELETE_NOENT;
	if (sync)
		disk_sync_dir_of(path);
	return SQLITE_OK;
}

static int
vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
	(void)vfs;
	(void)flags;
	*out = disk_exists(path);
	return SQLITE_OK;
}

static int
vfs_full_path(sqlite3_vfs *vfs, const char *path, int n, char *out)
{
	(void)vfs;
	snprintf(out, (size_t)n, "%s", path);
	return SQLITE_OK;
}

static int
vfs_random(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs;
	for (int i = 0; i < n; i++)
		out[i] = (char)sim_random();
	return n;
}

static int
vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	if (co_self() != NULL)
		co_sleep(us);
	return us;
}

static int
vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
	(void)vfs;
	*out = INT64_C(210866760000000) + sim_wall_ms();
	return SQLITE_OK;
}

static int
vfs_error(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs;
	(void)n;
	(void)out;
	return 0;
}

void
vfs_install(void)
{
	static sqlite3_vfs vfs = {
	    .iVersion = 2,
	    .szOsFile = sizeof(struct vfs_file),
	    .mxPathname = 255,
	    .zName = "sim",
	    .xOpen = vfs_open,
	    .xDelete = vfs_delete,
	    .xAccess = vfs_access,
	    .xFullPathname = vfs_full_path,
	    .xRandomness = vfs_random,
	    .xSleep = vfs_sleep,
	    .xCurrentTimeInt64 = vfs_time,
	    .xGetLastError = vfs_error,
	};

	if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
	    sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
		panic("sim: no VFS");
}

static void
forget(struct inode *i)
{
	void **user = inode_user(i);
	struct shared *s = *user;

	if (s == NULL)
		return;
	for (size_t k = 0; k < REGIONS; k++)
		free(s->region[k]);
	free(s);
	*user = NULL;
}

void
vfs_forget(void)
{
	disk_each(forget);
}
