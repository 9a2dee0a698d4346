#!/bin/sh
# Builds a kernel for utility VMs of Debian's sources: the smallest there is and
# what `config` names. It takes some minutes and boots in half the time of the
# one that `make uvm` takes from its package, which does as well otherwise.
#
#	libcontainer/uvm/image/kernel/build.sh OUT
#
# writes OUT/vmlinux, and OUT/vmlinux.config, of which it was built. Sources are
# those of package linux-source, or a tree that LINUX_SOURCE names.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/wrun-kernel-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

if [ -n "${LINUX_SOURCE:-}" ]; then
	tree=$(cd "$LINUX_SOURCE" && pwd)
else
	archive=$(ls /usr/src/linux-source-*.tar.xz 2>/dev/null | sort -V | tail -n 1)
	if [ -z "$archive" ]; then
		echo "no /usr/src/linux-source-*.tar.xz: make uvm-kernel installs it as root, or name a tree by LINUX_SOURCE" >&2
		exit 1
	fi
	tar -xf "$archive" -C "$work"
	tree=$(ls -d "$work"/linux-source-*)
fi

export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' KBUILD_BUILD_USER=wrun KBUILD_BUILD_HOST=wrun KBUILD_BUILD_VERSION=1
build="$work/build"
mkdir "$build"
kernel() { make -C "$tree" O="$build" ARCH=x86_64 "$@"; }
kernel -s tinyconfig >/dev/null 2>&1
(cd "$build" && "$tree/scripts/kconfig/merge_config.sh" -m .config "$here/config" >/dev/null)
kernel -s olddefconfig

# An option that its dependencies ruled out would be missed in a container only.
lost=$(grep '^CONFIG_' "$here/config" | grep -vxFf "$build/.config" || true)
if [ -n "$lost" ]; then
	echo "this kernel has no such option, or not without another:" >&2
	echo "$lost" >&2
	exit 1
fi
kernel -s -j"$(nproc)" vmlinux
cp "$build/.config" "$out/vmlinux.config"
cp "$build/vmlinux" "$out/vmlinux.new"
strip -s "$out/vmlinux.new"
mv "$out/vmlinux.new" "$out/vmlinux"
