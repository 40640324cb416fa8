# The control socket's transport.
noinst_LIBRARIES += libcontrol.a
libcontrol_a_SOURCES = \
	src/control/answer.c \
	src/control/conn.c \
	src/control/control.h \
	src/control/events.c \
	src/control/metrics.c src/control/metrics.h \
	src/control/request.c src/control/request.h \
	src/control/server.c \
	src/control/web.c src/control/web.h
control_libs = libcontrol.a $(http_libs) $(net_libs) $(JANSSON_LIBS) -lm

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_web tests/unit/test_metrics
tests_unit_test_web_SOURCES = tests/unit/test_web.c tests/unit/pump.h
tests_unit_test_web_LDADD = $(control_libs) $(CMOCKA_LIBS)
tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_metrics_LDADD = $(control_libs) $(CMOCKA_LIBS)
endif
