#!/bin/sh
# Shows wrun at work: one `wrun run`, then the life of a container call by
# call, each printed with its output and exit code. Fails at the first call
# that does not do what its line says. `make tour` builds wrun and calls this.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
wrun=${WRUN:-$here/../bin/wrun}

if [ "$(id -u)" != 0 ]; then
	echo "demo: the containers shown here need root: run \`sudo examples/demo.sh\`" >&2
	exit 1
fi
sh "$here/../tests/setup.sh" busybox-static procps

work=$(mktemp -d -t wrun-demo.XXXXXX)
id=demo-$$
calls=0

clean_up() {
	code=$?
	trap - EXIT HUP INT TERM
	"$wrun" --root "$work/state" delete --force "$id" || code=1
	"$wrun" --root "$work/state" delete --force "$id-run" || code=1
	rm -rf "$work"
	[ "$code" = 0 ] || echo "demo: FAILED (exit code $code)" >&2
	exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

say() { printf '\n# %s\n' "$*"; }

# call CODE PATTERN COMMAND… runs wrun, shows it, and checks its exit code and
# that a line of its output matches the pattern, if that is not empty. The output goes to a file: a
# container keeps create's streams, and a pipe would be waited for.
call() {
	want=$1 pattern=$2
	shift 2
	printf '$ wrun %s\n' "$*"
	code=0
	"$wrun" --root "$work/state" "$@" </dev/null >"$work/output" 2>&1 || code=$?
	sed 's/^/  /' "$work/output"
	echo "  (exit code $code)"
	calls=$((calls + 1))
	if [ "$code" != "$want" ]; then
		echo "demo: exit code $code, want $want" >&2
		exit 1
	fi
	if [ -n "$pattern" ] && ! grep -q -e "$pattern" "$work/output"; then
		echo "demo: no line of the output matches \"$pattern\"" >&2
		exit 1
	fi
}

# until_matches PATTERN FILE waits up to 10 s for another process's writing.
until_matches() {
	tries=0
	until grep -q -e "$1" "$2"; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || { echo "demo: no \"$1\" in 10 s; there was:" >&2; cat "$2" >&2; exit 1; }
		sleep 0.1
	done
}

"$wrun" --version
echo "the bundles: examples/busybox/make-bundle.sh, in $work"
export WRUN="$wrun"

say "run: a whole life in one call, with the program's output and exit code."
say "The program is process 1 of its own pid namespace and has its own host name and root."
"$here/busybox/make-bundle.sh" "$work/run" sh -c \
	'echo "I am process $$ on host $(hostname); my root has: $(echo /*)"; exit 3'
call 3 'process 1 on host wrun; my root has: /bin' run --bundle "$work/run" "$id-run"

say "create: everything is made, the program is not running yet."
"$here/busybox/make-bundle.sh" "$work/bundle" sh -c \
	'trap "echo got SIGTERM, leaving; exit 7" TERM; echo started as process $$; while :; do sleep 1 & wait; done'
call 0 '' create --bundle "$work/bundle" --pid-file "$work/pid" "$id"
# The container goes on writing to this file after `create` has ended.
mv "$work/output" "$work/container"
call 0 '"status": "created"' state "$id"

say "start: now it runs. Its first words:"
call 0 '' start "$id"
until_matches 'started as process 1' "$work/container"
sed 's/^/  /' "$work/container"

say "exec: a second process in the container sees the container's processes and none of the host's."
call 0 '^ *1 root .*sh -c trap' exec "$id" ps
call 5 '^wrun$' exec "$id" sh -c 'hostname; exit 5'

say "ps: the same processes as the host counts them."
call 0 "^root  *$(cat "$work/pid") " ps "$id"

say "pause and resume: frozen, then going on."
call 0 '' pause "$id"
call 0 '"status": "paused"' state "$id"
call 255 'paused' exec "$id" true
call 0 '' resume "$id"
call 0 '"status": "running"' state "$id"

say "A container that runs is not deleted by accident."
call 1 'not stopped' delete "$id"

say "kill: the program gets the signal and may tidy up. Its last words:"
call 0 '' kill "$id" TERM
until_matches 'got SIGTERM' "$work/container"
sed 's/^/  /' "$work/container"
tries=0
until "$wrun" --root "$work/state" state "$id" | grep -q '"status": "stopped"'; do
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || { echo "demo: still not stopped after 10 s" >&2; exit 1; }
	sleep 0.1
done
call 0 "^$id .* stopped " list

say "delete: nothing is left."
call 0 '' delete "$id"
call 1 'does not exist' state "$id"
call 0 '^ID ' list
left=$(find "$work/state" -mindepth 1)
[ -z "$left" ] || { echo "demo: left behind: $left" >&2; exit 1; }

printf '\nAll %d calls did what they should: wrun works on this machine.\n' "$calls"
