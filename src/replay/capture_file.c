/* SPDX-License-Identifier: BSD-3-Clause */
/* Captures on disk, by libpcap. What is packed is unpacked into a file that has
 * no name and is gone with the program. */
#include "replay/capture.h"
#include "replay/input.h"
#include "replay/link.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define MAGIC 4

struct start {
	uint8_t bytes[MAGIC];
	size_t n;
};

static bool
take_start(void *arg, struct str piece, struct err *err)
{
	struct start *s = arg;

	err->text[0] = '\0';
	while (s->n < MAGIC && piece.n > 0) {
		s->bytes[s->n++] = (uint8_t)piece.p[0];
		piece = str_sub(piece, 1, piece.n);
	}
	return s->n < MAGIC;
}

bool
capture_is(const char *path)
{
	static const uint8_t magic[][MAGIC] = {
	    {0xa1, 0xb2, 0xc3, 0xd4},
	    {0xd4, 0xc3, 0xb2, 0xa1},
	    {0xa1, 0xb2, 0x3c, 0x4d},
	    {0x4d, 0x3c, 0xb2, 0xa1},
	    {0x0a, 0x0d, 0x0d, 0x0a},
	};
	struct start s = {.n = 0};
	struct err err;

	if (input_read_pieces(path, take_start, &s, &err) != 0 || s.n < MAGIC)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(magic); i++) {
		if (memcmp(s.bytes, magic[i], MAGIC) == 0)
			return true;
	}
	return false;
}

static bool
copy_piece(void *arg, struct str piece, struct err *err)
{
	if (fwrite(piece.p, 1, piece.n, arg) == piece.n)
		return true;
	err_set(err, "a temporary file: %s", strerror(errno));
	return false;
}

/* At its start, or NULL with a status. */
static FILE *
unpacked(const char *path, int *status, struct err *err)
{
	FILE *f = tmpfile();

	if (f == NULL) {
		err_set(err, "a temporary file: %s", strerror(errno));
		*status = EX_CANTCREAT;
		return NULL;
	}
	*status = input_read_pieces(path, copy_piece, f, err);
	if (*status == 0 && fflush(f) == 0) {
		rewind(f);
		return f;
	}
	if (*status == 0) {
		err_set(err, "a temporary file: %s", strerror(errno));
		*status = EX_IOERR;
	}
	fclose(f);
	return NULL;
}

static int
read_frames(const char *path, pcap_t *p, struct capture *c, struct err *err)
{
	struct pcap_pkthdr *h;
	const u_char *bytes;
	struct err why;
	int got;

	while ((got = pcap_next_ex(p, &h, &bytes)) == 1) {
		struct str frame = {(const char *)bytes, h->caplen};
		int64_t at =
		    (int64_t)h->ts.tv_sec * 1000 + h->ts.tv_usec / 1000;

		if (capture_take(c, pcap_datalink(p), at, frame, &why))
			continue;
		err_set(err, "%s: packet %llu: %s", path,
		    (unsigned long long)capture_stats(c)->packets, why.text);
		return EX_DATAERR;
	}
	if (got == PCAP_ERROR_BREAK)
		return 0;
	/* What a program that was killed leaves is used up to there. */
	if (capture_stats(c)->packets > 0 &&
	    strstr(pcap_geterr(p), "truncated") != NULL) {
		fprintf(stderr,
		    "weir-replay: %s: ends within a packet; everything before "
		    "it was read\n",
		    path);
		return 0;
	}
	err_set(err, "%s: %s", path, pcap_geterr(p));
	return EX_DATAERR;
}

int
capture_read(const char *path, struct capture *c, struct err *err)
{
	struct err why;
	int status;
	FILE *f = unpacked(path, &status, err);
	pcap_t *p;

	if (f == NULL)
		return status;
	p = pcap_fopen_offline(f, why.text);
	if (p == NULL) {
		err_set(err, "%s: %s", path, why.text);
		fclose(f);
		return EX_DATAERR;
	}
	if (link_is_known(pcap_datalink(p))) {
		status = read_frames(path, p, c, err);
	} else {
		const char *name = pcap_datalink_val_to_name(pcap_datalink(p));

		err_set(err,
		    "%s: link type %d (%s) is not known; capture Ethernet, any "
		    "or raw IP",
		    path, pcap_datalink(p), name != NULL ? name : "?");
		status = EX_DATAERR;
	}
	pcap_close(p); /* and f */
	return status;
}
