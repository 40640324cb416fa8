noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
	src/base/base.c src/base/base.h \
	src/base/buf.c src/base/buf.h \
	src/base/hash.c src/base/hash.h \
	src/base/ip.c src/base/ip.h \
	src/base/list.h \
	src/base/map.c src/base/map.h \
	src/base/str.c src/base/str.h \
	src/base/units.c src/base/units.h
libbase_la_LIBADD = $(XXHASH_LIBS)
