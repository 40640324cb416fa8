# What weir-maild is made of, apart from its main.
noinst_LIBRARIES += libmaild.a
libmaild_a_SOURCES = \
	src/maild/control.c src/maild/control.h \
	src/maild/control_alert.c \
	src/maild/control_change.c \
	src/maild/control_explain.c \
	src/maild/control_find.c src/maild/control_history.c \
	src/maild/control_learn.c \
	src/maild/control_private.h \
	src/maild/control_problems.c \
	src/maild/control_queue.c \
	src/maild/control_request.h \
	src/maild/control_senders.c \
	src/maild/control_status.c \
	src/maild/control_table.c \
	src/maild/decide.c src/maild/decide.h src/maild/decide_file.c \
	src/maild/decide_private.h \
	src/maild/limits_doc.c src/maild/limits_doc.h \
	src/maild/maild_check.c src/maild/maild_check.h \
	src/maild/maild_config.c src/maild/maild_config.h \
	src/maild/maild_warn.c src/maild/maild_warn.h \
	src/maild/maild_options.c src/maild/maild_options.h \
	src/maild/maild_options_hop.c \
	src/maild/maild_options_inbound.c \
	src/maild/maild_options_listen.c \
	src/maild/maild_options_milter.c \
	src/maild/maild_options_session.c \
	src/maild/maild_options_share.c \
	src/maild/maild_options_tls.c \
	src/maild/metrics.c src/maild/metrics.h
maild_libs = libmaild.a $(alert_libs) $(share_libs) $(front_libs) $(control_libs) $(JANSSON_LIBS)

# Prints weir.conf(5)'s options and the sample.
noinst_PROGRAMS += weir-conf-doc
weir_conf_doc_SOURCES = src/maild/gen_conf.c
weir_conf_doc_LDADD = $(maild_libs)

sbin_PROGRAMS += weir-maild
maild_run_sources = \
	src/maild/maild.c src/maild/maild.h \
	src/maild/maild_internal.h \
	src/maild/maild_alert.c src/maild/maild_watch.c \
	src/maild/decide_http.c \
	src/maild/maild_http.c \
	src/maild/maild_limits.c \
	src/maild/maild_known.c \
	src/maild/maild_relays.c \
	src/maild/maild_probe.c src/maild/maild_probe.h \
	src/maild/maild_run.c \
	src/maild/maild_share.c \
	src/maild/maild_tls.c
weir_maild_SOURCES = src/maild/main.c $(maild_run_sources)
weir_maild_LDADD = $(maild_libs) $(CURL_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_config
tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_CPPFLAGS = $(AM_CPPFLAGS) \
	-DWEIR_SRCDIR='"$(abs_srcdir)"'
tests_unit_test_config_LDADD = $(maild_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_control
tests_unit_test_control_SOURCES = tests/unit/test_control.c \
	tests/unit/control_world.c tests/unit/control_world.h
tests_unit_test_control_LDADD = $(maild_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_control_conn
tests_unit_test_control_conn_SOURCES = tests/unit/test_control_conn.c \
	tests/unit/control_world.c tests/unit/control_world.h
tests_unit_test_control_conn_LDADD = $(maild_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_control_site
tests_unit_test_control_site_SOURCES = tests/unit/test_control_site.c \
	tests/unit/control_world.c tests/unit/control_world.h
tests_unit_test_control_site_LDADD = $(maild_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_decide
tests_unit_test_decide_SOURCES = tests/unit/test_decide.c tests/unit/pump.h \
	$(gate_rig)
tests_unit_test_decide_LDADD = $(maild_libs) $(CMOCKA_LIBS)
endif
