package uvm

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/internal/golden"
)

var fallback = Image{Kernel: "/image/kernel", Initrd: "/image/initrd"}

// lines is a command line with each option and its value on a line.
func lines(args []string) []string {
	var out []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") || len(out) == 0 {
			out = append(out, a)
		} else {
			out[len(out)-1] += " " + a
		}
	}
	return out
}

// changes are the lines of other, marked by +, in place of those of base, marked
// by -. Every machine has the options of the ordinary one, and some have more.
func changes(t *testing.T, base, other []string) string {
	t.Helper()
	if len(base) > len(other) {
		t.Fatalf("options are missing: %q", other)
	}
	var b strings.Builder
	for i := range other {
		switch {
		case i >= len(base):
			b.WriteString("+" + other[i] + "\n")
		case base[i] != other[i]:
			b.WriteString("-" + base[i] + "\n+" + other[i] + "\n")
		}
	}
	return b.String()
}

func memoryOf(bytes int64) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bytes}}
	}
}

func cpuOf(quota int64, period uint64) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}}
	}
}

func windows(r specs.WindowsResources) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Windows = &specs.Windows{Resources: &r} }
}

func vmOf(v specs.VM) func(*specs.Spec) { return func(s *specs.Spec) { s.VM = &v } }

func hardware(h specs.HWConfig) func(*specs.Spec) { return vmOf(specs.VM{HwConfig: &h}) }

func utilityVM(path string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Windows = &specs.Windows{HyperV: &specs.WindowsHyperV{UtilityVMPath: path}}
	}
}

// machineOf is the Machine of the ordinary Spec with edits.
func machineOf(edits ...func(*specs.Spec)) (*Machine, error) {
	s := ordinary()
	for _, edit := range edits {
		edit(s)
	}
	m, err := NewMachine(s, fallback)
	if err == nil {
		m.Accel = TCG
	}
	return m, err
}

// TestArguments: the ordinary machine's command line in full, and what each wish
// makes different in it.
func TestArguments(t *testing.T) {
	m, err := machineOf()
	if err != nil {
		t.Fatal(err)
	}
	base := lines(m.Arguments(freshMemory))
	golden.Check(t, "machine", strings.Join(base, "\n")+"\n")

	all := specs.VM{
		Hypervisor: specs.VMHypervisor{Path: "/opt/qemu"},
		Kernel:     specs.VMKernel{Path: "/vm/bzImage", InitRD: "/vm/initrd.img", Parameters: []string{"loglevel=7", "tsc=unstable"}},
		HwConfig:   &specs.HWConfig{VCPUs: of(uint32(4)), Memory: of(uint64(3 << 30))},
	}
	tsc := func(accel Accel) func(*Machine) {
		return func(m *Machine) { m.Accel, m.TSC = accel, 2_400_000 }
	}
	for _, c := range []struct {
		name string
		spec []func(*specs.Spec)
		edit func(*Machine)
		from memory
	}{
		{"linux-limits", []func(*specs.Spec){func(s *specs.Spec) {
			memoryOf(1<<30 + 1)(s)
			r := s.Linux.Resources
			cpuOf(250_000, 100_000)(s)
			s.Linux.Resources.Memory = r.Memory
		}}, nil, freshMemory},
		{"linux-unlimited", []func(*specs.Spec){func(s *specs.Spec) {
			memoryOf(-1)(s)
			s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: of(int64(-1)), Period: of(uint64(100_000))}
		}}, nil, freshMemory},
		{"windows-limits", []func(*specs.Spec){windows(specs.WindowsResources{
			Memory: &specs.WindowsMemoryResources{Limit: of(uint64(200 << 20))}, CPU: &specs.WindowsCPUResources{Count: of(uint64(3))}})}, nil, freshMemory},
		{"windows-limits-win", []func(*specs.Spec){cpuOf(800_000, 100_000), windows(specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: of(uint64(2))}})}, nil, freshMemory},
		{"utility-vm-path", []func(*specs.Spec){utilityVM("/my vm,1")}, nil, freshMemory},
		{"vm-section", []func(*specs.Spec){vmOf(all)}, nil, freshMemory},
		{"vm-section-wins", []func(*specs.Spec){memoryOf(1 << 30), utilityVM("/other"), vmOf(all)}, nil, freshMemory},
		{"vm-kernel-alone", []func(*specs.Spec){utilityVM("/other"), vmOf(specs.VM{Kernel: specs.VMKernel{Path: "/vm/bzImage"}})}, nil, freshMemory},
		{"kvm", nil, tsc(KVM), freshMemory},
		{"tcg-with-known-frequency", []func(*specs.Spec){vmOf(all)}, tsc(TCG), freshMemory},
		{"template", []func(*specs.Spec){memoryOf(1 << 28)}, nil, templateMemory},
		{"restored", []func(*specs.Spec){memoryOf(1 << 28)}, nil, restoredMemory},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := machineOf(c.spec...)
			if err != nil {
				t.Fatal(err)
			}
			if c.edit != nil {
				c.edit(m)
			}
			files := m.QEMU + "\n" + filepath.ToSlash(m.Kernel) + "\n" + filepath.ToSlash(m.Initrd) + "\n"
			golden.Check(t, "machine-"+c.name, files+changes(t, base, lines(m.Arguments(c.from))))
		})
	}
}

