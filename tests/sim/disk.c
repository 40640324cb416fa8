/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The disk below /sim, in memory. A file has what is read from it and what
 * survives a power loss; between the two lie the writes since the last sync.
 * Of these a power loss keeps any sectors, in any order; names are kept in the
 * order of their changes up to some point after the last sync of the
 * directory. What was synced stays. A failed sync marks its writes as clean all
 * the same, as Linux does: they are readable, and never come to the disk.
 */
#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOT "/sim"
#define SECTOR 512
#define FDS 4096
#define NAMES 20000
#define DISK_BYTES (UINT64_C(4) << 30)

struct extent {
	char *p;
	uint64_t n, cap;
};

struct pending { /* a write since the last sync; p NULL: cut to at */
	uint64_t at, n;
	char *p;
};

struct inode {
	struct inode *next;
	struct extent now, safe;
	struct pending *pending;
	size_t pending_n, pending_cap;
	bool dir;
	unsigned number;
	int locked; /* flock */
	void *user;
};

struct name {
	char *path;
	struct inode *inode;
};

struct names {
	struct name *v;
	size_t n, cap;
};

struct change { /* of names, not synced: from NULL: made; to NULL: removed */
	char *from, *to;
	struct inode *inode;
};

struct open_file {
	struct inode *inode;
	uint64_t at;
	bool append, used, is_locked;
	char *path;
};

static struct {
	struct names now, safe;
	struct change *changes;
	size_t change_n, change_cap;
	struct inode *all;
	unsigned numbers;
	uint64_t limit, used;
	unsigned fail_sync;
	struct open_file fds[FDS];
} disk = {.limit = DISK_BYTES};

static bool
is_ours(const char *path)
{
	return strncmp(path, ROOT, strlen(ROOT)) == 0;
}

/* "/sim/a/.." is "/sim", "/sim/a/" is "/sim/a". */
static void
clean_path(const char *path, char out[512])
{
	size_t n;

	snprintf(out, 512, "%s", path);
	n = strlen(out);
	if (n > 3 && strcmp(out + n - 3, "/..") == 0) {
		out[n - 3] = '\0';
		*strrchr(out, '/') = '\0';
	} else if (n > 1 && out[n - 1] == '/') {
		out[n - 1] = '\0';
	}
}

static struct name *
find_name(struct names *names, const char *path)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->v[i].path, path) == 0)
			return &names->v[i];
	}
	return NULL;
}

static void
set_name(struct names *names, const char *path, struct inode *inode)
{
	struct name *n = find_name(names, path);

	if (n != NULL) {
		n->inode = inode;
		return;
	}
	if (names->n == names->cap) {
		names->cap = names->cap > 0 ? 2 * names->cap : 64;
		names->v = xrealloc(names->v, names->cap * sizeof(*n));
	}
	names->v[names->n++] = (struct name){xstrdup(path), inode};
}

static void
remove_name(struct names *names, const char *path)
{
	struct name *n = find_name(names, path);

	if (n == NULL)
		return;
	free(n->path);
	*n = names->v[--names->n];
}

static void
add_change(const char *from, const char *to, struct inode *inode)
{
	if (disk.change_n == disk.change_cap) {
		disk.change_cap = disk.change_n > 0 ? 2 * disk.change_n : 64;
		disk.changes = xrealloc(
		    disk.changes, disk.change_cap * sizeof(struct change));
	}
	disk.changes[disk.change_n++] =
	    (struct change){from != NULL ? xstrdup(from) : NULL,
		to != NULL ? xstrdup(to) : NULL, inode};
}

static void
apply_change(struct change *c)
{
	if (c->from != NULL)
		remove_name(&disk.safe, c->from);
	if (c->to != NULL)
		set_name(&disk.safe, c->to, c->inode);
	free(c->from);
	free(c->to);
}

static bool
is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return path != NULL && strncmp(path, dir, n) == 0 && path[n] == '/' &&
	       strchr(path + n + 1, '/') == NULL;
}

static void
sync_dir(const char *dir)
{
	size_t left = 0;

	for (size_t i = 0; i < disk.change_n; i++) {
		struct change c = disk.changes[i];

		if (is_in(c.from, dir) || is_in(c.to, dir))
			apply_change(&c);
		else
			disk.changes[left++] = c;
	}
	disk.change_n = left;
}

