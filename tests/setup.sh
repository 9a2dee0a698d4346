#!/bin/sh
# Installs the Debian packages that the tests and benchmarks compare wrun with
# or take programs from, or those named as arguments. Asks the network only
# when one is missing.
#
# QEMU runs utility VMs, on the one architecture that they are built for.
#
# Wine and the C compiler for Windows are 200 MB to download and 1.2 GB on disk;
# they run the Windows build, on the one architecture that Wine runs it on.
set -eu

packages=$*
if [ -z "$packages" ]; then
	packages="runc crun busybox-static procps uidmap podman systemd gcc libc6-dev libseccomp-dev"
	if [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
		packages="$packages qemu-system-x86 iproute2 e2fsprogs wine wine64 gcc-mingw-w64-x86-64-win32"
	fi
fi

missing=
for package in $packages; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "no apt-get here: install these by hand:$missing" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "packages are missing and only root can install them: apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# Word splitting wanted: one argument for each package.
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing
