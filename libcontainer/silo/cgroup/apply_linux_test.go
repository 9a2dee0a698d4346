package cgroup

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func contextIn(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func TestApplyV1(t *testing.T) {
	l := realV1(t)
	r := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{denyAll, entry(true, "c", 10, 229, "rwm"), entry(true, "b", 8, 20, "rw"), entry(true, "b", 10, 200, "r")},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(60000)), Burst: ptr(uint64(1000)), Cpus: "0", Mems: "0"},
		Memory: &specs.LinuxMemory{
			Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20)), Reservation: ptr(int64(32 << 20)), KernelTCP: ptr(int64(16 << 20)),
			Kernel: ptr(int64(48 << 20)), Swappiness: ptr(uint64(11)), DisableOOMKiller: ptr(true),
		},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(77))},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0))},
	}
	g := create(t, l, r, false)
	var warned []string
	if err := g.Apply(r, func(format string, args ...any) { warned = append(warned, format) }); err != nil {
		t.Fatal(err)
	}
	if err := g.Guard(r.Devices); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "cpu", map[string]string{"cpu.shares": "512", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "60000", "cpu.cfs_burst_us": "1000"})
	expect(t, g, "cpuset", map[string]string{"cpuset.cpus": "0", "cpuset.mems": "0"})
	expect(t, g, "memory", map[string]string{
		"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "100663296", "memory.soft_limit_in_bytes": "33554432",
		"memory.kmem.tcp.limit_in_bytes": "16777216", "memory.swappiness": "11",
	})
	if got := read1(t, g, "memory", "memory.oom_control"); !strings.HasPrefix(got, "oom_kill_disable 1") {
		t.Errorf("memory.oom_control %q", got)
	}
	expect(t, g, "pids", map[string]string{"pids.max": "77"})
	if got := read1(t, g, "devices", "devices.list"); !strings.HasPrefix(got, "c 10:229 rwm\nb 8:20 rw\nb 10:200 r\nc *:* m\n") {
		t.Errorf("devices.list:\n%s", got)
	}
	limited := read1(t, g, "memory", "memory.kmem.limit_in_bytes") == "50331648"
	if limited == (len(warned) == 1) {
		t.Errorf("kernel memory limited: %v, but warned %q", limited, warned)
	}
}

func TestUpdateOrder(t *testing.T) {
	l := realV1(t)
	g := create(t, l, nil, false)
	if err := g.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct{ limit, swap int64 }{{64 << 20, 64 << 20}, {256 << 20, 512 << 20}, {16 << 20, 32 << 20}, {-1, 0}, {8 << 20, 8 << 20}} {
		r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &m.limit, Swap: &m.swap}}
		if err := g.Update(r, nil); err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		if m.limit > 0 {
			expect(t, g, "memory", map[string]string{
				"memory.limit_in_bytes": strconv.FormatInt(m.limit, 10), "memory.memsw.limit_in_bytes": strconv.FormatInt(m.swap, 10),
			})
		}
	}
	for _, c := range []struct {
		quota         int64
		period, burst uint64
	}{{100000, 100000, 100000}, {5000, 10000, 0}, {900000, 1000000, 800000}, {2000, 1000, 2000}} {
		r := &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &c.quota, Period: &c.period, Burst: &c.burst}}
		if err := g.Update(r, nil); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		expect(t, g, "cpu", map[string]string{
			"cpu.cfs_quota_us": strconv.FormatInt(c.quota, 10), "cpu.cfs_period_us": unsigned(c.period), "cpu.cfs_burst_us": unsigned(c.burst),
		})
	}
	// Only what is given changes.
	if err := g.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(9))}}, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "pids", map[string]string{"pids.max": "9"})
	expect(t, g, "cpu", map[string]string{"cpu.cfs_quota_us": "2000"})
	err := g.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(1))}}, nil)
	if err == nil || !strings.Contains(err.Error(), "linux.resources.cpu.period: write \"1\" to ") || !strings.Contains(err.Error(), "/cpu.cfs_period_us: invalid argument") {
		t.Errorf("a period of 1: %v", err)
	}
}

func TestUpdateJoinsCpuset(t *testing.T) {
	l := realV1(t)
	g := create(t, l, nil, false)
	if err := g.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := g.find("cpuset"); ok {
		t.Fatal("cpuset joined without need")
	}
	cmd := start(t, g, "sleep 100 & sleep 100 & wait")
	if err := g.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "cpuset", map[string]string{"cpuset.cpus": "0"})
	want := read1(t, g, "pids", "cgroup.procs")
	expect(t, g, "cpuset", map[string]string{"cgroup.procs": want})
	if !strings.Contains(want, strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("processes %q", want)
	}
}