int
disk_sync_dir_of(const char *path)
{
	char dir[512];

	clean_path(path, dir);
	*strrchr(dir, '/') = '\0';
	sync_dir(dir);
	return 0;
}

/* ---- files ---- */

static struct inode *
new_inode(bool dir)
{
	struct inode *i = xcalloc(1, sizeof(*i));

	i->next = disk.all;
	disk.all = i;
	i->dir = dir;
	i->number = ++disk.numbers;
	return i;
}

static void
set_size(struct extent *e, uint64_t n)
{
	if (n > e->cap) {
		e->cap = n + n / 2 + 4096;
		e->p = xrealloc(e->p, e->cap);
	}
	if (n > e->n)
		memset(e->p + e->n, 0, n - e->n);
	e->n = n;
}

static void
put_bytes(struct extent *e, const void *p, uint64_t n, uint64_t at)
{
	if (at + n > e->n)
		set_size(e, at + n);
	memcpy(e->p + at, p, n);
}

static void
add_pending(struct inode *i, const void *p, uint64_t n, uint64_t at)
{
	struct pending *w;

	if (i->pending_n == i->pending_cap) {
		i->pending_cap = i->pending_n > 0 ? 2 * i->pending_n : 16;
		i->pending = xrealloc(i->pending, i->pending_cap * sizeof(*w));
	}
	w = &i->pending[i->pending_n++];
	*w = (struct pending){at, n, NULL};
	if (p != NULL) {
		w->p = xmalloc(n + 1);
		memcpy(w->p, p, n);
	}
}

static void
drop_pending(struct inode *i)
{
	for (size_t k = 0; k < i->pending_n; k++)
		free(i->pending[k].p);
	i->pending_n = 0;
}

uint64_t
inode_size(const struct inode *i)
{
	return i->now.n;
}

void **
inode_user(struct inode *i)
{
	return &i->user;
}

int
inode_read(struct inode *i, void *p, size_t n, uint64_t at)
{
	uint64_t have = at < i->now.n ? i->now.n - at : 0;

	if (n > have)
		n = have;
	if (n > 0)
		memcpy(p, i->now.p + at, n);
	return (int)n;
}

int
inode_write(struct inode *i, const void *p, size_t n, uint64_t at)
{
	uint64_t more = at + n > i->now.n ? at + n - i->now.n : 0;

	sim_point();
	if (more > 0 && disk.used + more > disk.limit)
		return ENOSPC;
	disk.used += more;
	put_bytes(&i->now, p, n, at);
	add_pending(i, p, n, at);
	sim_mix(at * 31 + n);
	return 0;
}

void
inode_truncate(struct inode *i, uint64_t size)
{
	sim_point();
	disk.used += size - i->now.n;
	set_size(&i->now, size);
	add_pending(i, NULL, 0, size);
}

int
inode_sync(struct inode *i)
{
	bool fails = disk.fail_sync > 0 && --disk.fail_sync == 0;

	sim_point();
	/* Disks take their time, and others run meanwhile. */
	if (co_self() != NULL)
		co_sleep(sim_span(100, sim_chance(20) ? 300000 : 8000));
	sim_point();
	for (size_t k = 0; k < i->pending_n && !fails; k++) {
		const struct pending *w = &i->pending[k];

		if (w->p != NULL)
			put_bytes(&i->safe, w->p, w->n, w->at);
		else
			set_size(&i->safe, w->at);
	}
	drop_pending(i);
	if (fails)
		sim_say("disk: a sync fails");
	return fails ? EIO : 0;
}

void
disk_fail_sync(unsigned n)
{
	disk.fail_sync = n;
}

void
disk_set_limit(uint64_t bytes)
{
	disk.limit = bytes > 0 ? bytes : DISK_BYTES;
}

uint64_t
disk_used(void)
{
	return disk.used;
}

void
disk_each(void (*fn)(struct inode *i))
{
	for (struct inode *i = disk.all; i != NULL; i = i->next)
		fn(i);
}

/* ---- power loss ---- */

