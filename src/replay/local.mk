# What weir-replay is made of, apart from its main. (libreplay is the fuzz
# targets'.)
noinst_LIBRARIES += libtrace.a
libtrace_a_SOURCES = \
	src/replay/agenda.c src/replay/agenda.h \
	src/replay/attack.c src/replay/attack.h \
	src/replay/capture.c src/replay/capture.h \
	src/replay/capture_file.c \
	src/replay/command.h src/replay/command_epidemic.c \
	src/replay/command_flows.c \
	src/replay/command_learn.c \
	src/replay/command_propose.c \
	src/replay/command_log.c src/replay/command_trace.c \
	src/replay/contacts.c src/replay/contacts.h \
	src/replay/command_verify.c \
	src/replay/csv.c src/replay/csv.h \
	src/replay/epidemic.c src/replay/epidemic.h \
	src/replay/epidemic_html.c src/replay/epidemic_text.c \
	src/replay/exact.c src/replay/exact.h \
	src/replay/feed.c src/replay/feed.h \
	src/replay/figures.c src/replay/figures.h \
	src/replay/flow_policy.c src/replay/flow_policy.h \
	src/replay/flow_propose.c src/replay/flow_propose.h \
	src/replay/flow_rates.c src/replay/flow_rates.h \
	src/replay/flow_report.c src/replay/flow_report.h \
	src/replay/flow_run.c src/replay/flow_run.h \
	src/replay/flows.c src/replay/flows.h \
	src/replay/head.c src/replay/head.h \
	src/replay/command_history.c \
	src/replay/outbreak.c src/replay/outbreak.h \
	src/replay/pairs.c src/replay/pairs.h \
	src/replay/input.c src/replay/input.h \
	src/replay/join.c src/replay/join.h \
	src/replay/lines.c src/replay/lines.h \
	src/replay/link.c src/replay/link.h \
	src/replay/logs.c src/replay/logs.h \
	src/replay/lone_worm.c src/replay/lone_worm.h \
	src/replay/model.c src/replay/model.h \
	src/replay/names.c src/replay/names.h \
	src/replay/people.c src/replay/people.h \
	src/replay/propose.c src/replay/propose.h \
	src/replay/propose_log.c src/replay/propose_log.h \
	src/replay/reader.c src/replay/reader.h \
	src/replay/reader_exchange.c \
	src/replay/reader_exim.c \
	src/replay/reader_json.c src/replay/reader_json.h \
	src/replay/reader_kumomta.c \
	src/replay/reader_opensmtpd.c \
	src/replay/reader_postfix.c \
	src/replay/reader_rspamd.c \
	src/replay/reader_sendmail.c \
	src/replay/reader_weir.c \
	src/replay/replay.c src/replay/replay.h \
	src/replay/replay_attack.c src/replay/replay_internal.h \
	src/replay/replay_stolen.c \
	src/replay/report.c src/replay/report.h \
	src/replay/report_outcome.c src/replay/report_outcome.h \
	src/replay/report_json.c \
	src/replay/report_log.c src/replay/report_log.h \
	src/replay/report_log_csv.c \
	src/replay/report_log_html.c \
	src/replay/report_log_json.c \
	src/replay/report_propose.c src/replay/report_propose.h \
	src/replay/report_propose_html.c \
	src/replay/report_text.c \
	src/replay/scratch.c src/replay/scratch.h \
	src/replay/senders.c src/replay/senders.h \
	src/replay/setup.c src/replay/setup.h \
	src/replay/stamp.c src/replay/stamp.h \
	src/replay/stolen.c src/replay/stolen.h \
	src/replay/submissions.c src/replay/submissions.h \
	src/replay/svg.c src/replay/svg.h \
	src/replay/trace.c src/replay/trace.h \
	src/replay/unpack.c src/replay/unpack.h \
	src/replay/world.c src/replay/world.h
trace_libs = libtrace.a $(maild_libs) $(netdconf_libs) $(LZMA_LIBS) \
	$(ZSTD_LIBS) $(JANSSON_LIBS) $(PCAP_LIBS) -lz -lm

bin_PROGRAMS += weir-replay
weir_replay_SOURCES = src/replay/main.c
weir_replay_LDADD = $(trace_libs)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_flows
tests_unit_test_flows_SOURCES = tests/unit/test_flows.c
tests_unit_test_flows_LDADD = $(trace_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_csv tests/unit/test_logs tests/unit/test_logs_json \
	tests/unit/test_logs_servers \
	tests/unit/test_replay tests/unit/test_trace
tests_unit_test_logs_servers_SOURCES = tests/unit/test_logs_servers.c \
	tests/unit/log_rig.h
tests_unit_test_logs_servers_LDADD = $(trace_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_propose
tests_unit_test_propose_SOURCES = tests/unit/test_propose.c
tests_unit_test_propose_LDADD = $(trace_libs) $(CMOCKA_LIBS)
tests_unit_test_csv_SOURCES = tests/unit/test_csv.c
tests_unit_test_csv_LDADD = $(trace_libs) $(CMOCKA_LIBS)
tests_unit_test_logs_json_SOURCES = tests/unit/test_logs_json.c \
	tests/unit/log_rig.h
tests_unit_test_logs_json_LDADD = $(trace_libs) $(CMOCKA_LIBS)
tests_unit_test_logs_SOURCES = tests/unit/test_logs.c tests/unit/log_rig.h
tests_unit_test_logs_LDADD = $(trace_libs) $(CMOCKA_LIBS)
tests_unit_test_replay_SOURCES = tests/unit/test_replay.c
tests_unit_test_replay_LDADD = $(trace_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_capture
tests_unit_test_capture_SOURCES = tests/unit/test_capture.c
tests_unit_test_capture_LDADD = $(trace_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_epidemic
tests_unit_test_epidemic_SOURCES = tests/unit/test_epidemic.c
tests_unit_test_epidemic_LDADD = $(trace_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_exact
tests_unit_test_exact_SOURCES = tests/unit/test_exact.c
tests_unit_test_exact_LDADD = $(trace_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_svg
tests_unit_test_svg_SOURCES = tests/unit/test_svg.c
tests_unit_test_svg_LDADD = $(trace_libs) $(CMOCKA_LIBS)
tests_unit_test_trace_SOURCES = tests/unit/test_trace.c
tests_unit_test_trace_LDADD = $(trace_libs) $(CMOCKA_LIBS)
endif
