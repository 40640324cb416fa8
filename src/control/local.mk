# The control socket's transport.
noinst_LIBRARIES += libcontrol.a
libcontrol_a_SOURCES = \
	src/control/access.c src/control/access.h \
	src/control/access_commands.c \
	src/control/access_store.c src/control/access_store.h \
	src/control/answer.c \
	src/control/api.c src/control/api.h \
	src/control/api_doc.c \
	src/control/api_login.c \
	src/control/api_stream.c \
	src/control/conn.c \
	src/control/control.h \
	src/control/daemon.c src/control/daemon.h \
	src/control/events.c \
	src/control/guard.c src/control/guard.h \
	src/control/graph.c src/control/graph.h \
	src/control/metrics.c src/control/metrics.h \
	src/control/request.c src/control/request.h \
	src/control/site.c src/control/site.h \
	src/control/web.c src/control/web.h \
	src/control/web_answer.c src/control/web_private.h \
	src/control/web_conf.c src/control/web_conf.h \
	src/control/web_route.c
control_libs = libcontrol.a $(http_libs) $(page_libs) $(net_libs) $(JANSSON_LIBS) $(CRYPT_LIBS) -lm

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_web tests/unit/test_metrics
check_PROGRAMS += tests/unit/test_access
tests_unit_test_access_SOURCES = tests/unit/test_access.c
tests_unit_test_access_LDADD = $(control_libs) $(CMOCKA_LIBS)
tests_unit_test_web_SOURCES = tests/unit/test_web.c tests/unit/pump.h
tests_unit_test_web_LDADD = $(control_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_graph
tests_unit_test_graph_SOURCES = tests/unit/test_graph.c
tests_unit_test_graph_LDADD = $(control_libs) $(CMOCKA_LIBS)
tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_metrics_LDADD = $(control_libs) $(CMOCKA_LIBS)
endif
