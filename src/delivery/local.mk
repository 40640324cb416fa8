noinst_LTLIBRARIES += libdelivery.la
libdelivery_la_SOURCES = \
	src/delivery/attempt.c \
	src/delivery/bounce.c src/delivery/bounce.h \
	src/delivery/channel.c src/delivery/channel.h \
	src/delivery/delivery.c src/delivery/delivery.h \
	src/delivery/delivery_private.h \
	src/delivery/hop.c \
	src/delivery/ledger.c src/delivery/ledger.h \
	src/delivery/nexthop.c src/delivery/nexthop.h \
	src/delivery/nexthop_private.h \
	src/delivery/outcome.c \
	src/delivery/resolver.c src/delivery/resolver.h \
	src/delivery/route.c src/delivery/route.h
libdelivery_la_LIBADD = libspool.la libsmtp.la libnet.la libos.la libbase.la \
	$(EVENT_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_bounce
tests_unit_test_bounce_SOURCES = tests/unit/test_bounce.c
tests_unit_test_bounce_LDADD = libdelivery.la libbase.la $(CMOCKA_LIBS)
endif
