package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// setting is one value for one control file of one hierarchy.
type setting struct {
	field      string // of linux.resources, for errors: "cpu.shares"
	controller string // by the name its hierarchy knows it; "" is cgroup v2's core
	v2         bool
	file       string
	value      string
	or         *alternative // where file does not exist
	absent     absence      // what to do where neither does
}

// alternative is another file for the same purpose.
type alternative struct{ file, value string }

// absence says what it means that the kernel has no such file.
type absence uint8

const (
	absentFails absence = iota
	absentPasses
	absentWarns // also when the kernel knows the file but does nothing by it
)

// reader reads a control file of a v2 group as it is now, without line end;
// false when it is not there.
type reader func(file string) (string, bool)

// where tells which tree has a controller.
type where struct {
	v1 func(controller string) bool
	v2 bool // a v2 tree is mounted
}

// compile turns limits into settings, in the order they are to be written.
// Values that mean "not set" (0 for most, which engines send for a limit they
// do not have) make no setting, so they do no harm where the controller is
// missing either.
func compile(r *specs.LinuxResources, w where, now reader) ([]setting, error) {
	if r == nil {
		return nil, nil
	}
	var all []setting
	for _, part := range [...]struct {
		v1, v2 string
		set    bool
		old    func(*specs.LinuxResources) ([]setting, error)
		new    func(*specs.LinuxResources, reader) ([]setting, error)
	}{
		{"cpuset", "cpuset", r.CPU != nil, cpusetSettings, cpusetSettingsV2},
		{"cpu", "cpu", r.CPU != nil, cpuSettings, cpuSettingsV2},
		{"memory", "memory", r.Memory != nil, memorySettings, memorySettingsV2},
		{"pids", "pids", r.Pids != nil, pidsSettings, pidsSettingsV2},
		{"blkio", "io", r.BlockIO != nil, blkioSettings, ioSettings},
		{"hugetlb", "hugetlb", len(r.HugepageLimits) > 0, hugetlbSettings, hugetlbSettingsV2},
		{"rdma", "rdma", len(r.Rdma) > 0, rdmaSettings, rdmaSettingsV2},
		{"net_cls", "", r.Network != nil, classSettings, classSettingsV2},
		{"net_prio", "", r.Network != nil, prioritySettings, prioritySettingsV2},
		{"", "", len(r.Unified) > 0, unifiedSettings, unifiedSettingsV2},
	} {
		if !part.set {
			continue
		}
		var s []setting
		var err error
		v2 := w.v2 && (part.v1 == "" || !w.v1(part.v1))
		if v2 {
			s, err = part.new(r, now)
		} else {
			s, err = part.old(r)
		}
		if err != nil {
			return nil, err
		}
		for i := range s {
			s[i].v2 = v2
			switch {
			case s[i].controller != "":
			case v2:
				s[i].controller = part.v2
			default:
				s[i].controller = part.v1
			}
		}
		all = append(all, s...)
	}
	return all, nil
}

// noEquivalent is the error config-linux.md, "Unified", asks for: "If the
// conversion is not possible the runtime MUST generate an error."
func noEquivalent(field string, value any) error {
	return fmt.Errorf("linux.resources.%s: cgroup v2 has no equivalent of %v", field, value)
}

// limit writes a number of which any negative means "no limit".
func limit(n int64) string {
	if n < 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

func deviceNumber(d specs.LinuxBlockIODevice) string {
	return strconv.FormatInt(d.Major, 10) + ":" + strconv.FormatInt(d.Minor, 10)
}

func unsigned(n uint64) string { return strconv.FormatUint(n, 10) }

// plain says whether s can stand in a file's name.
func plain(s string) bool {
	return s != "" && !strings.ContainsAny(s, "/\x00\n") && s != "." && s != ".."
}

// fields splits at white space.
func fields(s string) []string { return strings.Fields(s) }
