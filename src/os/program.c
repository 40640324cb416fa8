/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel says ENOENT for a script whose interpreter is not there, and
 * EACCES for a directory: both send the reader the wrong way.
 */
#include "os/program.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE_MAX 256 /* the kernel's own bound */

/* "" where it is no script, or cannot be read. */
static void
find_interpreter(const char *path, char out[FIRST_LINE_MAX])
{
	char line[FIRST_LINE_MAX];
	struct str s = {line, 0};
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	out[0] = '\0';
	if (fd >= 0) {
		n = read(fd, line, sizeof(line));
		close(fd);
	}
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return;
	s = str_sub((struct str){line, (size_t)n}, 2, (size_t)n);
	s = str_cut(&s, '\n');
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_sub(s, 1, s.n);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == ' ' || s.p[i] == '\t')
			s.n = i;
	}
	str_copy(s, out, FIRST_LINE_MAX);
}

bool
program_can_run(const char *path, char *why, size_t cap)
{
	char interpreter[FIRST_LINE_MAX];
	struct stat st;

	if (stat(path, &st) != 0) {
		snprintf(why, cap, "%s", strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, cap, "it is no file");
		return false;
	}
	if ((st.st_mode & 0111) == 0) {
		snprintf(why, cap, "it is not executable");
		return false;
	}
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0) {
		snprintf(why, cap, "%s", strerror(errno));
		return false;
	}
	find_interpreter(path, interpreter);
	if (interpreter[0] == '\0' ||
	    faccessat(AT_FDCWD, interpreter, X_OK, AT_EACCESS) == 0)
		return true;
	snprintf(why, cap, "its first line names %s: %s", interpreter,
	    strerror(errno));
	return false;
}
