# Fuzz targets. Each is a test here, over its corpus and what lies near it (see
# tests/fuzz/replay.c), and a program of libFuzzer in `make fuzz`. A target has
# seeds in tests/fuzz/corpus/<target>/ and words in tests/fuzz/<target>.dict.
check_LIBRARIES += libreplay.a
libreplay_a_SOURCES = \
	tests/fuzz/fuzz.h \
	tests/fuzz/mutate.c tests/fuzz/mutate.h \
	tests/fuzz/replay.c \
	tests/fuzz/seeds.c
libreplay_a_CPPFLAGS = $(AM_CPPFLAGS) -DWEIR_SRCDIR='"$(abs_srcdir)"'

fuzz_targets = \
	tests/fuzz/fuzz_access \
	tests/fuzz/fuzz_acquaintances_load \
	tests/fuzz/fuzz_alert \
	tests/fuzz/fuzz_arbiter \
	tests/fuzz/fuzz_auth \
	tests/fuzz/fuzz_bounce \
	tests/fuzz/fuzz_capture \
	tests/fuzz/fuzz_cluster \
	tests/fuzz/fuzz_config \
	tests/fuzz/fuzz_control \
	tests/fuzz/fuzz_dns \
	tests/fuzz/fuzz_freeze_record \
	tests/fuzz/fuzz_http \
	tests/fuzz/fuzz_inbound_row \
	tests/fuzz/fuzz_log \
	tests/fuzz/fuzz_mta_queue \
	tests/fuzz/fuzz_netgate_load \
	tests/fuzz/fuzz_options \
	tests/fuzz/fuzz_packet \
	tests/fuzz/fuzz_policy_request \
	tests/fuzz/fuzz_proxy \
	tests/fuzz/fuzz_resp \
	tests/fuzz/fuzz_reverse_path \
	tests/fuzz/fuzz_smtp_address \
	tests/fuzz/fuzz_smtp_bdat \
	tests/fuzz/fuzz_smtp_client \
	tests/fuzz/fuzz_smtp_data \
	tests/fuzz/fuzz_smtp_dsn \
	tests/fuzz/fuzz_smtp_reply \
	tests/fuzz/fuzz_smtp_server \
	tests/fuzz/fuzz_smtp_starttls \
	tests/fuzz/fuzz_spool_load \
	tests/fuzz/fuzz_throttle_load \
	tests/fuzz/fuzz_trace \
	tests/fuzz/fuzz_verify \
	tests/fuzz/fuzz_xclient
check_PROGRAMS += $(fuzz_targets)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.mk $(fuzz_targets:=.dict)

tests_fuzz_fuzz_access_SOURCES = tests/fuzz/fuzz_access.c
tests_fuzz_fuzz_access_LDADD = libreplay.a $(control_libs)
tests_fuzz_fuzz_acquaintances_load_SOURCES = \
	tests/fuzz/fuzz_acquaintances_load.c
tests_fuzz_fuzz_acquaintances_load_LDADD = libreplay.a $(gate_libs)
tests_fuzz_fuzz_alert_SOURCES = tests/fuzz/fuzz_alert.c
tests_fuzz_fuzz_alert_LDADD = libreplay.a $(alert_libs)
tests_fuzz_fuzz_auth_SOURCES = tests/fuzz/fuzz_auth.c
tests_fuzz_fuzz_auth_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_proxy_SOURCES = tests/fuzz/fuzz_proxy.c
tests_fuzz_fuzz_proxy_LDADD = libreplay.a $(net_libs)
tests_fuzz_fuzz_verify_SOURCES = tests/fuzz/fuzz_verify.c
tests_fuzz_fuzz_verify_LDADD = libreplay.a $(trace_libs)
tests_fuzz_fuzz_smtp_dsn_SOURCES = tests/fuzz/fuzz_smtp_dsn.c
tests_fuzz_fuzz_smtp_dsn_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_xclient_SOURCES = tests/fuzz/fuzz_xclient.c
tests_fuzz_fuzz_xclient_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_capture_SOURCES = tests/fuzz/fuzz_capture.c
tests_fuzz_fuzz_capture_LDADD = libreplay.a $(trace_libs)
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c
tests_fuzz_fuzz_config_LDADD = libreplay.a $(maild_libs)
tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz_control.c
tests_fuzz_fuzz_control_LDADD = libreplay.a $(maild_libs)
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c
tests_fuzz_fuzz_dns_LDADD = libreplay.a $(packet_libs)
tests_fuzz_fuzz_freeze_record_SOURCES = tests/fuzz/fuzz_freeze_record.c
tests_fuzz_fuzz_freeze_record_LDADD = libreplay.a $(share_libs)
tests_fuzz_fuzz_arbiter_SOURCES = tests/fuzz/fuzz_arbiter.c
tests_fuzz_fuzz_arbiter_LDADD = libreplay.a $(share_libs)
tests_fuzz_fuzz_cluster_SOURCES = tests/fuzz/fuzz_cluster.c
tests_fuzz_fuzz_cluster_LDADD = libreplay.a $(share_libs)
tests_fuzz_fuzz_resp_SOURCES = tests/fuzz/fuzz_resp.c
tests_fuzz_fuzz_resp_LDADD = libreplay.a $(share_libs)
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c
tests_fuzz_fuzz_http_LDADD = libreplay.a $(http_libs)
tests_fuzz_fuzz_inbound_row_SOURCES = tests/fuzz/fuzz_inbound_row.c
tests_fuzz_fuzz_inbound_row_LDADD = libreplay.a $(gate_libs)
tests_fuzz_fuzz_log_SOURCES = tests/fuzz/fuzz_log.c
tests_fuzz_fuzz_log_LDADD = libreplay.a $(trace_libs)
tests_fuzz_fuzz_mta_queue_SOURCES = tests/fuzz/fuzz_mta_queue.c
tests_fuzz_fuzz_mta_queue_LDADD = libreplay.a $(delivery_libs)
tests_fuzz_fuzz_netgate_load_SOURCES = tests/fuzz/fuzz_netgate_load.c
tests_fuzz_fuzz_netgate_load_LDADD = libreplay.a $(netgate_libs)
tests_fuzz_fuzz_packet_SOURCES = tests/fuzz/fuzz_packet.c
tests_fuzz_fuzz_packet_LDADD = libreplay.a $(packet_libs)
tests_fuzz_fuzz_options_SOURCES = tests/fuzz/fuzz_options.c \
	tests/options_schema.h
