package silo

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestUnified runs the life cycle where /sys/fs/cgroup is cgroup v2 and
// nothing else: on a machine with v1 hierarchies in a mount namespace that
// shows only the unified one, so without the controllers that v1 holds.
func TestUnified(t *testing.T) {
	r := newRig(t, "sleep", "100")
	if filesystems := r.read("/proc/filesystems"); !strings.Contains(filesystems, "cgroup2") {
		t.Skip("this kernel has no cgroup v2")
	}
	r.with(specs.CgroupNamespace, "")
	r.mount(specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}})
	r.mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
	r.save()
	script := `set -e
grep -q 'cgroup2 cgroup2' /proc/self/mountinfo
umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
w="$0 --root state"; group=/sys/fs/cgroup/$1
$w create $1; $w start $1
echo init $(wc -l <$group/cgroup.procs)
$w exec -d $1 sleep 99
echo both $(wc -l <$group/cgroup.procs)
$w exec $1 sh -c 'grep ^0:: /proc/self/cgroup; head -1 /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x' || echo refused
$w pause $1; cat $group/cgroup.freeze; $w state $1 | grep -o paused
$w kill $1 KILL; $w delete --force $1
test ! -e $group && echo gone`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, wrun, r.id)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := os.Create(r.dir + "/out")
	r.must(err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	r.equal("life cycle", r.read(out.Name()), `init 1
both 2
0::/
1
mkdir: can't create directory '/sys/fs/cgroup/x': Read-only file system
refused
1
paused
gone`)
	if err != nil {
		t.Error(err)
	}
}
