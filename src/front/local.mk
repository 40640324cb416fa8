# The ways in, in one library: src/relay, src/milter and src/policyd add theirs.
noinst_LIBRARIES += libfront.a
libfront_a_SOURCES = \
	src/front/foreign_path.c src/front/foreign_path.h \
	src/front/log_recipients.c src/front/log_recipients.h \
	src/front/room.c src/front/room.h \
	src/front/settle.c src/front/settle.h
front_libs = libfront.a $(delivery_libs) $(gate_libs) $(MILTER_LIBS)
