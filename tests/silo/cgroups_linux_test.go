package silo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// group is a file of the container's cgroup v1.
func (r *rig) group(controller, file string) string {
	r.Helper()
	return strings.TrimSpace(r.read(filepath.Join("/sys/fs/cgroup", controller, r.spec.Linux.CgroupsPath, file)))
}

func (r *rig) needV1(controllers ...string) {
	r.Helper()
	for _, c := range controllers {
		if _, err := os.Stat("/sys/fs/cgroup/" + c + "/cgroup.procs"); err != nil {
			r.Skipf("no cgroup v1 controller %s here: %v", c, err)
		}
	}
}

// need is needV1 for tests that cgroup v2 serves as well.
func (r *rig) need(controllers ...string) {
	r.Helper()
	if !unifiedOnly() {
		r.needV1(controllers...)
	}
}

func TestCgroupLimits(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.needV1("memory", "cpu", "cpuset", "pids", "blkio")
	r.spec.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20)), Swappiness: ptr(uint64(7))},
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Cpus: "0", Mems: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(33))},
		BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{
			throttle(254, 0, 1<<20),
		}},
	}
	pid := r.start()
	for _, c := range [][3]string{
		{"memory", "memory.limit_in_bytes", "67108864"}, {"memory", "memory.soft_limit_in_bytes", "33554432"}, {"memory", "memory.swappiness", "7"},
		{"cpu", "cpu.shares", "512"}, {"cpu", "cpu.cfs_quota_us", "50000"}, {"cpu", "cpu.cfs_period_us", "100000"},
		{"cpuset", "cpuset.cpus", "0"}, {"cpuset", "cpuset.mems", "0"}, {"pids", "pids.max", "33"},
		{"blkio", "blkio.throttle.read_bps_device", "254:0 1048576"},
	} {
		r.equal(c[1], r.group(c[0], c[1]), c[2])
		r.equal(c[0]+" tasks", r.group(c[0], "cgroup.procs"), fmt.Sprint(pid))
	}
	r.ok("update", "--pids-limit", "44", "--memory", fmt.Sprint(48<<20), r.id)
	r.equal("pids.max", r.group("pids", "pids.max"), "44")
	r.equal("memory", r.group("memory", "memory.limit_in_bytes"), fmt.Sprint(48<<20))
}

func throttle(major, minor int64, rate uint64) specs.LinuxThrottleDevice {
	d := specs.LinuxThrottleDevice{Rate: rate}
	d.Major, d.Minor = major, minor
	return d
}

// TestCgroupDevices: the rules hold, not only stand in files.
func TestCgroupDevices(t *testing.T) {
	r := newRig(t, sh(`mknod /tmp/disk b 254 0 && head -c1 /tmp/disk >/dev/null 2>&1 && echo disk readable
mknod /tmp/kmsg c 1 11 && head -c1 /tmp/kmsg 2>&1 >/dev/null
echo x >/dev/null && head -c1 /dev/zero | wc -c
mknod /tmp/fuse c 10 229; (: </tmp/fuse) 2>&1; (: >/tmp/fuse) 2>&1; true`)...)
	r.need("devices")
	r.spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "b", Access: "m"},
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "rw"},
		{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(5)), Access: "r"},
	}}
	r.equal("inside", r.output(), `head: /tmp/kmsg: Operation not permitted
1
sh: can't open /tmp/fuse: Operation not permitted
sh: can't create /tmp/fuse: Operation not permitted`)
}

func TestCgroupPids(t *testing.T) {
	r := newRig(t, sh(`for i in 1 2 3 4 5 6 7 8; do sleep 1 & done 2>&1; echo end`)...)
	r.need("pids")
	r.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(4))}}
	res := r.run()
	if !strings.Contains(res.out+res.err, "can't fork") || strings.Contains(res.out, "end") {
		t.Errorf("%s", res)
	}
}

func TestOutOfMemory(t *testing.T) {
	r := newRig(t, sh("exec tail /dev/zero")...)
	r.need("memory")
	r.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(16 << 20)), Swap: ptr(int64(16 << 20))}}
	if res := r.run(); res.code != 137 {
		t.Errorf("%s", res)
	}
}

// TestCgroupMount: the container sees its own groups, with and without a
// cgroup namespace.
func TestCgroupMount(t *testing.T) {
	for _, namespaced := range []bool{false, true} {
		t.Run(fmt.Sprint("namespace ", namespaced), func(t *testing.T) {
			r := newRig(t, sh("cat /sys/fs/cgroup/pids/pids.max; cat /sys/fs/cgroup/pids/cgroup.procs | head -1; mkdir /sys/fs/cgroup/pids/x 2>&1; mkdir /sys/fs/cgroup/x 2>&1; grep pids: /proc/self/cgroup | cut -d: -f3")...)
			r.needV1("pids")
			r.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(55))}}
			own := r.spec.Linux.CgroupsPath
			if namespaced {
				r.with(specs.CgroupNamespace, "")
				own = "/"
			}
			r.mount(specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}})
			r.mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
			r.equal("inside", r.output(), `55
1
mkdir: can't create directory '/sys/fs/cgroup/pids/x': Read-only file system
mkdir: can't create directory '/sys/fs/cgroup/x': Read-only file system
`+own)
		})
	}
}

func TestPause(t *testing.T) {
	r := newRig(t, sh("while :; do echo x >>/tmp/ticks; usleep 10000; done")...)
	r.start()
	size := func() int64 {
		st, err := os.Stat(filepath.Join(r.rootfs, "tmp/ticks"))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	r.until("ticks", func() bool { return size() > 0 })
	r.ok("pause", r.id)
	if s := r.state(r.id).Status; s != "paused" {
		t.Errorf("status %s", s)
	}
	before := size()
	r.ok("state", r.id) // time enough for several ticks
	r.ok("list")
	r.ok("ps", r.id)
	if after := size(); after != before {
		t.Errorf("a paused program wrote %d bytes", after-before)
	}
	if res := r.wrun("exec", r.id, "true"); res.code != 255 {
		t.Errorf("exec in a paused container: %s", res)
	}
	cmd, done := r.command("exec", "--ignore-paused", r.id, "true")
	r.must(cmd.Start())
	ended := make(chan result, 1)
	go func() { ended <- done(cmd.Wait()) }()
	select {
	case res := <-ended:
		t.Fatalf("--ignore-paused: it ended while paused: %s", res)
	case <-time.After(200 * time.Millisecond):
	}
	r.ok("resume", r.id)
	if res := <-ended; res.code != 0 {
		t.Errorf("--ignore-paused: %s", res)
	}
	r.until("ticks again", func() bool { return size() > before })
	r.ok("pause", r.id)
	r.ok("kill", r.id, "KILL")
	r.until("end of a paused container", func() bool { return r.state(r.id).Status == "stopped" })
}

func TestPausedDelete(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.start()
	r.ok("pause", r.id)
	r.ok("delete", "--force", r.id)
}

// TestCgroupTaken: a group with somebody else's process is refused by its path.
func TestCgroupTaken(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.start()
	second := newRig(t, "true")
	second.spec.Linux.CgroupsPath = r.spec.Linux.CgroupsPath
	second.refused(r.spec.Linux.CgroupsPath)
}
