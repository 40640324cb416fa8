#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The release as a stranger gets it: `make dist` from build/, unpacked, built
# in its own tree by the classic steps and without systemd, installed below a
# DESTDIR; and libweir used from there by a program that knows only pkg-config.
# Ends with exit status 0, or at the step that failed.

set -eux
cd "$(dirname "$0")/.."
top=$PWD
work=$top/build/check-release
dest=$work/dest

# One version: that of configure.ac heads NEWS.md and debian/changelog, and is
# what a tag on this commit says.
version=$(sed -n 's/^AC_INIT(\[weir], \[\([^]]*\)].*/\1/p' configure.ac)
test -n "$version"
case $(grep -m1 '^## ' NEWS.md) in
"## $version" | "## $version,"*) ;;
*) exit 1 ;;
esac
head -1 debian/changelog | grep -qF "weir ($version-"
if [ -e .git ]; then
    tags=$(git tag --points-at HEAD --list 'v*')
    test "${tags:-v$version}" = "v$version"
fi

rm -rf "$work"
mkdir "$work"
make -C build --no-print-directory dist-xz
mv build/weir-*.tar.xz "$work"
tar -C "$work" -xf "$work"/weir-*.tar.xz
cd "$work"/weir-*/

# It is whole: a reader and ./bootstrap check miss nothing.
missing=$(set +x && cd "$top" && find .ci debian doc contrib etc include src tests -type f \
    ! -path '*/__pycache__/*' ! -name '*~' | while read -r file; do
    test -e "$OLDPWD/$file" || echo "$file"
done)
test -z "$missing"

./configure --without-systemd --prefix=/usr --sysconfdir=/etc \
    --localstatedir=/var --runstatedir=/run CFLAGS=-O1
make -j"$(nproc)"
make install DESTDIR="$dest"
if ldd weir-maild | grep libsystemd; then exit 1; fi

# What a package would hold.
for file in sbin/weir-maild bin/weirctl bin/weir-replay include/weir/throttle.h \
    lib/libweir.so lib/pkgconfig/weir.pc share/man/man8/weir-maild.8 \
    share/man/man1/weirctl.1 share/man/man1/weir-replay.1 \
    share/man/man5/weir.conf.5 \
    lib/systemd/system/weir-maild.service lib/sysusers.d/weir.conf \
    lib/tmpfiles.d/weir.conf share/bash-completion/completions/weirctl; do
    test -s "$dest/usr/$file"
done
# Hardened: an executable at any address, nothing writable that the loader has
# filled, no executable stack, landing marks for indirect calls (the linker drops
# their note, since Debian's own startup files have none), and the fortified and
# guarded forms in use.
for file in sbin/weir-maild sbin/weir-netd bin/weirctl bin/weir-replay \
    lib/libweir.so.0; do
    readelf -hldW "$dest/usr/$file" >"$work/elf"
    grep -q 'Type: *DYN' "$work/elf"
    grep -q GNU_RELRO "$work/elf"
    grep -qE 'BIND_NOW|FLAGS_1.*NOW' "$work/elf"
    if grep 'GNU_STACK.*E' "$work/elf"; then exit 1; fi
    case $(uname -m) in
    x86_64)
        objdump -d "$dest/usr/$file" >"$work/code"
        grep -q endbr64 "$work/code"
        ;;
    esac
done
for file in sbin/weir-maild sbin/weir-netd bin/weirctl bin/weir-replay; do
    nm -D "$dest/usr/$file" >"$work/symbols"
    grep -q __stack_chk_fail "$work/symbols"
    grep -q '__[a-z]*_chk' "$work/symbols"
    if grep -E ' U (gets|strcpy|strcat|sprintf)(@|$)' "$work/symbols"; then
        exit 1
    fi
done
grep -q -e '-D_FORTIFY_SOURCE=3' Makefile
grep -q -e '-fstack-clash-protection' Makefile
"$dest/usr/sbin/weir-maild" -V
"$dest/usr/bin/weirctl" --help >/dev/null
"$dest/usr/bin/weir-replay" --help >/dev/null
cmp "$dest/etc/weir/weir.conf" "$top/etc/weir.conf"

# Nothing is left of it, and a configuration that somebody wrote is.
make uninstall DESTDIR="$dest" >/dev/null
test -z "$(find "$dest" -type f)"
echo '# mine' >"$dest/etc/weir/weir.conf"
make install DESTDIR="$dest" >/dev/null
grep -qx '# mine' "$dest/etc/weir/weir.conf"

# libweir, which shows throttle_* alone.
system=$(pkg-config --variable pc_path pkg-config)
export PKG_CONFIG_SYSROOT_DIR="$dest" \
    PKG_CONFIG_LIBDIR="$dest/usr/lib/pkgconfig:$system"
# shellcheck disable=SC2046
cc -std=c99 -Wall -Werror -o "$work/user" "$top/tests/libweir_user.c" \
    $(pkg-config --cflags --libs weir)
LD_LIBRARY_PATH=$dest/usr/lib "$work/user"
if nm -D --defined-only "$dest/usr/lib/libweir.so" | grep -v ' throttle_'; then
    exit 1
fi
nm -D --defined-only "$dest/usr/lib/libweir.so" | awk '{print $3}' |
    LC_ALL=C sort >"$work/symbols"
sed -n 's/^ \([^@]*\)@.*/\1/p' debian/libweir0.symbols | LC_ALL=C sort |
    diff - "$work/symbols"

make uninstall DESTDIR="$dest" >/dev/null
test "$(find "$dest" -type f)" = "$dest/etc/weir/weir.conf"
make distclean
cd "$top"
rm -rf "$work"
