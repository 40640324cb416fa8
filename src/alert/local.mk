noinst_LIBRARIES += libalert.a
libalert_a_SOURCES = \
	src/alert/alert.c src/alert/alert.h src/alert/alert_private.h \
	src/alert/alert_batch.c src/alert/alert_raise.c \
	src/alert/alert_store.c \
	src/alert/alert_conf.c src/alert/alert_conf.h \
	src/alert/alert_event.c src/alert/alert_event.h \
	src/alert/alert_item.c src/alert/alert_item.h \
	src/alert/alert_text.c src/alert/alert_text.h \
	src/alert/courier.c src/alert/courier.h \
	src/alert/fetch.c src/alert/fetch.h
# Without CURL_LIBS: whoever reads weir.conf has the options, only weir-maild
# sends.
alert_libs = libalert.a $(spool_libs) $(net_libs) $(JANSSON_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_alert
tests_unit_test_alert_SOURCES = tests/unit/test_alert.c \
	tests/unit/fault_libc.c tests/unit/fault_vfs.c \
	tests/unit/fault_vfs.h tests/unit/spool_kit.c tests/unit/spool_kit.h
tests_unit_test_alert_LDADD = $(alert_libs) $(CURL_LIBS) $(SQLITE_LIBS) \
	$(CMOCKA_LIBS) -lpthread
tests_unit_test_alert_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write -Wl,--wrap=fsync -Wl,--wrap=rename
endif
