package cgroup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func words(all []Property) string {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%s=%v ", p.Name, p.Value)
	}
	return strings.TrimSpace(b.String())
}

func TestUnitProperties(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	size := func(n uint64) *uint64 { return &n }
	weight := uint16(500)
	for _, c := range []struct {
		name    string
		r       specs.LinuxResources
		now     [2]string // quota and period in effect
		v1, v2  string
		refused string
	}{
		{name: "nothing"},
		{
			name: "all",
			r: specs.LinuxResources{
				CPU:     &specs.LinuxCPU{Shares: size(1024), Quota: number(12345), Period: size(50000), Cpus: "0-1,9", Mems: "0"},
				Memory:  &specs.LinuxMemory{Limit: number(4096), Reservation: number(1024), Swap: number(8192)},
				Pids:    &specs.LinuxPids{Limit: number(7)},
				BlockIO: &specs.LinuxBlockIO{Weight: &weight},
			},
			v1: "CPUShares=1024 MemoryLimit=4096 TasksMax=7 BlockIOWeight=500 CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=250000",
			v2: "AllowedCPUs=[3 2] AllowedMemoryNodes=[1] CPUWeight=100 MemorySwapMax=4096 MemoryMax=4096 MemoryLow=1024 TasksMax=7 IOWeight=4500 CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=250000",
		},
		{
			name:    "idle, and the least",
			r:       specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: size(512), Idle: number(1)}, Unified: map[string]string{"memory.max": "0", "pids.max": "0", "memory.swap.max": "0"}},
			v2:      "CPUWeight=0 MemoryMax=1 MemorySwapMax=0 TasksMax=1",
			refused: "unified",
		},
		{
			name: "no limits",
			r: specs.LinuxResources{
				CPU: &specs.LinuxCPU{Quota: number(-1)}, Memory: &specs.LinuxMemory{Limit: number(-1)}, Pids: &specs.LinuxPids{Limit: number(-1)},
			},
			now: [2]string{"5000", "100000"},
			v1:  "MemoryLimit=18446744073709551615 TasksMax=18446744073709551615 CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=18446744073709551615",
			v2:  "MemorySwapMax=18446744073709551615 MemoryMax=18446744073709551615 TasksMax=18446744073709551615 CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=18446744073709551615",
		},
		{
			name: "quota of a period in effect", r: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: number(10000)}},
			now: [2]string{"25000", "50000"},
			v1:  "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=200000",
			v2:  "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=200000",
		},
		{
			name: "v2's own words",
			r: specs.LinuxResources{Unified: map[string]string{
				"memory.high": "max", "memory.min": "5", "io.weight": "8:0 100", "cpu.max": "max 20000", "pids.max": "9", "cgroup.max.depth": "1",
			}},
			v2:      "MemoryHigh=18446744073709551615 MemoryMin=5 TasksMax=9 CPUQuotaPeriodUSec=20000 CPUQuotaPerSecUSec=18446744073709551615",
			refused: "unified",
		},
	} {
		for _, v2 := range []bool{false, true} {
			list, err := compile(&c.r, where{v1: func(string) bool { return !v2 }, v2: v2}, func(string) (string, bool) { return "", false })
			if err != nil {
				if v2 || c.refused == "" || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%s: %v", c.name, err)
				}
				continue
			}
			got, err := unitProperties(list, func() (string, string) { return c.now[0], c.now[1] })
			want := c.v1
			if v2 {
				want = c.v2
			}
			if err != nil || words(got) != want {
				t.Errorf("%s, v2 %v:\n%s %v, want\n%s", c.name, v2, words(got), err, want)
			}
		}
	}
	for _, list := range []string{"1-", "3-2", "a", "70000"} {
		if mask, err := bits(list); err == nil {
			t.Errorf("processors %q are %v", list, mask)
		}
	}
}

func TestDeviceProperties(t *testing.T) {
	one := func(n int64) *int64 { return &n }
	const defaults = "[char-* m] [block-* m] [/dev/char/1:3 rwm] [/dev/char/1:5 rwm] [/dev/char/1:7 rwm] [/dev/char/1:8 rwm] [/dev/char/1:9 rwm] " +
		"[/dev/char/5:0 rwm] [/dev/char/5:1 rwm] [/dev/char/5:2 rwm] [char-136 rwm]]"
	for _, c := range []struct {
		list []specs.LinuxDeviceCgroup
		want string
	}{
		{nil, "DevicePolicy=strict DeviceAllow=[" + defaults},
		{[]specs.LinuxDeviceCgroup{{Allow: true}}, "DevicePolicy=auto DeviceAllow=[]"},
		{[]specs.LinuxDeviceCgroup{{Allow: true}, {}, {Allow: true, Type: "b", Major: one(8), Access: "r"}, {Allow: true, Major: one(9), Minor: one(1)},
			{Allow: true, Type: "c", Minor: one(7)}, {Type: "b", Major: one(8), Minor: one(1)},
			{Allow: true, Type: "c", Major: one(10), Minor: one(229)}, {Type: "c", Major: one(10), Access: "wm"},
			{Allow: true, Type: "c", Major: one(11), Minor: one(1)}, {Major: one(11), Minor: one(1)}},
			"DevicePolicy=strict DeviceAllow=[[block-8 r] [/dev/char/9:1 rwm] [/dev/block/9:1 rwm] [/dev/char/10:229 r] " + defaults},
	} {
		rules, err := deviceRules(c.list)
		if err != nil {
			t.Fatal(err)
		}
		if got := words(deviceProperties(rules)); got != c.want {
			t.Errorf("%+v:\n%s, want\n%s", c.list, got, c.want)
		}
	}
}

// TestScope: a unit's group takes part where systemd looks for its processes.
func TestScope(t *testing.T) {
	l := layout(t, hybridMounts, hybridSelf)
	g, slice, err := l.Scope("a-b.slice:libpod:x", "id", nil, false, "")
	if err != nil || slice != "a-b.slice" || g.Unit != "libpod-x.scope" || g.Path != "/a.slice/a-b.slice/libpod-x.scope" {
		t.Errorf("%+v of %s, %v", g, slice, err)
	}
	for _, controllers := range []string{"name=systemd", "", "memory"} {
		if _, ok := g.find(controllers); !ok {
			t.Errorf("it takes no part in %q", controllers)
		}
	}
	if g, slice, err = l.Scope("", "id", nil, false, ""); err != nil || slice != "system.slice" || g.Unit != "wrun-id.scope" {
		t.Errorf("without a path: %+v of %s, %v", g, slice, err)
	}
	const user = "/user.slice/user-1.slice/user@1.service"
	for path, want := range map[string]string{"user.slice:libpod:x": "/user.slice/libpod-x.scope", "": "/user.slice/wrun-id.scope", "-.slice:a:b": "/a-b.scope"} {
		if g, _, err = l.Scope(path, "id", nil, false, user); err != nil || g.Path != user+want {
			t.Errorf("a user's %q: %+v, %v", path, g, err)
		}
	}
	for _, path := range []string{"/x", "x", "a:b", "a:b:c", "a.slice:b:", "a.slice:b:c.slice", ".slice:a:b", "a--b.slice:c:d", "a.slice:b:c/d"} {
		if g, _, err := l.Scope(path, "id", nil, false, ""); err == nil {
			t.Errorf("%q is %+v", path, g)
		}
	}
}
