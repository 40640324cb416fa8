noinst_LIBRARIES += libsmtp.a
libsmtp_a_SOURCES = \
	src/smtp/address.c src/smtp/address.h \
	src/smtp/clean.c src/smtp/clean.h \
	src/smtp/client.c src/smtp/client.h \
	src/smtp/client_auth.c \
	src/smtp/client_chunk.c \
	src/smtp/client_command.c src/smtp/client_command.h \
	src/smtp/client_private.h \
	src/smtp/client_queue.c src/smtp/client_queue.h \
	src/smtp/client_reply.c \
	src/smtp/data.c src/smtp/data.h \
	src/smtp/dovecot.c src/smtp/dovecot.h \
	src/smtp/envelope.h \
	src/smtp/ext.c src/smtp/ext.h \
	src/smtp/dsn.c src/smtp/dsn.h \
	src/smtp/header_names.c src/smtp/header_names.h \
	src/smtp/opening.c src/smtp/opening.h \
	src/smtp/reply.c src/smtp/reply.h \
	src/smtp/sasl.c src/smtp/sasl.h \
	src/smtp/server.c src/smtp/server.h \
	src/smtp/server_answer.c \
	src/smtp/server_auth.c \
	src/smtp/server_chunk.c \
	src/smtp/server_impl.h \
	src/smtp/server_input.c \
	src/smtp/server_params.c \
	src/smtp/server_time.c \
	src/smtp/server_verbs.c \
	src/smtp/xclient.c src/smtp/xclient.h
smtp_libs = libsmtp.a $(base_libs) $(IDN2_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_smtp_client \
	tests/unit/test_smtp_client_abuse
tests_unit_test_smtp_client_SOURCES = tests/unit/test_smtp_client.c \
	tests/unit/smtp_client_rig.h
tests_unit_test_smtp_client_abuse_SOURCES = \
	tests/unit/test_smtp_client_abuse.c tests/unit/smtp_client_rig.h
tests_unit_test_smtp_client_abuse_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
tests_unit_test_smtp_client_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_dovecot tests/unit/test_sasl \
	tests/unit/test_smtp_auth tests/unit/test_smtp_client_auth \
	tests/unit/test_xclient
tests_unit_test_dovecot_SOURCES = tests/unit/test_dovecot.c
tests_unit_test_dovecot_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
tests_unit_test_sasl_SOURCES = tests/unit/test_sasl.c
tests_unit_test_sasl_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
tests_unit_test_smtp_auth_SOURCES = tests/unit/test_smtp_auth.c \
	tests/unit/smtp_rig.h
tests_unit_test_smtp_auth_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
tests_unit_test_smtp_client_auth_SOURCES = \
	tests/unit/test_smtp_client_auth.c tests/unit/smtp_client_rig.h
tests_unit_test_smtp_client_auth_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
tests_unit_test_xclient_SOURCES = tests/unit/test_xclient.c
tests_unit_test_xclient_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_client_ext
tests_unit_test_smtp_client_ext_SOURCES = \
	tests/unit/test_smtp_client_ext.c tests/unit/smtp_client_rig.h
tests_unit_test_smtp_client_ext_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_address
tests_unit_test_smtp_address_SOURCES = tests/unit/test_smtp_address.c
tests_unit_test_smtp_address_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_clean
tests_unit_test_smtp_clean_SOURCES = tests/unit/test_smtp_clean.c
tests_unit_test_smtp_clean_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_data
tests_unit_test_smtp_data_SOURCES = tests/unit/test_smtp_data.c
tests_unit_test_smtp_data_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_dsn
tests_unit_test_smtp_dsn_SOURCES = tests/unit/test_smtp_dsn.c
tests_unit_test_smtp_dsn_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_header_names
tests_unit_test_header_names_SOURCES = tests/unit/test_header_names.c
tests_unit_test_header_names_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_opening
tests_unit_test_smtp_opening_SOURCES = tests/unit/test_smtp_opening.c
tests_unit_test_smtp_opening_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_reply
tests_unit_test_smtp_reply_SOURCES = tests/unit/test_smtp_reply.c
tests_unit_test_smtp_reply_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_server
tests_unit_test_smtp_server_SOURCES = \
	tests/unit/test_smtp_server.c tests/unit/smtp_rig.h
tests_unit_test_smtp_server_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_server_chunk
tests_unit_test_smtp_server_chunk_SOURCES = \
	tests/unit/test_smtp_server_chunk.c tests/unit/smtp_rig.h
tests_unit_test_smtp_server_chunk_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_server_time
tests_unit_test_smtp_server_time_SOURCES = \
	tests/unit/test_smtp_server_time.c tests/unit/smtp_rig.h
tests_unit_test_smtp_server_time_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_smtp_starttls
tests_unit_test_smtp_starttls_SOURCES = tests/unit/test_smtp_starttls.c
tests_unit_test_smtp_starttls_LDADD = $(smtp_libs) $(CMOCKA_LIBS)
endif

noinst_PROGRAMS += tests/bench/bench_smtp
BENCHES += tests/bench/bench_smtp
tests_bench_bench_smtp_SOURCES = tests/bench/bench_smtp.c
tests_bench_bench_smtp_LDADD = $(smtp_libs) $(os_libs)
