noinst_LTLIBRARIES += libhttp.la
libhttp_la_SOURCES = \
	src/http/reader.c src/http/reader.h \
	src/http/reply.c src/http/reply.h \
	src/http/target.c src/http/target.h
libhttp_la_LIBADD = libbase.la $(HTTP_PARSER_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_http
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_LDADD = libhttp.la libbase.la $(CMOCKA_LIBS)
endif