static void
tear(struct inode *i)
{
	/* All, nothing, or each sector by chance. */
	unsigned keep = sim_chance(300)   ? 0
			: sim_chance(300) ? 1000
					  : (unsigned)sim_below(1000);

	for (size_t k = 0; k < i->pending_n; k++) {
		const struct pending *w = &i->pending[k];

		if (w->p == NULL) {
			if (sim_chance(keep))
				set_size(&i->safe, w->at);
			continue;
		}
		for (uint64_t at = 0; at < w->n;) {
			uint64_t n = SECTOR - (w->at + at) % SECTOR;

			if (n > w->n - at)
				n = w->n - at;
			if (sim_chance(keep))
				put_bytes(&i->safe, w->p + at, n, w->at + at);
			at += n;
		}
	}
	drop_pending(i);
	put_bytes(&i->now, "", 0, 0);
	set_size(&i->now, i->safe.n);
	if (i->safe.n > 0)
		memcpy(i->now.p, i->safe.p, i->safe.n);
}

static void
lose_names(void)
{
	size_t kept = sim_below(disk.change_n + 1);

	for (size_t i = 0; i < disk.change_n; i++) {
		struct change *c = &disk.changes[i];

		if (i < kept) {
			apply_change(c);
			continue;
		}
		free(c->from);
		free(c->to);
	}
	disk.change_n = 0;
	for (size_t i = 0; i < disk.now.n; i++)
		free(disk.now.v[i].path);
	disk.now.n = 0;
	for (size_t i = 0; i < disk.safe.n; i++)
		set_name(&disk.now, disk.safe.v[i].path, disk.safe.v[i].inode);
}

/* Files without a name that nobody has open. */
static void
collect(void)
{
	struct inode **at = &disk.all;

	while (*at != NULL) {
		struct inode *i = *at;
		bool named = false;

		for (size_t k = 0; k < disk.now.n && !named; k++)
			named = disk.now.v[k].inode == i;
		for (size_t k = 0; k < disk.safe.n && !named; k++)
			named = disk.safe.v[k].inode == i;
		for (size_t k = 0; k < disk.change_n && !named; k++)
			named = disk.changes[k].inode == i;
		if (named || i->user != NULL) {
			at = &i->next;
			continue;
		}
		*at = i->next;
		disk.used -= i->now.n;
		drop_pending(i);
		free(i->pending);
		free(i->now.p);
		free(i->safe.p);
		free(i);
	}
}

void
disk_crash(bool power)
{
	for (int i = 0; i < FDS; i++) {
		if (!disk.fds[i].used)
			continue;
		if (disk.fds[i].is_locked)
			disk.fds[i].inode->locked = 0;
		free(disk.fds[i].path);
		disk.fds[i] = (struct open_file){0};
	}
	if (power) {
		disk.used = 0;
		for (struct inode *i = disk.all; i != NULL; i = i->next) {
			tear(i);
			disk.used += i->now.n;
		}
		lose_names();
	}
	collect();
}

/* ---- names ---- */

bool
disk_exists(const char *path)
{
	return find_name(&disk.now, path) != NULL;
}

struct inode *
disk_open(const char *path, bool create, bool *created)
{
	struct name *n = find_name(&disk.now, path);
	struct inode *i;

	*created = false;
	if (n != NULL)
		return n->inode;
	if (!create)
		return NULL;
	sim_point();
	i = new_inode(false);
	set_name(&disk.now, path, i);
	add_change(NULL, path, i);
	*created = true;
	return i;
}

int
disk_unlink(const char *path)
{
	struct name *n = find_name(&disk.now, path);
	struct inode *i;

	if (n == NULL)
		return ENOENT;
	sim_point();
	i = n->inode;
	remove_name(&disk.now, path);
	add_change(path, NULL, i);
	return 0;
}

void
disk_write_file(const char *path, const char *text)
{
	bool created;
	struct inode *i;

	if (!disk_exists(ROOT)) {
		i = new_inode(true);
		set_name(&disk.now, ROOT, i);
		set_name(&disk.safe, ROOT, i);
	}
	i = disk_open(path, true, &created);

	set_size(&i->now, 0);
	put_bytes(&i->now, text, strlen(text), 0);
	set_size(&i->safe, 0);
	put_bytes(&i->safe, text, strlen(text), 0);
	disk_sync_dir_of(path);
}

