# Packet headers and DNS answers: pure.
noinst_LIBRARIES += libpacket.a
libpacket_a_SOURCES = \
	src/packet/dns.c src/packet/dns.h \
	src/packet/dns_stream.c src/packet/dns_stream.h \
	src/packet/packet.c src/packet/packet.h
packet_libs = libpacket.a $(base_libs)

if HAVE_CMOCKA
check_PROGRAMS += \
	tests/unit/test_packet tests/unit/test_dns tests/unit/test_dns_stream
tests_unit_test_packet_SOURCES = tests/unit/test_packet.c
tests_unit_test_packet_LDADD = $(packet_libs) $(CMOCKA_LIBS)
tests_unit_test_dns_SOURCES = tests/unit/test_dns.c
tests_unit_test_dns_LDADD = $(packet_libs) $(CMOCKA_LIBS)
tests_unit_test_dns_stream_SOURCES = tests/unit/test_dns_stream.c
tests_unit_test_dns_stream_LDADD = $(packet_libs) $(CMOCKA_LIBS)
endif
