package differential

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// variant is one bundle that both programs get.
type variant struct {
	name string
	edit func(t *rig.Test, b *rig.Bundle, o *outside)
}

// outside is what exists before the container, the same for both programs.
type outside struct {
	dir, file           string
	endpoint            string
	namespace, attached string
}

func p[T any](v T) *T { return &v }

func resources(r specs.WindowsResources) func(*rig.Test, *rig.Bundle, *outside) {
	return func(_ *rig.Test, b *rig.Bundle, _ *outside) { b.Spec.Windows.Resources = &r }
}

func cpu(c specs.WindowsCPUResources) func(*rig.Test, *rig.Bundle, *outside) {
	return resources(specs.WindowsResources{CPU: &c})
}

func process(edit func(*specs.Process)) func(*rig.Test, *rig.Bundle, *outside) {
	return func(_ *rig.Test, b *rig.Bundle, _ *outside) { edit(b.Spec.Process) }
}

func annotation(key, value string) func(*rig.Test, *rig.Bundle, *outside) {
	return func(_ *rig.Test, b *rig.Bundle, _ *outside) { b.Annotate(key, value) }
}

func mounts(make func(o *outside) []specs.Mount) func(*rig.Test, *rig.Bundle, *outside) {
	return func(_ *rig.Test, b *rig.Bundle, o *outside) { b.Spec.Mounts = make(o) }
}

// both are variants for either isolation.
var both = []variant{
	{"plain", func(*rig.Test, *rig.Bundle, *outside) {}},
	{"hostname", func(_ *rig.Test, b *rig.Bundle, _ *outside) { b.Spec.Hostname = "inside" }},
	{"memory", resources(specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: p(uint64(210 << 20))}})},
	{"cpu count", cpu(specs.WindowsCPUResources{Count: p(uint64(1))})},
	{"cpu maximum", cpu(specs.WindowsCPUResources{Maximum: p(uint16(5000))})},
	{"cpu shares", cpu(specs.WindowsCPUResources{Shares: p(uint16(2500))})},
	{"storage iops", resources(specs.WindowsResources{Storage: &specs.WindowsStorageResources{Iops: p(uint64(100))}})},
	{"storage bps", resources(specs.WindowsResources{Storage: &specs.WindowsStorageResources{Bps: p(uint64(2000000))}})},
	{"mounted folder", mounts(func(o *outside) []specs.Mount { return []specs.Mount{{Source: o.dir, Destination: `C:\data`}} })},
	{"mounted read-only", mounts(func(o *outside) []specs.Mount {
		return []specs.Mount{{Source: o.dir, Destination: `C:\data`, Options: []string{"ro"}}}
	})},
	{"mounted file", mounts(func(o *outside) []specs.Mount {
		return []specs.Mount{{Source: o.file, Destination: `C:\data\file.txt`}}
	})},
	{"mounted pipe", mounts(func(*outside) []specs.Mount {
		return []specs.Mount{{Source: `\\.\pipe\outside`, Destination: `\\.\pipe\inside`}}
	})},
	{"several mounts", mounts(func(o *outside) []specs.Mount {
		return []specs.Mount{{Source: o.dir, Destination: `C:\one`}, {Source: o.dir, Destination: `C:\two`, Options: []string{"ro"}}}
	})},
	{"environment", process(func(p *specs.Process) { p.Env = []string{"A=1", "B=x=y", "C= with spaces "} })},
	{"empty variable", process(func(p *specs.Process) { p.Env = []string{"A=1", "EMPTY="} })},
	{"user", process(func(p *specs.Process) { p.User.Username = "ContainerUser" })},
	{"working directory", process(func(p *specs.Process) { p.Cwd = `C:\windows` })},
	{"command line", process(func(p *specs.Process) { p.CommandLine = `probe  sleep  "x`; p.Args = nil })},
	{"arguments to quote", process(func(p *specs.Process) { p.Args = []string{"probe", "sleep", "a b", `c"d`, `e\`, ""} })},
	{"terminal", process(func(p *specs.Process) { p.Terminal = true })},
	{"console size", process(func(p *specs.Process) { p.Terminal = true; p.ConsoleSize = &specs.Box{Width: 132, Height: 43} })},
	{"annotated memory", annotation("io.microsoft.container.memory.sizeinmb", "300")},
	{"annotated count", annotation("io.microsoft.container.processor.count", "1")},
	{"annotated limit", annotation("io.microsoft.container.processor.limit", "3000")},
	{"annotated weight", annotation("io.microsoft.container.processor.weight", "700")},
	{"annotated storage", func(t *rig.Test, b *rig.Bundle, o *outside) {
		b.Annotate("io.microsoft.container.storage.qos.iopsmaximum", "50")
		b.Annotate("io.microsoft.container.storage.qos.bandwidthmaximum", "5000")
	}},
}

// silos are further variants of process isolation.
var silos = []variant{
	{"root brought", func(_ *rig.Test, b *rig.Bundle, _ *outside) {
		b.Spec.Root = &specs.Root{Path: `\\?\Volume{4b2d9f64-7b1e-4a57-9d5d-0f1c6a5f9a11}\`}
	}},
	{"namespace", func(_ *rig.Test, b *rig.Bundle, o *outside) {
		b.Spec.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: o.namespace}
	}},
	{"endpoint", func(_ *rig.Test, b *rig.Bundle, o *outside) {
		b.Spec.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{o.endpoint}}
	}},
	{"dns", func(_ *rig.Test, b *rig.Bundle, o *outside) {
		b.Spec.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{o.endpoint}, AllowUnqualifiedDNSQuery: true, DNSSearchList: []string{"a.example", "b.example"}}
	}},
	{"device", func(_ *rig.Test, b *rig.Bundle, _ *outside) {
		b.Spec.Windows.Devices = []specs.WindowsDevice{{ID: "5B45201D-F2F2-4F3B-85BB-30FF1F953599", IDType: "class"}}
	}},
	{"dump folder", annotation("io.microsoft.container.processdumplocation", `C:\dumps`)},
	{"ignore flushes", func(_ *rig.Test, b *rig.Bundle, _ *outside) { b.Spec.Windows.IgnoreFlushesDuringBoot = true }},
	{"servicing", func(_ *rig.Test, b *rig.Bundle, _ *outside) { b.Spec.Windows.Servicing = true }},
}

// virtual are further variants under Hyper-V.
var virtual = []variant{
	{"VM memory", annotation("io.microsoft.virtualmachine.computetopology.memory.sizeinmb", "1500")},
	{"VM processors", annotation("io.microsoft.virtualmachine.computetopology.processor.count", "1")},
	{"VM without overcommit", annotation("io.microsoft.virtualmachine.computetopology.memory.allowovercommit", "false")},
	{"utility VM named", func(t *rig.Test, b *rig.Bundle, _ *outside) {
		named := b.Dir + `\vm\UtilityVM`
		t.Copy(b.Spec.Windows.LayerFolders[1]+`\UtilityVM`, named)
		b.Spec.Windows.HyperV.UtilityVMPath = fmt.Sprint(named)
	}},
}