const char *
disk_text(const char *path, size_t *n)
{
	struct name *name = find_name(&disk.now, path);

	*n = name != NULL ? name->inode->now.n : 0;
	return name != NULL ? name->inode->now.p : NULL;
}

size_t
disk_count(const char *dir)
{
	size_t n = 0;

	for (size_t i = 0; i < disk.now.n; i++)
		n += is_in(disk.now.v[i].path, dir);
	return n;
}

/* ---- in the place of libc ---- */

int __real_open64(const char *path, int flags, ...);
int __real_fsync(int fd);
int __real_flock(int fd, int op);
int __real_fstat64(int fd, struct stat *st);
int __real_stat64(const char *path, struct stat *st);
int __real_lstat64(const char *path, struct stat *st);
int __real_statvfs64(const char *path, struct statvfs *fs);
int __real_ftruncate64(int fd, off_t n);
ssize_t __real_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
int __real_unlink(const char *path);
int __real_rename(const char *from, const char *to);
int __real_mkdir(const char *path, mode_t mode);
int __real_access(const char *path, int mode);
int __real_chmod(const char *path, mode_t mode);
int __real_lchown(const char *path, uid_t u, gid_t g);
DIR *__real_opendir(const char *path);
struct dirent *__real_readdir64(DIR *d);
int __real_closedir(DIR *d);
int __real_dirfd(DIR *d);
int __real_unlinkat(int fd, const char *name, int flags);

int __wrap_open64(const char *path, int flags, ...);
int __wrap_fsync(int fd);
int __wrap_flock(int fd, int op);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_stat64(const char *path, struct stat *st);
int __wrap_lstat64(const char *path, struct stat *st);
int __wrap_statvfs64(const char *path, struct statvfs *fs);
int __wrap_ftruncate64(int fd, off_t n);
ssize_t __wrap_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
int __wrap_unlink(const char *path);
int __wrap_rename(const char *from, const char *to);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_access(const char *path, int mode);
int __wrap_chmod(const char *path, mode_t mode);
int __wrap_lchown(const char *path, uid_t u, gid_t g);
DIR *__wrap_opendir(const char *path);
struct dirent *__wrap_readdir64(DIR *d);
int __wrap_closedir(DIR *d);
int __wrap_dirfd(DIR *d);
int __wrap_unlinkat(int fd, const char *name, int flags);
int disk_close(int fd);
ssize_t disk_read(int fd, void *p, size_t n);
ssize_t disk_write(int fd, const void *p, size_t n);

static int
fail_with(int error)
{
	errno = error;
	return -1;
}

static struct open_file *
file_of(int fd)
{
	struct open_file *f;

	if (fd < SIM_FD_DISK || fd >= SIM_FD_DISK + FDS)
		panic("sim: no file %d", fd);
	f = &disk.fds[fd - SIM_FD_DISK];
	if (!f->used)
		panic("sim: file %d is closed", fd);
	return f;
}

int
__wrap_open64(const char *path, int flags, ...)
{
	char clean[512];
	struct inode *i;
	bool created;
	int fd = 0;

	if (!is_ours(path)) {
		va_list ap;
		int mode;

		va_start(ap, flags);
		mode = va_arg(ap, int);
		va_end(ap);
		return __real_open64(path, flags, mode);
	}
	clean_path(path, clean);
	i = disk_open(clean, flags & O_CREAT, &created);
	if (i == NULL)
		return fail_with(ENOENT);
	if (!created && flags & O_EXCL)
		return fail_with(EEXIST);
	if (flags & O_TRUNC)
		inode_truncate(i, 0);
	while (disk.fds[fd].used)
		fd++;
	disk.fds[fd] = (struct open_file){
	    .inode = i, .used = true, .path = xstrdup(clean)};
	return SIM_FD_DISK + fd;
}

int
disk_close(int fd)
{
	struct open_file *f = file_of(fd);

	if (f->is_locked)
		f->inode->locked = 0;
	free(f->path);
	*f = (struct open_file){0};
	return 0;
}

