package bundle

import (
	"errors"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestSemver(t *testing.T) {
	for v, want := range map[string]bool{
		"1.0": true, "1.0.0": true, "1.3.0": true, "1.0.2-dev": true, "1.2.3-rc.1+build.05": true, "1.0.0+x": true, "0.1.0": true, "10.20.30": true,
		"1": false, "1.": false, "1.0.": false, "1..0": false, "v1.0.0": false, "1.0.0.0": false, "1.0.0-": false, "1.0.0+": false,
		"1.0.0-01": false, "01.0.0": false, "1.00.0": false, "1.0.0-a..b": false, "1.0.0-ä": false, " 1.0.0": false, "1.0.-1": false, "": false, "invalid": false,
	} {
		if got := semver(v); got != want {
			t.Errorf("semver(%q) = %v", v, got)
		}
	}
}

func TestWindowsPaths(t *testing.T) {
	for p, want := range map[string]bool{
		`C:\`: true, `c:/x`: true, `\\server\share`: true, `\\.\pipe\x`: true, `//x/y`: true,
		`C:`: false, `C:x`: false, `\x`: false, `/x`: false, `x`: false, ``: false, `1:\`: false,
	} {
		if got := windowsAbs(p); got != want {
			t.Errorf("windowsAbs(%q) = %v", p, got)
		}
	}
	for p, want := range map[string]bool{
		`\\?\Volume{ec84d99e-3f02-11e7-ac6c-00155d7682cf}\`:  true,
		`\\?\Volume{EC84D99E-3F02-11E7-AC6C-00155D7682CF}`:   true,
		`\\?\Volume{ec84d99e-3f02-11e7-ac6c}\`:               false,
		`\\?\Volume{}\`:                                      false,
		`\\?\Volume{`:                                        false,
		`\\?\Volume{ec84d99e-3f02-11e7-ac6c-00155d7682cf}\x`: false,
		`C:\rootfs`: false,
	} {
		if got := volumePath(p); got != want {
			t.Errorf("volumePath(%q) = %v", p, got)
		}
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":             "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":             "net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/1.forwarding": "net/ipv4/conf/eth0.1/forwarding",
		"net/ipv4/conf/eth0.1/forwarding": "net/ipv4/conf/eth0.1/forwarding",
		"net.x/../../kernel/core_pattern": "",
		"net/../kernel/core_pattern":      "",
		"net..x":                          "",
		".net":                            "",
		"/net/x":                          "",
		"net.":                            "",
		"":                                "",
	} {
		got, ok := sysctlPath(name)
		if ok != (want != "") || ok && got != want {
			t.Errorf("sysctlPath(%q) = %q, %v", name, got, ok)
		}
	}
}

func TestCPULists(t *testing.T) {
	for s, want := range map[string]bool{
		"0": true, "0-3,7": true, "7,0-3\n": true, "65535": true,
		",": false, "0-": false, "-1": false, "3-1": false, "a": false, "0,,1": false, "65536": false, "0-1-2": false, "0x1": false, "+1": false,
	} {
		if got := validList(s); got != want {
			t.Errorf("validList(%q) = %v", s, got)
		}
	}
}

// sandbox is a Spec that passes; each test spoils one thing.
func sandbox() *specs.Spec {
	s := &specs.Spec{
		Version: "1.3.0",
		Root:    &specs.Root{Path: "/rootfs"},
		Process: &specs.Process{Args: []string{"true"}, Cwd: "/"},
		Linux:   &specs.Linux{},
	}
	for _, n := range []specs.LinuxNamespaceType{"pid", "network", "mount", "ipc", "uts"} {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: n})
	}
	return s
}

// What differs between silo and utility VM, and between the two systems.
func TestTargets(t *testing.T) {
	silo, vm := Target{OS: "linux"}, Target{OS: "linux", VM: true}
	rootless := "root: is REQUIRED"
	if runtime.GOOS == "windows" {
		rootless = "" // "For Hyper-V Containers, this field MUST NOT be set", says config.md of this platform
	}
	for _, c := range []struct {
		name   string
		target Target
		edit   func(*specs.Spec)
		want   string // "" for no error
	}{
		{"plain", silo, func(*specs.Spec) {}, ""},
		{"plain", vm, func(*specs.Spec) {}, ""},
		{"no root, silo", silo, func(s *specs.Spec) { s.Root = nil }, "root: is REQUIRED"},
		{"no root, Linux bundle in a VM", vm, func(s *specs.Spec) { s.Root = nil }, rootless},
		{"host sysctl", silo, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }, "is in no namespace"},
		{"VM's own sysctl", vm, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }, ""},
		{"traversal in a VM", vm, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net/../x": "1"} }, "is no name of a kernel parameter"},
		{"no linux section", silo, func(s *specs.Spec) { s.Linux = nil }, ""},
		{"no linux section, hostname", silo, func(s *specs.Spec) { s.Linux, s.Hostname = nil, "h" }, "hostname = "},
		{"commandLine only", silo, func(s *specs.Spec) { s.Process.Args, s.Process.CommandLine = nil, "x" }, "process.args: is missing"},
		{"selector without layers", vm, func(s *specs.Spec) { s.Windows = &specs.Windows{HyperV: &specs.WindowsHyperV{}} }, ""},
		{"windows without its section", Target{OS: "windows"}, func(s *specs.Spec) {
			s.Root, s.Linux = nil, nil
			s.Process.Cwd = `C:\`
		}, "windows: is missing"},
	} {
		s := sandbox()
		c.edit(s)
		err := (&Bundle{Spec: s}).Check(c.target)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// Every name the specification lists must pass.
func TestNamesOfTheSpecification(t *testing.T) {
	s := sandbox()
	s.Process.Capabilities = &specs.LinuxCapabilities{}
	for _, n := range strings.Fields(capabilityNames) {
		s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_"+n)
	}
	if len(s.Process.Capabilities.Bounding) != 41 {
		t.Errorf("%d capabilities; Linux 6.x has 41", len(s.Process.Capabilities.Bounding))
	}
	for _, n := range strings.Fields(rlimits) {
		s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: n, Soft: 1, Hard: math.MaxUint64})
	}
	if len(s.Process.Rlimits) != 16 {
		t.Errorf("%d limits; getrlimit(2) has 16", len(s.Process.Rlimits))
	}
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/x"}
	for _, a := range strings.Fields(seccompArchs) {
		s.Linux.Seccomp.Architectures = append(s.Linux.Seccomp.Architectures, specs.Arch(a))
	}
	for _, a := range []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify} {
		s.Linux.Seccomp.Syscalls = append(s.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"x"}, Action: a})
	}
	for _, op := range []specs.LinuxSeccompOperator{specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual} {
		s.Linux.Seccomp.Syscalls[0].Args = append(s.Linux.Seccomp.Syscalls[0].Args, specs.LinuxSeccompArg{Index: 5, Op: op})
	}
	for _, n := range []specs.LinuxNamespaceType{specs.UserNamespace, specs.CgroupNamespace, specs.TimeNamespace} {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: n})
	}
	for _, p := range []string{"shared", "slave", "private", "unbindable", "rshared"} {
		s.Linux.RootfsPropagation = p
		if err := (&Bundle{Spec: s}).Check(Target{OS: "linux"}); err != nil {
			t.Error(err)
		}
	}
	if w := (&Bundle{Spec: s}).Warnings(Target{OS: "linux"}); len(w) > 0 {
		t.Error(w)
	}
}

func TestParseProcess(t *testing.T) {
	linux := Target{OS: "linux"}
	p, err := ParseProcess([]byte(`{"args":["id"],"cwd":"/","user":{"uid":5,"gid":6},"env":["A=b"]}`), linux)
	if err != nil || p.Args[0] != "id" || p.User.UID != 5 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := ParseProcess([]byte(`{"args":["id"],"cwd":"/"}`), linux); err != nil {
		t.Errorf("without user: %v", err)
	}
	for data, want := range map[string]string{
		`{"args":[],"cwd":"x"}`:                  "process: 2 problems\n  cwd = \"x\": MUST be an absolute path; such as \"/\" (config.md, Process)\n  args: is missing; at least one entry is REQUIRED; name the program to run (config.md, Process)",
		`{"args":"id","cwd":"/"}`:                `process: args = "id": is a string, expected an array of strings (config.md, process)`,
		`{"args":["id"],"cwd":"/",}`:             "process: 1:26: invalid character",
		`{"args":["id"],"cwd":"/","terminal":1}`: "process: terminal = 1: is a number, expected a boolean (config.md, process)",
		``:                                       "process: the file is empty",
		`null`:                                   "cwd: is REQUIRED",
	} {
		_, err := ParseProcess([]byte(data), linux)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", data, err, want)
		}
	}
	if _, err := ParseProcess([]byte(`{"commandLine":"cmd","cwd":"C:\\"}`), Target{OS: "windows"}); err != nil {
		t.Error(err)
	}
}

func TestParseResources(t *testing.T) {
	r, err := ParseResources([]byte(`{"memory":{"limit":1048576},"cpu":{"shares":0},"pids":{"limit":-1},"blockIO":{"weight":0}}`))
	if err != nil || *r.Memory.Limit != 1<<20 {
		t.Errorf("%+v, %v", r, err)
	}
	for data, want := range map[string]string{
		`{"memory":{"limit":-5}}`:      `resources: memory.limit = -5: is below -1; write -1 for no limit (config-linux.md, Memory)`,
		`{"memory":{"limit":"5"}}`:     `resources: memory.limit = "5": is a string, expected an integer from -9223372036854775808 to 9223372036854775807 (config-linux.md, resources)`,
		`{"cpu":{"cpus":"x"}}`:         `resources: cpu.cpus = "x": is no list`,
		`[`:                            `resources: 1:2: unexpected end of JSON input`,
		`{"devices":[{"access":"r"}]}`: `resources: devices[0].allow: is REQUIRED and missing`,
	} {
		_, err := ParseResources([]byte(data))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", data, err, want)
		}
	}
}

// A hostile file must not get a million lines, nor keep the runtime busy.
func TestHostileSizes(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"ociVersion":"1.3.0","root":{"path":"/"},"process":{"cwd":"/","args":["x"],"env":["A=`)
	b.WriteString(strings.Repeat("x", 1<<20))
	b.WriteString(`"],"rlimits":[`)
	for i := range 20000 {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`{"type":"R` + strconv.Itoa(i) + `"}`)
	}
	b.WriteString(`]},"linux":{"namespaces":[`)
	for i := range 20000 {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`{"type":"N` + strconv.Itoa(i) + `"}`)
	}
	b.WriteString(`],"uidMappings":[{}` + strings.Repeat(",{}", 20000) + `]}}`)
	loaded, err := Parse("/", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	err = loaded.Check(Target{OS: "linux"})
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if n := strings.Count(err.Error(), "\n"); n != listed+1 {
		t.Errorf("%d problems on %d lines", len(e.Problems), n)
	}
	if n := len(err.Error()); n > 20000 {
		t.Errorf("a message of %d bytes", n)
	}
}

func BenchmarkParseAndCheck(b *testing.B) {
	for _, name := range []string{"runc-spec", "docker"} {
		b.Run(name, func(b *testing.B) {
			data := readCorpus(b, "good/"+name+".json")
			b.ReportAllocs()
			for b.Loop() {
				loaded, err := Parse("/bundle", data)
				if err != nil {
					b.Fatal(err)
				}
				if err := loaded.Check(Target{OS: "linux"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
