# The kernel's side of weir-netd: netfilter queues, sets of nft and ipset.
if BUILD_NETD
noinst_LTLIBRARIES += libnfq.la
libnfq_la_SOURCES = \
	src/nfq/ipset.c src/nfq/ipset.h \
	src/nfq/neigh.c src/nfq/neigh.h \
	src/nfq/nfgen.c src/nfq/nfgen.h \
	src/nfq/nfqueue.c src/nfq/nfqueue.h \
	src/nfq/nfsend.c src/nfq/nfsend.h \
	src/nfq/nfset.c src/nfq/nfset.h
libnfq_la_LIBADD = libnet.la libos.la libbase.la $(NFQUEUE_LIBS) $(MNL_LIBS)
endif
