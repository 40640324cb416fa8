/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deterministic simulation of weir-maild: the daemon whole, from maild_run
 * down, on a virtual clock, network and disk, all of which follow one seed.
 * What stands in for the system is linked with --wrap in the place of libc's
 * calls (core.c, net.c, disk.c), libevent (event.c) and SQLite's VFS (vfs.c);
 * world.c has the clients, next hops and administrators, oracle.c what must
 * hold. One process has one world and one thread: its state is global.
 *
 * Threads of weir are coroutines here. They change at waits and at syncs of the
 * disk only, in an order that the seed gives. A kill -9 abandons them where
 * they stand: what they had in memory is lost, and leaks.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/base.h"
#include "base/buf.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <sys/socket.h>

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)

/* ---- core.c: time, chance, coroutines ---- */

struct co;

int64_t sim_now(void);     /* virtual us since the start */
int64_t sim_wall_ms(void); /* as weir's wall clock shows it */
void sim_step_wall(int64_t ms);
uint64_t sim_random(void);
uint64_t sim_below(uint64_t n); /* 0 .. n - 1 */
bool sim_chance(unsigned per_mille);
int64_t sim_span(int64_t least_us, int64_t most_us);
/* Exponential, so that there are crowds and lulls. */
int64_t sim_gap(int64_t mean_us);

/* Everything that happens is mixed into one number: two runs of a seed are the
 * same run when it is. */
void sim_mix(uint64_t v);
uint64_t sim_digest(void);

void sim_at(
    int64_t when, void (*fn)(void *arg, uint64_t n), void *arg, uint64_t n);
/* weir: dies with it. Runs from the scheduler; fn may return. */
struct co *co_start(void (*fn)(void *arg), void *arg, bool weir);
struct co *co_self(void);
bool co_is_done(const struct co *c);
/* Until co_wake or the time has come; false: it has. */
bool co_wait(int64_t until);
void co_wake(struct co *c);
void co_sleep(int64_t us);
/* A place where weir may be killed, called before each thing it does to the
 * world. */
void sim_point(void);
void sim_kill_after(uint64_t points); /* 0: not */
uint64_t sim_points(void);
void sim_forget_weir(void); /* its coroutines are gone */
/* Runs until sim_stop, or weir was killed at a point (then true). */
bool sim_run(void);
void sim_stop(void);
/* What must not be: the seed has failed. Ends the process. */
PRINTF_LIKE(1, 2) _Noreturn void sim_fail(const char *fmt, ...);
/* A line of the trace, with -v. */
PRINTF_LIKE(1, 2) void sim_say(const char *fmt, ...);
extern bool sim_verbose;

/* ---- event.c ---- */

void event_forget(void);      /* weir was killed */
void event_signal(int signo); /* to weir */

/* ---- net.c ---- */

struct sock;

void net_forget(void); /* weir was killed: its sockets are reset or closed */
size_t net_weir_sockets(void);
enum { NET_READABLE = 1, NET_WRITABLE = 2, NET_BROKEN = 4 };
unsigned net_state(int fd); /* bits, of a descriptor of weir */

/* A connection to a port of weir's, or to the path of its control socket; NULL:
 * refused. address is the client's, host order. */
struct sock *net_dial(uint16_t port, uint32_t address);
struct sock *net_dial_path(const char *path);
/* Who answers at a port: fn says what becomes of a connection. */
enum net_answer { NET_ACCEPT, NET_REFUSE, NET_SILENT };
void net_serve(
    uint16_t port, enum net_answer (*fn)(void *arg, struct sock *s), void *arg);
/* For coroutines of the world. A line without its end, false: closed, reset,
 * too long, or nothing for so long. */
bool sock_line(struct sock *s, char *out, size_t cap, int64_t timeout_us);
bool sock_read(struct sock *s, char *out, size_t n, int64_t timeout_us);
bool sock_write(struct sock *s, const void *p, size_t n);
PRINTF_LIKE(2, 3) bool sock_say(struct sock *s, const char *fmt, ...);
void sock_shutdown(struct sock *s);
void sock_close(struct sock *s, bool reset); /* and lets go of it */

/* ---- disk.c ---- */

struct inode;

/* The machine lost its power: what was not synced may be lost, whole or in
 * part. Without it only what weir had open is closed. */
void disk_crash(bool power);
void disk_set_limit(uint64_t bytes); /* of the file system */
uint64_t disk_used(void);
/* From now on the n-th sync fails, once. 0: none. */
void disk_fail_sync(unsigned n);
void disk_write_file(const char *path, const char *text);
size_t disk_count(const char *prefix); /* files below it */
/* The text of a file, NULL: there is none. */
const char *disk_text(const char *path, size_t *n);

/* The path without "/.." or "/" at its end; false: it is not on this disk. The
 * other functions take such paths. */
bool disk_path(const char *path, char out[512]);
uint64_t disk_limit(void);
struct inode *disk_open(const char *path, bool create, bool *created);
int inode_read(struct inode *i, void *p, size_t n, uint64_t at); /* how many */
int inode_write(struct inode *i, const void *p, size_t n, uint64_t at);
void inode_truncate(struct inode *i, uint64_t size);
int inode_sync(struct inode *i);
uint64_t inode_size(const struct inode *i);
void **inode_user(struct inode *i); /* the VFS's: locks and shared memory */
unsigned inode_number(const struct inode *i);
bool inode_is_dir(const struct inode *i);
/* It stays while it is open, whatever becomes of its names. */
void inode_open(struct inode *i);
void inode_close(struct inode *i);
bool disk_exists(const char *path);
struct inode *disk_inode(const char *path); /* NULL: there is none */
/* These return an errno. */
int disk_unlink(const char *path);
int disk_rename(const char *from, const char *to);
int disk_make_dir(const char *path);
void disk_sync_dir(const char *dir);
int disk_sync_dir_of(const char *path);
/* The names in a directory; the caller frees each, and the array. */
char **disk_list(const char *dir, size_t *n);
void disk_each(void (*fn)(struct inode *i));

/* ---- files.c: what weir has open ---- */

enum { SIM_FD_DISK = 200000, SIM_FD_NET = 100000 };
int files_close(int fd);
ssize_t files_read(int fd, void *p, size_t n);
ssize_t files_write(int fd, const void *p, size_t n);
void files_close_all(void);

/* ---- vfs.c ---- */

void vfs_install(void);
void vfs_forget(void); /* weir was killed: its locks */

/* ---- oracle.c and world.c are in their own header ---- */

#endif
