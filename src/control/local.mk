# The control socket's transport.
noinst_LTLIBRARIES += libcontrol.la
libcontrol_la_SOURCES = \
	src/control/answer.c \
	src/control/conn.c \
	src/control/control.h \
	src/control/events.c \
	src/control/request.c src/control/request.h \
	src/control/server.c
libcontrol_la_LIBADD = libnet.la libos.la libbase.la $(JANSSON_LIBS)
