/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: frames of a capture, of every link type, as flows. The first
 * byte is the type; each frame is behind a byte of its length. What is kept of
 * a packet is a packet.
 */
#include "fuzz.h"

#include "replay/capture.h"

#include <pcap/dlt.h>

/* Each has a table of 6 MB. */
const unsigned fuzz_runs = 5000;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int types[] = {DLT_RAW, DLT_EN10MB, DLT_LINUX_SLL,
	    DLT_LINUX_SLL2, DLT_NULL, DLT_IEEE802_11};
	struct str in = {(const char *)data, size};
	int type = types[fuzz_byte(&in) % ARRAY_LEN(types)];
	struct flows f = {0};
	struct capture *c = capture_new(&f, NULL, 0);
	struct err why;

	for (int64_t at = 0; in.n > 0; at += 10) {
		struct str frame = fuzz_take(&in);
		char *copy = fuzz_copy(frame.p, frame.n);

		fuzz_check(capture_take(
			       c, type, at, (struct str){copy, frame.n}, &why),
		    "a frame that cannot be taken");
		free(copy);
	}
	fuzz_check(f.opened == capture_stats(c)->opened, "flows are missing");
	for (uint32_t i = 0; i < f.count; i++) {
		struct packet p;
		struct str kept;

		if (f.v[i].kind == FLOW_OPEN)
			continue;
		kept = flows_packet(&f, &f.v[i]);
		fuzz_check(packet_parse(kept.p, kept.n, &p) == PACKET_OK,
		    "what is kept is no packet");
	}
	capture_free(c);
	flows_clear(&f);
	return 0;
}