ssize_t
disk_read(int fd, void *p, size_t n)
{
	struct open_file *f = file_of(fd);
	int got = inode_read(f->inode, p, n, f->at);

	f->at += (uint64_t)got;
	return got;
}

ssize_t
disk_write(int fd, const void *p, size_t n)
{
	struct open_file *f = file_of(fd);
	int error;

	if (n > 1 && sim_chance(20))
		n = 1 + sim_below(n - 1);
	error = inode_write(f->inode, p, n, f->at);
	if (error != 0)
		return fail_with(error);
	f->at += n;
	return (ssize_t)n;
}

ssize_t
__wrap_pread64(int fd, void *p, size_t n, off_t at)
{
	if (fd < SIM_FD_DISK)
		return __real_pread64(fd, p, n, at);
	return inode_read(file_of(fd)->inode, p, n, (uint64_t)at);
}

ssize_t
__wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	int error;

	if (fd < SIM_FD_DISK)
		return __real_pwrite64(fd, p, n, at);
	error = inode_write(file_of(fd)->inode, p, n, (uint64_t)at);
	return error != 0 ? fail_with(error) : (ssize_t)n;
}

int
__wrap_ftruncate64(int fd, off_t n)
{
	if (fd < SIM_FD_DISK)
		return __real_ftruncate64(fd, n);
	inode_truncate(file_of(fd)->inode, (uint64_t)n);
	return 0;
}

int
__wrap_fsync(int fd)
{
	struct open_file *f;
	int error;

	if (fd < SIM_FD_DISK)
		return __real_fsync(fd);
	f = file_of(fd);
	error = inode_sync(f->inode);
	if (error != 0)
		return fail_with(error);
	if (f->inode->dir)
		sync_dir(f->path);
	return 0;
}

int
__wrap_flock(int fd, int op)
{
	struct open_file *f;

	(void)op;
	if (fd < SIM_FD_DISK)
		return __real_flock(fd, op);
	f = file_of(fd);
	if (f->inode->locked)
		return fail_with(EWOULDBLOCK);
	f->inode->locked = 1;
	f->is_locked = true;
	return 0;
}

static int
tell(const struct inode *i, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	if (i == NULL)
		return fail_with(ENOENT);
	st->st_ino = i->number;
	st->st_dev = 77;
	st->st_mode = i->dir ? S_IFDIR | 0700 : S_IFREG | 0600;
	if (i->now.n == 6 && memcmp(i->now.p, "socket", 6) == 0)
		st->st_mode = S_IFSOCK | 0660;
	st->st_size = (off_t)i->now.n;
	st->st_uid = geteuid();
	st->st_gid = getegid();
	st->st_nlink = 1;
	return 0;
}

static const struct inode *
inode_at(const char *path)
{
	char clean[512];
	struct name *n;

	clean_path(path, clean);
	n = find_name(&disk.now, clean);
	return n != NULL ? n->inode : NULL;
}

int
__wrap_fstat64(int fd, struct stat *st)
{
	if (fd < SIM_FD_DISK)
		return __real_fstat64(fd, st);
	return tell(file_of(fd)->inode, st);
}

int
__wrap_stat64(const char *path, struct stat *st)
{
	return is_ours(path) ? tell(inode_at(path), st)
			     : __real_stat64(path, st);
}

int
__wrap_lstat64(const char *path, struct stat *st)
{
	return is_ours(path) ? tell(inode_at(path), st)
			     : __real_lstat64(path, st);
}

int
__wrap_statvfs64(const char *path, struct statvfs *fs)
{
	uint64_t left;

	if (!is_ours(path))
		return __real_statvfs64(path, fs);
	left = disk.used < disk.limit ? disk.limit - disk.used : 0;
	memset(fs, 0, sizeof(*fs));
	fs->f_frsize = fs->f_bsize = 4096;
	fs->f_blocks = disk.limit / 4096;
	fs->f_bavail = fs->f_bfree = left / 4096;
	fs->f_files = fs->f_ffree = fs->f_favail = 1000000;
	return 0;
}

