package cgroup

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

// text prints settings as "controller file=value".
func text(list []setting) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s %s=%s\n", s.controller, s.file, s.value)
	}
	return b.String()
}

func v1Only() where { return where{v1: func(string) bool { return true }} }
func v2Only() where { return where{v1: func(string) bool { return false }, v2: true} }

func files2(m map[string]string) reader {
	return func(f string) (string, bool) { v, ok := m[f]; return v, ok }
}

var dev80 = specs.LinuxBlockIODevice{Major: 8, Minor: 0}

func TestSettings(t *testing.T) {
	full := specs.LinuxResources{
		CPU: &specs.LinuxCPU{
			Shares: ptr(uint64(1024)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(1000)),
			Idle: ptr(int64(0)), Cpus: "0-1", Mems: "0",
		},
		Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20)), Swap: ptr(int64(3 << 20)), Reservation: ptr(int64(1 << 19))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(0))},
		BlockIO: &specs.LinuxBlockIO{
			Weight:                  ptr(uint16(500)),
			WeightDevice:            []specs.LinuxWeightDevice{{LinuxBlockIODevice: dev80, Weight: ptr(uint16(10))}},
			ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev80, Rate: 600}},
			ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev80, Rate: 0}},
		},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}},
		Rdma:           map[string]specs.LinuxRdma{"mlx": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(9))}},
	}
	for _, c := range []struct {
		name string
		w    where
		r    specs.LinuxResources
		now  map[string]string
		want string
	}{
		{"v1", v1Only(), full, nil, `cpuset cpuset.cpus=0-1
cpuset cpuset.mems=0
cpu cpu.shares=1024
cpu cpu.cfs_period_us=100000
cpu cpu.cfs_quota_us=50000
cpu cpu.cfs_burst_us=1000
cpu cpu.idle=0
memory memory.limit_in_bytes=1048576
memory memory.memsw.limit_in_bytes=3145728
memory memory.soft_limit_in_bytes=524288
pids pids.max=1
blkio blkio.weight=500
blkio blkio.weight_device=8:0 10
blkio blkio.throttle.read_bps_device=8:0 600
blkio blkio.throttle.write_iops_device=8:0 0
hugetlb hugetlb.2MB.limit_in_bytes=4194304
hugetlb hugetlb.2MB.rsvd.limit_in_bytes=4194304
rdma rdma.max=mlx hca_handle=3 hca_object=9
`},
		{"v2", v2Only(), full, nil, `cpuset cpuset.cpus=0-1
cpuset cpuset.mems=0
cpu cpu.weight=100
cpu cpu.max=50000 100000
cpu cpu.max.burst=1000
cpu cpu.idle=0
memory memory.swap.max=2097152
memory memory.max=1048576
memory memory.low=524288
pids pids.max=1
io io.bfq.weight=500
io io.bfq.weight=8:0 10
io io.max=8:0 rbps=600
io io.max=8:0 wiops=max
hugetlb hugetlb.2MB.max=4194304
hugetlb hugetlb.2MB.rsvd.max=4194304
rdma rdma.max=mlx hca_handle=3 hca_object=9
`},
		{"v1: the rest", v1Only(), specs.LinuxResources{
			CPU: &specs.LinuxCPU{Quota: ptr(int64(-1)), RealtimePeriod: ptr(uint64(1000000)), RealtimeRuntime: ptr(int64(95000))},
			Memory: &specs.LinuxMemory{
				Limit: ptr(int64(-1)), Kernel: ptr(int64(7)), KernelTCP: ptr(int64(8)),
				Swappiness: ptr(uint64(0)), DisableOOMKiller: ptr(true),
			},
			Pids:    &specs.LinuxPids{Limit: ptr(int64(-1))},
			Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1048577)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 5}}},
			BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr(uint16(30))},
		}, nil, `cpu cpu.cfs_quota_us=-1
cpu cpu.rt_period_us=1000000
cpu cpu.rt_runtime_us=95000
memory memory.limit_in_bytes=-1
memory memory.memsw.limit_in_bytes=-1
memory memory.kmem.limit_in_bytes=7
memory memory.kmem.tcp.limit_in_bytes=8
memory memory.swappiness=0
memory memory.oom_control=1
pids pids.max=max
blkio blkio.leaf_weight=30
net_cls net_cls.classid=1048577
net_prio net_prio.ifpriomap=lo 5
`},
		{"what engines send for no limit", v1Only(), specs.LinuxResources{
			CPU:     &specs.LinuxCPU{Shares: ptr(uint64(0)), Quota: ptr(int64(0)), Period: ptr(uint64(0))},
			Memory:  &specs.LinuxMemory{Limit: ptr(int64(0)), Swap: ptr(int64(0)), Swappiness: ptr(uint64(math.MaxUint64)), DisableOOMKiller: ptr(false)},
			BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0)), LeafWeight: ptr(uint16(0))},
			Pids:    &specs.LinuxPids{},
			Network: &specs.LinuxNetwork{},
		}, nil, ""},
		{"v2: period alone keeps the quota", v2Only(), specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(20000))}}, map[string]string{"cpu.max": "7000 100000"}, "cpu cpu.max=7000 20000\n"},
		{"v2: quota alone keeps the period", v2Only(), specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}, nil, "cpu cpu.max=max\n"},
		{"v2: swap on top of the limit in effect", v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(300))}}, map[string]string{"memory.max": "100"}, "memory memory.swap.max=200\n"},
		{"v2: unlimited", v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1))}}, nil, "memory memory.swap.max=max\nmemory memory.max=max\n"},
		{"v2: unified, last and sorted, a line a write", v2Only(), specs.LinuxResources{
			Pids: &specs.LinuxPids{Limit: ptr(int64(4))}, Unified: map[string]string{"pids.max": "5", "io.max": "8:0 rbps=1\n8:1 rbps=2\n", "cgroup.max.depth": "1"},
		}, nil, "pids pids.max=4\n cgroup.max.depth=1\nio io.max=8:0 rbps=1\nio io.max=8:1 rbps=2\npids pids.max=5\n"},
		{"hybrid", where{v1: func(c string) bool { return c != "hugetlb" }, v2: true}, specs.LinuxResources{
			Pids: &specs.LinuxPids{Limit: ptr(int64(4))}, HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "1GB"}},
		}, nil, "pids pids.max=4\nhugetlb hugetlb.1GB.max=0\nhugetlb hugetlb.1GB.rsvd.max=0\n"},
	} {
		got, err := compile(&c.r, c.w, files2(c.now))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if text(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, text(got), c.want)
		}
	}
}

