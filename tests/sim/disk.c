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

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "/sim"
#define SECTOR 512
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
	unsigned open; /* how often, by the program */
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

static struct {
	struct names now, safe;
	struct change *changes;
	size_t change_n, change_cap;
	struct inode *all;
	unsigned numbers;
	uint64_t limit, used;
	unsigned fail_sync;
} disk = {.limit = DISK_BYTES};

bool
disk_path(const char *path, char out[512])
{
	size_t n;

	if (strncmp(path, ROOT, strlen(ROOT)) != 0)
		return false;
	snprintf(out, 512, "%s", path);
	n = strlen(out);
	if (n > 3 && strcmp(out + n - 3, "/..") == 0) {
		out[n - 3] = '\0';
		*strrchr(out, '/') = '\0';
	} else if (n > 1 && out[n - 1] == '/') {
		out[n - 1] = '\0';
	}
	return true;
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

void
disk_sync_dir(const char *dir)
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

	if (!disk_path(path, dir))
		panic("sim: %s is not on this disk", path);
	*strrchr(dir, '/') = '\0';
	disk_sync_dir(dir);
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

unsigned
inode_number(const struct inode *i)
{
	return i->number;
}

bool
inode_is_dir(const struct inode *i)
{
	return i->dir;
}

void
inode_open(struct inode *i)
{
	i->open++;
}

void
inode_close(struct inode *i)
{
	i->open--;
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

uint64_t
disk_limit(void)
{
	return disk.limit;
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
		if (named || i->user != NULL || i->open > 0) {
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
	files_close_all();
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
	if (disk.now.n % 16 == 0)
		collect();
	return 0;
}

int
disk_rename(const char *from, const char *to)
{
	struct name *n = find_name(&disk.now, from);
	struct inode *i;

	if (n == NULL)
		return ENOENT;
	sim_point();
	i = n->inode;
	remove_name(&disk.now, from);
	set_name(&disk.now, to, i);
	add_change(from, to, i);
	return 0;
}

int
disk_make_dir(const char *path)
{
	struct inode *i;

	if (disk_exists(path))
		return EEXIST;
	i = new_inode(true);
	set_name(&disk.now, path, i);
	add_change(NULL, path, i);
	return 0;
}

struct inode *
disk_inode(const char *path)
{
	struct name *n = find_name(&disk.now, path);

	return n != NULL ? n->inode : NULL;
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

char **
disk_list(const char *dir, size_t *n)
{
	char **names = xcalloc(disk.now.n + 1, sizeof(char *));

	*n = 0;
	for (size_t i = 0; i < disk.now.n; i++) {
		if (is_in(disk.now.v[i].path, dir))
			names[(*n)++] =
			    xstrdup(strrchr(disk.now.v[i].path, '/') + 1);
	}
	return names;
}
