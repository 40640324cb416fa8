# The kernel's side of weir-netd: netfilter queues, sets of nft and ipset.
if BUILD_NETD
noinst_LIBRARIES += libnfq.a
libnfq_a_SOURCES = \
	src/nfq/neigh.c src/nfq/neigh.h \
	src/nfq/nfgen.c src/nfq/nfgen.h \
	src/nfq/nfqueue.c src/nfq/nfqueue.h \
	src/nfq/nfset.c src/nfq/nfset.h
nfq_libs = libnfq.a $(net_libs) $(NFQUEUE_LIBS) $(MNL_LIBS)
endif
