package silo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// unifiedOnly says that the machine has cgroup v2 and nothing else.
func unifiedOnly() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// unified asks for a cgroup namespace and a mount of cgroup v2 with options.
func (r *rig) unified(options ...string) {
	r.Helper()
	if !unifiedOnly() {
		r.Skip("needs a machine with cgroup v2 only")
	}
	r.with(specs.CgroupNamespace, "")
	r.mount(specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}})
	r.mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: options})
}

// asBefore takes back at the end what the test hands down of the machine's
// controllers.
func (r *rig) asBefore(file string) {
	r.Helper()
	before := strings.Fields(r.read(file))
	r.Cleanup(func() {
		for c := range strings.FieldsSeq(r.read(file)) {
			if !slices.Contains(before, c) {
				r.must(os.WriteFile(file, []byte("-"+c), 0))
			}
		}
	})
}

func TestUnifiedLimits(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.unified("ro")
	r.spec.Linux.Resources = &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20)), Swap: ptr(int64(96 << 20))},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Cpus: "0", Mems: "0"},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(33))},
		Unified: map[string]string{"memory.high": "50331648"},
	}
	r.start()
	files := "cd /sys/fs/cgroup; cat memory.max memory.low memory.high cpu.weight cpu.max cpuset.cpus cpuset.mems pids.max"
	r.equal("limits", r.ok("exec", r.id, "sh", "-c", files), "67108864\n33554432\n50331648\n59\n50000 100000\n0\n0\n33")
	r.ok("update", "--pids-limit", "44", "--memory", fmt.Sprint(48<<20), "--memory-swap", "-1", "--cpu-quota", "-1", r.id)
	r.equal("limits", r.ok("exec", r.id, "sh", "-c", files), "50331648\n33554432\n50331648\n59\nmax 100000\n0\n0\n44")
	stats := r.ok("events", "--stats", r.id)
	for _, want := range []string{`"pids":{"current":1,"limit":44}`, `"usage":{"limit":50331648,"usage":`, `"cpus":[0]`} {
		if !strings.Contains(stats, want) {
			t.Errorf("no %s in %s", want, stats)
		}
	}
}

// TestUnifiedDisk: what a container may read and write of a disk, by v1's words.
func TestUnifiedDisk(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.unified("ro")
	disks, _ := filepath.Glob("/sys/block/[sv]d[a-z]/dev")
	if len(disks) == 0 {
		t.Skip("no disk here")
	}
	number := strings.TrimSpace(r.read(disks[0]))
	var major, minor int64
	_, err := fmt.Sscanf(number, "%d:%d", &major, &minor)
	r.must(err)
	r.spec.Linux.Resources = &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
		ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{throttle(major, minor, 1<<20)},
		ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{throttle(major, minor, 900)},
	}}
	r.start()
	r.equal("limits", r.ok("exec", r.id, "cat", "/sys/fs/cgroup/io.max"), number+" rbps=1048576 wbps=max riops=max wiops=900")
}

// TestUnifiedMount: the container sees its own group, with and without a cgroup
// namespace.
func TestUnifiedMount(t *testing.T) {
	for _, namespaced := range []bool{false, true} {
		t.Run(fmt.Sprint("namespace ", namespaced), func(t *testing.T) {
			r := newRig(t, sh("cat /sys/fs/cgroup/pids.max; head -1 /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x 2>&1; cut -d: -f3 /proc/self/cgroup")...)
			r.unified("ro")
			own := "/"
			if !namespaced {
				r.without(specs.CgroupNamespace)
				own = r.spec.Linux.CgroupsPath
			}
			r.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(55))}}
			r.equal("inside", r.output(), "55\n1\nmkdir: can't create directory '/sys/fs/cgroup/x': Read-only file system\n"+own)
		})
	}
}

// TestUnifiedDivided: a container may divide its group, also as the root of a
// user namespace, and commands still get in.
func TestUnifiedDivided(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		t.Run(fmt.Sprint("users ", mapped), func(t *testing.T) {
			r := newRig(t, sh(`cd /sys/fs/cgroup && mkdir init && echo 1 >init/cgroup.procs && echo +pids >cgroup.subtree_control &&
touch /tmp/divided; exec sleep 100`)...)
			r.unified("rw")
			if mapped {
				r.mapped()
			}
			r.start()
			r.until("divided", func() bool { _, err := os.Stat(r.rootfs + "/tmp/divided"); return err == nil })
			r.equal("group of a command", r.ok("exec", r.id, "cat", "/proc/self/cgroup"), "0::/init")
			if res := r.wrun("exec", "--cgroup", "/", r.id, "true"); res.code != 255 || !strings.Contains(res.err, "device or resource busy (a cgroup that hands controllers down") {
				t.Errorf("exec in the divided group: %s", res)
			}
			r.equal("group of a command", r.ok("exec", "--cgroup", "init", r.id, "cat", "/proc/self/cgroup"), "0::/init")
			if list := r.ok("ps", r.id); !strings.Contains(list, "sleep 100") {
				t.Errorf("ps: %s", list)
			}
			if res := r.wrun("exec", r.id, "sh", "-c", "echo 5 >/sys/fs/cgroup/pids.max"); res.code == 0 {
				t.Error("the container can lift its own limits")
			}
		})
	}
}

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
	if hybrid := "/sys/fs/cgroup/unified/cgroup.subtree_control"; !unifiedOnly() {
		if _, err := os.Stat(hybrid); err == nil {
			r.asBefore(hybrid)
		}
	}
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
