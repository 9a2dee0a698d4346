package bundle

import (
	"maps"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Check holds the Spec against every MUST of config.md and of the documents
// for t's platform and isolation. The error is an *Error with all problems.
func (b *Bundle) Check(t Target) error {
	c := b.check(t)
	b.checked, b.warnings = t, c.warnings
	if len(c.problems) == 0 {
		return nil
	}
	file := b.file
	if file == "" {
		file = "config.json"
	}
	return &Error{File: file, Problems: c.problems}
}

// Warnings lists what the specification lets pass but discourages, and what it
// wants logged: names of capabilities nobody knows, relative mount
// destinations, sections without effect. After Check for the same target it is
// free, and as old as that call.
func (b *Bundle) Warnings(t Target) []Problem {
	if b.checked == t {
		return b.warnings
	}
	return b.check(t).warnings
}

// checker collects; its methods each know one section of the specification.
// Paths and values of messages are put together only once something is wrong.
type checker struct {
	t        Target
	absent   map[string]bool
	problems []Problem
	warnings []Problem
}

func (c *checker) bad(path, value, text, clause, cure string) {
	c.problems = append(c.problems, Problem{path, value, text, clause, cure})
}

func (c *checker) warn(path, value, text, clause, cure string) {
	c.warnings = append(c.warnings, Problem{path, value, text, clause, cure})
}

// need reports a REQUIRED number or boolean that the file does not have.
func (c *checker) need(path, clause string) {
	if c.absent[path] {
		c.bad(path, "", "is REQUIRED and missing", clause, "")
	}
}

// check dispatches on t and collects both errors and warnings.
func (b *Bundle) check(t Target) *checker {
	c := &checker{t: t, absent: b.absent}
	s := b.Spec
	c.version(s.Version)
	c.root(s.Root, b.root)
	c.mounts(s)
	if s.Process != nil {
		// Without a process the container may be created, config.md, Process:
		// "This property is REQUIRED when start is called".
		c.process("process", s.Process)
	}
	c.annotations(s.Annotations)
	c.hooks(s.Hooks)
	switch t.OS {
	case "linux":
		c.linux(s)
	case "windows":
		c.windows(s.Windows)
	}
	if s.VM != nil {
		c.vm(s.VM)
	}
	c.otherPlatforms(s)
	return c
}

func (c *checker) otherPlatforms(s *specs.Spec) {
	for _, p := range [...]struct {
		name string
		set  bool
	}{{"solaris", s.Solaris != nil}, {"zos", s.ZOS != nil}, {"freebsd", s.FreeBSD != nil}} {
		if p.set {
			c.warn(p.name, "", "has no effect: the bundle is for "+c.t.OS, "config.md, Platform-specific configuration", "")
		}
	}
}

// version: "MUST be in SemVer v2.0.0 format"; "compatible with all runtimes
// that support any 1.1 or later release". Engines write what they were built
// with, so every 1.x passes, and 1.0 for 1.0.0 with it.
func (c *checker) version(v string) {
	const clause, cure = "config.md, Specification version", `write the version of the specification the bundle follows, such as "1.3.0"`
	switch {
	case v == "":
		c.bad("ociVersion", "", "is REQUIRED and missing", clause, cure)
	case !semver(v):
		c.bad("ociVersion", quote(v), "is no semantic version", clause, cure)
	case !strings.HasPrefix(v, "1."):
		c.bad("ociVersion", quote(v), "is not supported, only 1.x is", clause, cure)
	}
}

// semver accepts MAJOR.MINOR[.PATCH][-pre.release][+build].
func semver(v string) bool {
	v, build, hasBuild := strings.Cut(v, "+")
	v, pre, hasPre := strings.Cut(v, "-")
	if hasBuild && !dotted(build, false) || hasPre && !dotted(pre, true) {
		return false
	}
	parts := strings.Split(v, ".")
	for _, p := range parts {
		if p == "" || len(p) > 1 && p[0] == '0' || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return len(parts) == 2 || len(parts) == 3
}

// dotted is a series of identifiers; numeric ones have no leading zero where
// they count for precedence.
func dotted(s string, precedence bool) bool {
	for _, p := range strings.Split(s, ".") {
		if p == "" || strings.IndexFunc(p, func(r rune) bool {
			return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) >= 0 {
			return false
		}
		if precedence && len(p) > 1 && p[0] == '0' && strings.Trim(p, "0123456789") == "" {
			return false
		}
	}
	return true
}

func (c *checker) root(r *specs.Root, notDir error) {
	const clause = "config.md, Root"
	if c.t.OS == "windows" {
		c.windowsRoot(r)
		return
	}
	// For a Linux bundle windows.hyperv is only the selector of the utility VM:
	// "On all other platforms, this field is REQUIRED". On a Windows host it is
	// not another platform, and the layers make the root in the guest.
	if runtime.GOOS == "windows" && c.t.VM && (r == nil || r.Path == "") {
		return
	}
	switch {
	case r == nil:
		c.bad("root", "", "is REQUIRED and missing", clause, `name the root file system: "root": {"path": "rootfs"}`)
	case r.Path == "":
		c.bad("root.path", "", "is REQUIRED and missing", clause, `such as "rootfs"`)
	case notDir != nil:
		c.bad("root.path", quote(r.Path), "is no directory: "+notDir.Error(), clause, `"A directory MUST exist at the path"`)
	}
}

func (c *checker) annotations(a map[string]string) {
	if _, empty := a[""]; empty {
		c.bad(entry("annotations", ""), "", "the key is empty", "config.md, Annotations", "name it in reverse domain notation")
	}
}

func (c *checker) hooks(h *specs.Hooks) {
	if h == nil {
		return
	}
	c.hookList("hooks.prestart", h.Prestart) //nolint:staticcheck // deprecated, and in every config dockerd 20.10 writes
	c.hookList("hooks.createRuntime", h.CreateRuntime)
	c.hookList("hooks.createContainer", h.CreateContainer)
	c.hookList("hooks.startContainer", h.StartContainer)
	c.hookList("hooks.poststart", h.Poststart)
	c.hookList("hooks.poststop", h.Poststop)
}

func (c *checker) hookList(at string, hooks []specs.Hook) {
	const clause = "config.md, POSIX-platform Hooks"
	for i := range hooks {
		h := &hooks[i]
		switch {
		case h.Path == "":
			c.bad(index(at, i, "path"), "", "is REQUIRED and missing", clause, "")
		case !c.hostAbs(h.Path):
			c.bad(index(at, i, "path"), quote(h.Path), "MUST be absolute", clause, "write the program's full path")
		}
		if h.Timeout != nil && *h.Timeout <= 0 {
			c.bad(index(at, i, "timeout"), strconv.Itoa(*h.Timeout), "MUST be greater than zero", clause, "leave it out for no limit")
		}
	}
}

// hostAbs: absolute on the host, which may be Windows for either kind of bundle.
func (c *checker) hostAbs(p string) bool {
	return path.IsAbs(p) || (runtime.GOOS == "windows" || c.t.OS == "windows") && windowsAbs(p)
}

// absPath reports p when it is given and not absolute in the host's terms.
func (c *checker) absPath(at, p, clause string) {
	if p != "" && !c.hostAbs(p) {
		c.bad(at, quote(p), "MUST be an absolute path", clause, "")
	}
}

// oneOf reports s unless it is one of names.
func oneOf[T ~string](c *checker, at string, s T, clause, names string) {
	if s == "" {
		c.bad(at, "", "is REQUIRED and missing", clause, "one of "+strings.ReplaceAll(names, " ", ", "))
	} else if !listedIn(names, string(s)) {
		c.bad(at, quote(s), "is not known", clause, "use one of "+strings.ReplaceAll(names, " ", ", "))
	}
}

// sorted gives an object's names an order, so that messages have one.
func sorted[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

// listedIn finds word in a list separated by blanks, without making a table of
// it at start-up.
func listedIn(list, word string) bool {
	for list != "" {
		var w string
		if w, list, _ = strings.Cut(list, " "); w == word {
			return true
		}
	}
	return false
}

// cpuList checks "0-3,7". Its numbers have a bound so that nobody makes a mask
// of it that eats the memory; the kernel's own is 8192.
func (c *checker) cpuList(at, s, clause string) {
	if s != "" && !validList(s) {
		c.bad(at, quote(s), "is no list of numbers and ranges", clause, `such as "0-3,7"`)
	}
}

func validList(s string) bool {
	for _, part := range strings.Split(strings.TrimSpace(s), ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		l, err := strconv.ParseUint(lo, 10, 16)
		if err != nil {
			return false
		}
		if !isRange {
			continue
		}
		if h, err := strconv.ParseUint(hi, 10, 16); err != nil || h < l {
			return false
		}
	}
	return true
}

func (c *checker) vm(v *specs.VM) {
	const kernel, hypervisor, image, hw = "config-vm.md, Kernel Object", "config-vm.md, Hypervisor Object", "config-vm.md, Image Object", "config-vm.md, HWConfig Object"
	if !c.t.VM {
		c.warn("vm", "", "has no effect: the container runs without a virtual machine", "config-vm.md", `add "windows": {"hyperv": {}}`)
	}
	if v.Kernel.Path == "" {
		c.bad("vm.kernel.path", "", "is REQUIRED and missing", kernel, "")
	}
	c.absPath("vm.kernel.path", v.Kernel.Path, kernel)
	c.absPath("vm.kernel.initrd", v.Kernel.InitRD, kernel)
	if v.Hypervisor.Path == "" && v.Hypervisor.Parameters != nil {
		c.bad("vm.hypervisor.path", "", "is REQUIRED and missing", hypervisor, "")
	}
	c.absPath("vm.hypervisor.path", v.Hypervisor.Path, hypervisor)
	if v.Image.Path == "" && v.Image.Format != "" {
		c.bad("vm.image.path", "", "is REQUIRED and missing", image, "")
	}
	c.absPath("vm.image.path", v.Image.Path, image)
	// "Unset values for format will default to [raw]".
	if v.Image.Format != "" {
		oneOf(c, "vm.image.format", v.Image.Format, image, "raw qcow2 vdi vmdk vhd")
	}
	if v.HwConfig == nil {
		return
	}
	if n := v.HwConfig.VCPUs; n != nil && *n == 0 {
		c.bad("vm.hwConfig.vcpus", "0", "is no number of processors", hw, "")
	}
	if n := v.HwConfig.Memory; n != nil && *n == 0 {
		c.bad("vm.hwConfig.memory", "0", "is no amount of memory", hw, "")
	}
	for i, m := range v.HwConfig.IOMems {
		if m.FirstMFN == nil {
			c.bad(index("vm.hwConfig.iomems", i, "firstMFN"), "", "is REQUIRED and missing", hw, "")
		}
		if m.NrMFNs == nil {
			c.bad(index("vm.hwConfig.iomems", i, "nrMFNs"), "", "is REQUIRED and missing", hw, "")
		}
	}
}