int
__wrap_unlink(const char *path)
{
	char clean[512];
	int error;

	if (!is_ours(path))
		return __real_unlink(path);
	clean_path(path, clean);
	error = disk_unlink(clean);
	if (disk.now.n % 16 == 0)
		collect();
	return error != 0 ? fail_with(error) : 0;
}

int
__wrap_rename(const char *from, const char *to)
{
	struct name *n;
	struct inode *i;

	if (!is_ours(from))
		return __real_rename(from, to);
	n = find_name(&disk.now, from);
	if (n == NULL)
		return fail_with(ENOENT);
	sim_point();
	i = n->inode;
	remove_name(&disk.now, from);
	set_name(&disk.now, to, i);
	add_change(from, to, i);
	return 0;
}

int
__wrap_mkdir(const char *path, mode_t mode)
{
	struct inode *i;

	if (!is_ours(path))
		return __real_mkdir(path, mode);
	if (disk_exists(path))
		return fail_with(EEXIST);
	i = new_inode(true);
	set_name(&disk.now, path, i);
	add_change(NULL, path, i);
	return 0;
}

int
__wrap_access(const char *path, int mode)
{
	if (!is_ours(path))
		return __real_access(path, mode);
	return inode_at(path) != NULL ? 0 : fail_with(ENOENT);
}

int
__wrap_chmod(const char *path, mode_t mode)
{
	return is_ours(path) ? 0 : __real_chmod(path, mode);
}

int
__wrap_lchown(const char *path, uid_t u, gid_t g)
{
	return is_ours(path) ? 0 : __real_lchown(path, u, g);
}

struct sim_dir {
	char path[512];
	char **names;
	size_t n, at;
	struct dirent entry;
};
static struct sim_dir *dirs[8];

static struct sim_dir *
dir_of(DIR *d)
{
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (dirs[i] != NULL && (void *)dirs[i] == (void *)d)
			return dirs[i];
	}
	return NULL;
}

DIR *
__wrap_opendir(const char *path)
{
	struct sim_dir *d;
	size_t slot = 0;

	if (!is_ours(path))
		return __real_opendir(path);
	if (inode_at(path) == NULL) {
		errno = ENOENT;
		return NULL;
	}
	d = xcalloc(1, sizeof(*d));
	clean_path(path, d->path);
	d->names = xcalloc(disk.now.n + 1, sizeof(char *));
	for (size_t i = 0; i < disk.now.n; i++) {
		if (is_in(disk.now.v[i].path, d->path))
			d->names[d->n++] =
			    xstrdup(strrchr(disk.now.v[i].path, '/') + 1);
	}
	while (dirs[slot % ARRAY_LEN(dirs)] != NULL && slot < ARRAY_LEN(dirs))
		slot++;
	dirs[slot % ARRAY_LEN(dirs)] = d;
	return (DIR *)(void *)d;
}

struct dirent *
__wrap_readdir64(DIR *dir)
{
	struct sim_dir *d = dir_of(dir);

	if (d == NULL)
		return __real_readdir64(dir);
	if (d->at == d->n)
		return NULL;
	snprintf(
	    d->entry.d_name, sizeof(d->entry.d_name), "%s", d->names[d->at++]);
	d->entry.d_type = DT_UNKNOWN;
	return &d->entry;
}

int
__wrap_closedir(DIR *dir)
{
	struct sim_dir *d = dir_of(dir);

	if (d == NULL)
		return __real_closedir(dir);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (dirs[i] == d)
			dirs[i] = NULL;
	}
	for (size_t i = 0; i < d->n; i++)
		free(d->names[i]);
	free(d->names);
	free(d);
	return 0;
}

#define DIR_FD 300000

int
__wrap_dirfd(DIR *dir)
{
	for (int i = 0; i < (int)ARRAY_LEN(dirs); i++) {
		if (dirs[i] != NULL && (void *)dirs[i] == (void *)dir)
			return DIR_FD + i;
	}
	return __real_dirfd(dir);
}

int
__wrap_unlinkat(int fd, const char *name, int flags)
{
	char path[1024];

	if (fd < DIR_FD)
		return __real_unlinkat(fd, name, flags);
	snprintf(path, sizeof(path), "%s/%s", dirs[fd - DIR_FD]->path, name);
	return __wrap_unlink(path);
}
