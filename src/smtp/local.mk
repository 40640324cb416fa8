noinst_LTLIBRARIES += libsmtp.la
libsmtp_la_SOURCES = \
	src/smtp/address.c src/smtp/address.h \
	src/smtp/data.c src/smtp/data.h \
	src/smtp/envelope.h \
	src/smtp/ext.c src/smtp/ext.h \
	src/smtp/reply.c src/smtp/reply.h \
	src/smtp/server.c src/smtp/server.h \
	src/smtp/server_answer.c \
	src/smtp/server_impl.h \
	src/smtp/server_input.c \
	src/smtp/server_params.c \
	src/smtp/server_time.c \
	src/smtp/server_verbs.c
libsmtp_la_LIBADD = libbase.la $(IDN2_LIBS)