func TestSettingsRefused(t *testing.T) {
	for _, c := range []struct {
		w    where
		r    specs.LinuxResources
		now  map[string]string
		want string
	}{
		{v1Only(), specs.LinuxResources{Unified: map[string]string{"pids.max": "1"}}, nil, "unified"},
		{v1Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(101))}}, nil, "swappiness 101"},
		{v1Only(), specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../x"}}}, nil, "page size"},
		{v1Only(), specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"a": {}}}, nil, "hcaHandles"},
		{v2Only(), specs.LinuxResources{Unified: map[string]string{"../pids.max": "1"}}, nil, "no control file"},
		{v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{DisableOOMKiller: ptr(true)}}, nil, "no equivalent"},
		{v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(3))}}, nil, "no equivalent"},
		{v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{KernelTCP: ptr(int64(3))}}, nil, "no equivalent"},
		{v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(3))}}, map[string]string{"memory.max": "max"}, "no memory.limit is set"},
		{v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(3)), Limit: ptr(int64(4))}}, nil, "below memory.limit 4"},
		{v2Only(), specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(4)), CheckBeforeUpdate: ptr(true)}}, map[string]string{"memory.current": "5"}, "below the current usage 5"},
		{v2Only(), specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: ptr(int64(4))}}, nil, "no equivalent"},
		{v2Only(), specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(4))}}, nil, "no equivalent"},
		{v2Only(), specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr(uint16(4))}}, nil, "no equivalent"},
	} {
		_, err := compile(&c.r, c.w, files2(c.now))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "linux.resources.") {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestWeights(t *testing.T) {
	for shares, want := range map[uint64]uint64{1: 1, 2: 1, 3: 2, 10: 4, 102: 17, 512: 59, 1024: 100, 1025: 101, 2048: 174, 262143: 10000, 262144: 10000, 1 << 40: 10000} {
		if got := weightOfShares(shares); got != want {
			t.Errorf("shares %d: weight %d, want %d", shares, got, want)
		}
	}
	last := uint64(0)
	for s := uint64(2); s <= 262144; s += 37 {
		w := weightOfShares(s)
		if w < last || w > 10000 {
			t.Fatalf("shares %d: weight %d after %d", s, w, last)
		}
		last = w
	}
	for w, want := range map[uint16]uint64{10: 1, 100: 910, 500: 4950, 1000: 10000} {
		if got := ioWeight(w); got != want {
			t.Errorf("blkio weight %d: io weight %d, want %d", w, got, want)
		}
	}
}