// TestSizes: a VM has what its container may use, and what it takes itself.
func TestSizes(t *testing.T) {
	count := func(n uint64) func(*specs.Spec) {
		return windows(specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: &n}})
	}
	for name, c := range map[string]struct {
		edit   func(*specs.Spec)
		memory uint64
		cpus   uint32
	}{
		"nothing said":              {func(*specs.Spec) {}, 512, 1},
		"no linux section":          {func(s *specs.Spec) { s.Linux = nil }, 512, 1},
		"no resources":              {func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{} }, 512, 1},
		"memory of nothing":         {memoryOf(0), 512, 1},
		"memory without limit":      {memoryOf(-1), 512, 1},
		"a byte":                    {memoryOf(1), 129, 1},
		"a MiB":                     {memoryOf(1 << 20), 129, 1},
		"a byte more than a MiB":    {memoryOf(1<<20 + 1), 130, 1},
		"a GiB":                     {memoryOf(1 << 30), 1152, 1},
		"half a processor":          {cpuOf(50_000, 100_000), 512, 1},
		"one processor":             {cpuOf(100_000, 100_000), 512, 1},
		"a little more than one":    {cpuOf(100_001, 100_000), 512, 2},
		"more than there can be":    {cpuOf(math.MaxInt64, 1), 512, 255},
		"quota without a period":    {func(s *specs.Spec) { cpuOf(400_000, 1)(s); s.Linux.Resources.CPU.Period = nil }, 512, 1},
		"quota without limit":       {cpuOf(-1, 100_000), 512, 1},
		"a period of nothing":       {cpuOf(5, 0), 512, 1},
		"windows processors":        {count(7), 512, 7},
		"no windows processors":     {count(0), 512, 1},
		"too many for windows":      {count(math.MaxUint64), 512, 255},
		"hardware":                  {hardware(specs.HWConfig{VCPUs: of(uint32(255)), Memory: of(uint64(128 << 20))}), 128, 255},
		"hardware of a MiB and odd": {hardware(specs.HWConfig{Memory: of(uint64(200<<20 + 1<<20 - 1))}), 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := machineOf(c.edit)
			if err != nil {
				t.Fatal(err)
			}
			if m.Memory != c.memory || m.CPUs != c.cpus {
				t.Errorf("%d MiB and %d processors, want %d and %d", m.Memory, m.CPUs, c.memory, c.cpus)
			}
		})
	}
}

// TestNoSuchMachine: what cannot be is refused, with the name of what asks for it.
func TestNoSuchMachine(t *testing.T) {
	const only = "vm.hwconfig: only vcpus and memory can be set"
	for _, c := range []struct {
		want string
		edit func(*specs.Spec)
	}{
		{"vm.image: ", vmOf(specs.VM{Image: specs.VMImage{Path: "/root.img", Format: "raw"}})},
		{"vm.hypervisor.parameters: ", vmOf(specs.VM{Hypervisor: specs.VMHypervisor{Parameters: []string{"-net"}}})},
		{"cannot have 0 processors", hardware(specs.HWConfig{VCPUs: of(uint32(0))})},
		{"cannot have 256 processors", hardware(specs.HWConfig{VCPUs: of(uint32(256))})},
		{"cannot have 127 MiB of memory", hardware(specs.HWConfig{Memory: of(uint64(128<<20 - 1))})},
		{"cannot have 0 MiB of memory", hardware(specs.HWConfig{Memory: of(uint64(1))})},
		{only, hardware(specs.HWConfig{DeviceTree: "/tree.dtb"})},
		{only, hardware(specs.HWConfig{DtDevs: []string{"/soc/uart"}})},
		{only, hardware(specs.HWConfig{IOMems: []specs.IOMems{{}}})},
		{only, hardware(specs.HWConfig{Irqs: []uint32{1}})},
	} {
		if m, err := machineOf(c.edit); err == nil || !strings.Contains(err.Error(), c.want) || m != nil {
			t.Errorf("%+v, %v; want …%s…", m, err, c.want)
		}
	}
}

// TestMachineLeavesTheSpec: the Spec is the caller's.
func TestMachineLeavesTheSpec(t *testing.T) {
	s := ordinary()
	parameters := append(make([]string, 0, 10), "a", "b")
	s.VM = &specs.VM{Kernel: specs.VMKernel{Parameters: parameters}}
	utilityVM("/vm")(s)
	before := pretty(t, s)
	m, err := NewMachine(s, fallback)
	if err != nil {
		t.Fatal(err)
	}
	m.Arguments(freshMemory)
	if after := pretty(t, s); after != before || parameters[:3][2] != "" {
		t.Errorf("changed to %s", after)
	}
}
