# The control socket's transport.
noinst_LTLIBRARIES += libcontrol.la
libcontrol_la_SOURCES = \
	src/control/answer.c \
	src/control/conn.c \
	src/control/control.h \
	src/control/events.c \
	src/control/metrics.c src/control/metrics.h \
	src/control/request.c src/control/request.h \
	src/control/server.c \
	src/control/web.c src/control/web.h
libcontrol_la_LIBADD = libhttp.la libnet.la libos.la libbase.la $(JANSSON_LIBS) -lm

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_web tests/unit/test_metrics
tests_unit_test_web_SOURCES = tests/unit/test_web.c tests/unit/pump.h
tests_unit_test_web_LDADD = libcontrol.la $(CMOCKA_LIBS)
tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_metrics_LDADD = libcontrol.la $(CMOCKA_LIBS)
endif
