# The dashboard's page: its files, gzipped into the daemons.
page_files = src/page/index.html src/page/page.css \
	src/page/actions.js src/page/api.js src/page/chart.js src/page/dom.js \
	src/page/main.js src/page/mime.js src/page/text.js src/page/ui.js \
	src/page/view_access.js src/page/view_more.js src/page/view_queue.js \
	src/page/view_senders.js src/page/view_stuck.js
EXTRA_DIST += $(page_files)

noinst_PROGRAMS += page-pack
page_pack_SOURCES = src/page/pack.c
page_pack_LDADD = $(ZLIB_LIBS)

CLEANFILES += src/page/files.c
src/page/files.c: page-pack$(EXEEXT) $(page_files) src/page/local.mk
	$(AM_V_GEN)$(MKDIR_P) src/page && \
	files= && for f in $(page_files); do \
		files="$$files $(srcdir)/$$f"; \
	done && ./page-pack$(EXEEXT) $$files > $@.tmp && mv -f $@.tmp $@

noinst_LIBRARIES += libpage.a
libpage_a_SOURCES = src/page/page.c src/page/page.h
nodist_libpage_a_SOURCES = src/page/files.c
page_libs = libpage.a $(base_libs) $(ZLIB_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_page
tests_unit_test_page_SOURCES = tests/unit/test_page.c
tests_unit_test_page_CPPFLAGS = $(AM_CPPFLAGS) \
	-DWEIR_SRCDIR='"$(abs_srcdir)"'
tests_unit_test_page_LDADD = $(page_libs) $(CMOCKA_LIBS)
endif
