noinst_LIBRARIES += libalert.a
libalert_a_SOURCES = \
	src/alert/alert.c src/alert/alert.h \
	src/alert/alert_conf.c src/alert/alert_conf.h \
	src/alert/alert_event.c src/alert/alert_event.h \
	src/alert/alert_item.c src/alert/alert_item.h \
	src/alert/alert_text.c src/alert/alert_text.h \
	src/alert/courier.c src/alert/courier.h \
	src/alert/fetch.c src/alert/fetch.h
# Without CURL_LIBS: whoever reads weir.conf has the options, only weir-maild
# sends.
alert_libs = libalert.a $(spool_libs) $(net_libs) $(JANSSON_LIBS)
