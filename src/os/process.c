/* SPDX-License-Identifier: BSD-3-Clause */
#include "os/process.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define START_TIME_FIELD 22 /* of /proc/self/stat, proc(5) */

static bool
read_file(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return false;
	n = fread(out, 1, cap - 1, f);
	out[n] = '\0';
	fclose(f);
	return n > 0;
}

static double
to_seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static uint64_t
count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	/* ".", ".." and the directory's own. */
	return n > 3 ? n - 3 : 0;
}

/* Since the machine was started, in ticks; then that since 1970. */
static double
find_start(void)
{
	char text[4096];
	const char *p;
	unsigned long long ticks, boot;

	if (!read_file("/proc/self/stat", text, sizeof(text)))
		return 0;
	/* The name, in brackets, may hold blanks; the third field follows. */
	p = strrchr(text, ')');
	for (int field = 2; p != NULL && field < START_TIME_FIELD; field++)
		p = strchr(p + 1, ' ');
	if (p == NULL || sscanf(p, "%llu", &ticks) != 1 ||
	    !read_file("/proc/stat", text, sizeof(text)))
		return 0;
	p = strstr(text, "\nbtime ");
	if (p == NULL || sscanf(p, "\nbtime %llu", &boot) != 1)
		return 0;
	return (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

void
process_stats(struct process_stats *out)
{
	unsigned long long total = 0, resident = 0;
	struct rusage usage;
	struct rlimit files;
	char text[256];

	*out = (struct process_stats){.cpu_s = 0};
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		out->cpu_s =
		    to_seconds(usage.ru_utime) + to_seconds(usage.ru_stime);
	if (read_file("/proc/self/statm", text, sizeof(text)) &&
	    sscanf(text, "%llu %llu", &total, &resident) == 2) {
		out->virtual_bytes = total * (uint64_t)sysconf(_SC_PAGESIZE);
		out->resident_bytes =
		    resident * (uint64_t)sysconf(_SC_PAGESIZE);
	}
	out->open_files = count_files();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		out->max_files = files.rlim_cur;
	out->started_at_s = find_start();
}

/* The hard limit is tried first with the soft one: root may raise both, and
 * for everybody else the call fails as a whole. */
uint64_t
process_raise_files(uint64_t want)
{
	struct rlimit now, more;

	if (getrlimit(RLIMIT_NOFILE, &now) != 0)
		return 0;
	if (now.rlim_cur >= want)
		return now.rlim_cur;
	more = (struct rlimit){.rlim_cur = want,
	    .rlim_max = now.rlim_max > want ? now.rlim_max : want};
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return want;
	now.rlim_cur = now.rlim_max < want ? now.rlim_max : want;
	(void)setrlimit(RLIMIT_NOFILE, &now);
	return getrlimit(RLIMIT_NOFILE, &now) == 0 ? now.rlim_cur : 0;
}

int
process_start_thread(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	sigset_t all, was;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	error = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	return error;
}
