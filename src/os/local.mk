noinst_LTLIBRARIES += libos.la
libos_la_SOURCES = \
	src/os/clock.c src/os/clock.h \
	src/os/counters.c src/os/counters.h \
	src/os/events.c src/os/events.h \
	src/os/file.c src/os/file.h \
	src/os/log.c src/os/log.h \
	src/os/priv.c src/os/priv.h \
	src/os/systemd.c src/os/systemd.h
libos_la_LIBADD = libbase.la $(CONFUSE_LIBS) $(SYSTEMD_LIBS)
