/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A list of what is allowed; the rest fails with EPERM, so that a library's new
 * habit is an error in the log and no crash. Where programs may be started,
 * they would inherit such a list and fail in ways of their own: then only what
 * no hook needs is forbidden.
 */
#include "config.h"

#include "netd/sandbox.h"

#ifdef HAVE_SECCOMP

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

static const char *const allowed[] = {
    "accept",
    "accept4",
    "access",
    "bind",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "clone",
    "clone3",
    "close",
    "connect",
    "dup",
    "dup2",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fdatasync",
    "fstat",
    "fsync",
    "ftruncate",
    "futex",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpid",
    "getppid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "ioctl",
    "kill",
    "listen",
    "lseek",
    "lstat",
    "madvise",
    "mkdir",
    "mkdirat",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "pipe2",
    "poll",
    "ppoll",
    "prctl",
    "pread64",
    "prlimit64",
    "pwrite64",
    "read",
    "readlink",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "socket",
    "socketpair",
    "stat",
    "statx",
    "tgkill",
    "timerfd_create",
    "timerfd_settime",
    "uname",
    "unlink",
    "unlinkat",
    "wait4",
    "waitid",
    "write",
    "writev",
};

static const char *const forbidden[] = {
    "acct",
    "add_key",
    "bpf",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "setns",
    "swapoff",
    "swapon",
    "umount2",
    "unshare",
    "userfaultfd",
};

static int
add_rules(
    scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		int error;

		/* Not every machine has every call. */
		if (nr == __NR_SCMP_ERROR)
			continue;
		error = seccomp_rule_add(filter, action, nr, 0);
		if (error < 0 && error != -EDOM)
			return error;
	}
	return 0;
}

bool
sandbox_enter(bool may_start_programs, bool *is_on, char *err, size_t cap)
{
	uint32_t no = SCMP_ACT_ERRNO(EPERM);
	scmp_filter_ctx filter =
	    seccomp_init(may_start_programs ? SCMP_ACT_ALLOW : no);
	int error = filter == NULL ? -ENOMEM : 0;

	if (error == 0 && may_start_programs)
		error = add_rules(filter, no, forbidden, ARRAY_LEN(forbidden));
	else if (error == 0)
		error = add_rules(
		    filter, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
	/* Threads that run already are bound too. */
	if (error == 0)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	*is_on = error == 0;
	if (error != 0)
		snprintf(err, cap, "seccomp: %s", strerror(-error));
	return error == 0;
}

#else

bool
sandbox_enter(bool may_start_programs, bool *is_on, char *err, size_t cap)
{
	(void)may_start_programs;
	(void)err;
	(void)cap;
	*is_on = false;
	return true;
}

#endif
