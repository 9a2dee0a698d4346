#!/bin/sh
# Makes an OCI bundle in a new directory: `wrun spec` writes config.json, and
# the root file system is nothing but busybox, its applets as links, and users.
#
#   make-bundle.sh DIR                      an interactive shell
#   make-bundle.sh DIR PROGRAM [ARGUMENT…]  this program, without a terminal
#
# WRUN and BUSYBOX name other programs than the built wrun and /bin/busybox.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
wrun=${WRUN:-$here/../../bin/wrun}
busybox=${BUSYBOX:-/bin/busybox}

[ $# -ge 1 ] || { echo "usage: make-bundle.sh DIR [PROGRAM [ARGUMENT…]]" >&2; exit 2; }
dir=$1
shift
[ -x "$wrun" ] || { echo "make-bundle.sh: no $wrun: run make first, or set WRUN" >&2; exit 1; }
[ -x "$busybox" ] || { echo "make-bundle.sh: no $busybox: apt-get install busybox-static" >&2; exit 1; }
# A root file system without libraries can only run a static program.
! ldd "$busybox" >/dev/null 2>&1 || { echo "make-bundle.sh: $busybox is not static: apt-get install busybox-static" >&2; exit 1; }

mkdir -p "$dir"
mkdir "$dir/rootfs"
cd "$dir/rootfs"
mkdir bin dev etc home proc root sys tmp
chmod 1777 tmp
cp "$busybox" bin/busybox
for applet in $("$busybox" --list); do
	[ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home:/bin/sh\n' >etc/passwd
printf 'root:x:0:\nguest:x:1000:\n' >etc/group
cd - >/dev/null

"$wrun" spec --bundle "$dir"
[ $# -gt 0 ] || exit 0

# Exchange process.args and process.terminal in what `wrun spec` wrote.
quote() {
	printf %s "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' | awk '{ printf "%s%s", sep, $0; sep = "\\n" }'
}
list=
for argument; do
	list="$list${list:+, }\"$(quote "$argument")\""
done
LIST=$list awk '
	/^\t\t"terminal": true/ { sub("true", "false") }
	/^\t\t"args": \[/       { print "\t\t\"args\": [" ENVIRON["LIST"] "],"; inside = 1 }
	!inside                 { print }
	inside && /^\t\t\]/     { inside = 0 }
' "$dir/config.json" >"$dir/config.json.new"
mv "$dir/config.json.new" "$dir/config.json"
