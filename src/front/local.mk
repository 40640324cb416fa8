# The ways in, in one library: src/relay, src/milter and src/policyd add theirs.
noinst_LTLIBRARIES += libfront.la
libfront_la_SOURCES = \
	src/front/foreign_path.c src/front/foreign_path.h \
	src/front/room.c src/front/room.h \
	src/front/settle.c src/front/settle.h
libfront_la_LIBADD = libdelivery.la libgate.la libspool.la libsmtp.la \
	libnet.la libos.la libbase.la $(MILTER_LIBS)
