# Debian packages from the archive that `make dist` makes, in deb/. Both are the
# same bytes wherever and whenever they are made from the same source with the
# same tools: the time is that of debian/changelog.
deb_tar = --sort=name --mtime=@$$epoch --owner=0 --group=0 \
	--numeric-owner --mode=a+rX,u+w,go-w

EXTRA_DIST += debian/changelog debian/clean debian/control debian/copyright \
	debian/libweir-dev.install debian/libweir0.install \
	debian/libweir0.symbols debian/po/POTFILES.in debian/po/de.po \
	debian/po/templates.pot debian/rules debian/source/format \
	debian/source/lintian-overrides debian/weir-maild.docs \
	debian/weir-maild.examples debian/weir-maild.install \
	debian/weir-maild.lintian-overrides \
	debian/weir-maild.postrm debian/weir-maild.preinst \
	debian/weir-maild.templates debian/weir-netd.docs \
	debian/weir-netd.examples debian/weir-netd.install \
	debian/weir-netd.postrm \
	debian/weir-replay.docs debian/weir-replay.install \
	debian/weirctl.install

DEB_BUILD_FLAGS =
.PHONY: deb
deb:
	version=`dpkg-parsechangelog -l $(srcdir)/debian/changelog -S Version`; \
	case $$version in $(VERSION)-*) ;; *) \
		echo "debian/changelog has $$version, configure.ac $(VERSION)" >&2; \
		exit 1 ;; \
	esac
	rm -rf deb && $(MKDIR_P) deb
	epoch=`dpkg-parsechangelog -l $(srcdir)/debian/changelog -S Timestamp`; \
	TAR_OPTIONS="$(deb_tar)" $(MAKE) $(AM_MAKEFLAGS) dist-xz
	mv $(distdir).tar.xz deb/$(PACKAGE)_$(VERSION).orig.tar.xz
	cd deb && tar -xf $(PACKAGE)_$(VERSION).orig.tar.xz && \
	cd $(distdir) && unset MAKEFLAGS MFLAGS MAKELEVEL && \
	dpkg-buildpackage -us -uc $(DEB_BUILD_FLAGS)
	rm -rf deb/$(distdir)