tests_fuzz_fuzz_options_LDADD = libreplay.a $(os_libs)
tests_fuzz_fuzz_policy_request_SOURCES = tests/fuzz/fuzz_policy_request.c
tests_fuzz_fuzz_policy_request_LDADD = libreplay.a $(front_libs)
tests_fuzz_fuzz_reverse_path_SOURCES = tests/fuzz/fuzz_reverse_path.c
tests_fuzz_fuzz_reverse_path_LDADD = libreplay.a $(base_libs)
tests_fuzz_fuzz_smtp_address_SOURCES = tests/fuzz/fuzz_smtp_address.c
tests_fuzz_fuzz_smtp_address_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_smtp_client_SOURCES = tests/fuzz/fuzz_smtp_client.c
tests_fuzz_fuzz_smtp_client_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_smtp_data_SOURCES = tests/fuzz/fuzz_smtp_data.c
tests_fuzz_fuzz_smtp_data_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_smtp_server_SOURCES = tests/fuzz/fuzz_smtp_server.c
tests_fuzz_fuzz_smtp_server_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_bounce_SOURCES = tests/fuzz/fuzz_bounce.c
tests_fuzz_fuzz_bounce_LDADD = libreplay.a $(delivery_libs)
tests_fuzz_fuzz_smtp_bdat_SOURCES = tests/fuzz/fuzz_smtp_bdat.c
tests_fuzz_fuzz_smtp_bdat_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_smtp_reply_SOURCES = tests/fuzz/fuzz_smtp_reply.c
tests_fuzz_fuzz_smtp_reply_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_smtp_starttls_SOURCES = tests/fuzz/fuzz_smtp_starttls.c
tests_fuzz_fuzz_smtp_starttls_LDADD = libreplay.a $(smtp_libs)
tests_fuzz_fuzz_spool_load_SOURCES = tests/fuzz/fuzz_spool_load.c
tests_fuzz_fuzz_spool_load_LDADD = libreplay.a $(gate_libs) $(smtp_libs) \
	$(SQLITE_LIBS)
tests_fuzz_fuzz_throttle_load_SOURCES = tests/fuzz/fuzz_throttle_load.c
tests_fuzz_fuzz_throttle_load_LDADD = libreplay.a $(throttle_libs)
tests_fuzz_fuzz_trace_SOURCES = tests/fuzz/fuzz_trace.c
tests_fuzz_fuzz_trace_LDADD = libreplay.a $(trace_libs)

# Searches with clang's libFuzzer, FUZZ_SECONDS for each of FUZZ_TARGETS. What
# it finds worth keeping stays in fuzz/corpus/, what fails in fuzz/.
FUZZ_SECONDS = 60
FUZZ_TARGETS = $(fuzz_targets)
FUZZ_CC = clang

.PHONY: fuzz
fuzz: config.h
	@$(MAKE) --no-print-directory -f $(srcdir)/tests/fuzz/fuzz.mk \
		SRCDIR='$(srcdir)' CC='$(FUZZ_CC)' SECONDS='$(FUZZ_SECONDS)' \
		TARGETS='$(FUZZ_TARGETS:tests/fuzz/%=%)' \
		CPPFLAGS='$(FUZZ_CPPFLAGS)' LIBS='$(FUZZ_LIBS)' \
		MILTER_LIBS='$(MILTER_LIBS)' fuzz

FUZZ_CPPFLAGS = $(DEFS) $(EVENT_CFLAGS) $(SQLITE_CFLAGS) $(CONFUSE_CFLAGS) \
	$(JANSSON_CFLAGS) $(XXHASH_CFLAGS) $(IDN2_CFLAGS) $(OPENSSL_CFLAGS) \
	$(SYSTEMD_CFLAGS) $(LZMA_CFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
FUZZ_LIBS = $(EVENT_LIBS) $(SQLITE_LIBS) $(CONFUSE_LIBS) $(JANSSON_LIBS) \
	$(XXHASH_LIBS) $(IDN2_LIBS) $(OPENSSL_LIBS) $(SYSTEMD_LIBS) \
	$(HTTP_PARSER_LIBS) $(LZMA_LIBS) $(ZLIB_LIBS) $(ZSTD_LIBS) -lpthread

clean-local:
	-rm -rf fuzz fuzz_*.crash