func TestCpusetInherits(t *testing.T) {
	l := realV1(t)
	g := group(t, l, name()+"/a/b", nil, true)
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	d, _ := g.find("cpuset")
	for _, f := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		root, err := read(d.Mount + f)
		if err != nil {
			t.Fatal(err)
		}
		if got := read1(t, g, "cpuset", f); got != strings.TrimSpace(string(root)) {
			t.Errorf("%s is %q, want %q", f, got, root)
		}
	}
}

func TestMissingController(t *testing.T) {
	l := realV1(t)
	if l.controls("net_cls") {
		t.Skip("net_cls is mounted here")
	}
	r := &specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(7))}}
	g := create(t, l, r, false)
	if err := g.Apply(r, nil); err == nil || !strings.Contains(err.Error(), "controller net_cls is not mounted") || !strings.Contains(err.Error(), g.Path) {
		t.Errorf("got %v", err)
	}
}

func TestHugetlb(t *testing.T) {
	l := real(t)
	size := ""
	if dirs, _ := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-2048kB"); len(dirs) > 0 {
		size = "2MB"
	}
	if size == "" {
		t.Skip("needs huge pages of 2 MB")
	}
	if v2 := realV2(t).hierarchies[0].mount; !l.controls("hugetlb") {
		if all, _ := os.ReadFile(v2 + "/cgroup.controllers"); !strings.Contains(string(all), "hugetlb") {
			t.Skip("needs the hugetlb controller")
		}
	}
	r := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: size, Limit: 4 << 20}}}
	g := group(t, l, name(), r, false)
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(r, nil); err != nil {
		t.Fatal(err)
	}
	if l.controls("hugetlb") {
		expect(t, g, "hugetlb", map[string]string{"hugetlb.2MB.limit_in_bytes": "4194304"})
	} else {
		expect(t, g, "", map[string]string{"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304"})
	}
	if s, err := g.Stats(); err != nil || len(s.Hugetlb) == 0 {
		t.Errorf("stats: %+v %v", s, err)
	}
	bad := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}}
	if err := g.Update(bad, nil); err == nil || !strings.Contains(err.Error(), "hugetlb.3MB") {
		t.Errorf("page size 3MB: %v", err)
	}
	if err := g.Remove(background(t)); err != nil {
		t.Error(err)
	}
}

// The device list holds for a process: null may be opened, another device not.
func TestDevicesHold(t *testing.T) {
	dir := t.TempDir()
	for n, dev := range map[string][2]uint32{"null": {1, 3}, "kmsg": {1, 11}} {
		if err := unix.Mknod(dir+"/"+n, unix.S_IFCHR|0o666, int(unix.Mkdev(dev[0], dev[1]))); err != nil {
			t.Skipf("needs to make device nodes: %v", err)
		}
	}
	look := func(t *testing.T, g *Group) string {
		t.Helper()
		cmd := start(t, g, "cd "+dir+"; r=; (: < null) 2>/dev/null && r=null; (: < kmsg) 2>/dev/null && r=$r,kmsg; echo $r > answer")
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(dir + "/answer")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	for name, layout := range map[string]func(testing.TB) *Layout{"v1": realV1, "v2": realV2} {
		t.Run(name, func(t *testing.T) {
			g := create(t, layout(t), nil, false)
			if got := look(t, g); got != "null,kmsg" {
				t.Skipf("needs to open /dev/kmsg: %q", got)
			}
			for _, c := range []struct {
				list []specs.LinuxDeviceCgroup
				want string
			}{{nil, "null"}, {[]specs.LinuxDeviceCgroup{denyAll, entry(true, "c", 1, 11, "r")}, "null,kmsg"}, {[]specs.LinuxDeviceCgroup{denyAll}, "null"}} {
				if err := g.Guard(c.list); err != nil {
					t.Fatal(err)
				}
				if got := look(t, g); got != c.want {
					t.Errorf("%v: may open %q, want %q", c.list, got, c.want)
				}
			}
		})
	}
}

// On a machine with nothing but v2 all limits are tried for real.
func TestApplyV2(t *testing.T) {
	l := real(t)
	if !l.Pure() {
		t.Skip("needs a machine with cgroup v2 only")
	}
	r := &specs.LinuxResources{
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(50000)), Period: ptr(uint64(60000))},
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(77))},
	}
	g := create(t, l, r, false)
	if err := g.Apply(r, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "", map[string]string{"cpu.weight": "100", "cpu.max": "50000 60000", "memory.max": "67108864", "pids.max": "77"})
}
