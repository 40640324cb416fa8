noinst_LIBRARIES += libshare.a
libshare_a_SOURCES = \
	src/share/freeze_record.c src/share/freeze_record.h \
	src/share/freezes.c src/share/freezes.h \
	src/share/redis_link.c src/share/redis_link.h \
	src/share/redis_url.c src/share/redis_url.h \
	src/share/resp.c src/share/resp.h \
	src/share/seal.c src/share/seal.h \
	src/share/spends.c src/share/spends.h
share_libs = libshare.a $(net_libs) $(HIREDIS_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_resp tests/unit/test_redis_link
tests_unit_test_resp_SOURCES = tests/unit/test_resp.c
tests_unit_test_resp_LDADD = $(share_libs) $(CMOCKA_LIBS)
tests_unit_test_redis_link_SOURCES = tests/unit/test_redis_link.c \
	tests/unit/pump.h
tests_unit_test_redis_link_LDADD = $(share_libs) $(CMOCKA_LIBS)
endif
