noinst_LIBRARIES += libhttp.a
libhttp_a_SOURCES = \
	src/http/reader.c src/http/reader.h \
	src/http/reply.c src/http/reply.h \
	src/http/target.c src/http/target.h
http_libs = libhttp.a $(base_libs) $(HTTP_PARSER_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_http
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_LDADD = $(http_libs) $(CMOCKA_LIBS)
endif
