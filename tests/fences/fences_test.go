// Package fences holds the rules of the house that a compiler does not know:
// which package may import which (docs/design/README.md), and the few about
// names, sizes and contents of files (CONTRIBUTING.md). .golangci.yml has the
// same fences; these run with every `make test`, in a second.
package fences

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// file is a file of the repository.
type file struct {
	path string // from the repository's top, with slashes
	text string
}

// read answers every text file that belongs to the repository, and fails if
// there is nothing to check.
func read(t *testing.T) []file {
	t.Helper()
	var files []file
	top := os.DirFS("../..")
	err := fs.WalkDir(top, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		if !slices.Contains([]string{".go", ".md", ".sh", ".txt", ".yml", ".c", ".mod", ""}, path.Ext(p)) {
			return nil
		}
		data, err := fs.ReadFile(top, p)
		if err != nil {
			return err
		}
		if !strings.Contains(string(data), "\x00") {
			files = append(files, file{p, string(data)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("only %d files found: the test looks in the wrong place", len(files))
	}
	return files
}

func (f *file) isGo() bool   { return path.Ext(f.path) == ".go" }
func (f *file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }
func (f *file) isGenerated() bool {
	for line := range strings.Lines(f.text) {
		if strings.HasPrefix(line, "// Code generated ") {
			return true
		}
		if strings.HasPrefix(line, "package ") {
			break
		}
	}
	return false
}

// product says that the file is compiled into wrun.
func (f *file) product() bool {
	return f.isGo() && !f.isTest() && !strings.HasPrefix(f.path, "tests/") && !strings.HasPrefix(f.path, "examples/") &&
		!strings.Contains(f.path, "/internal/gen/") && path.Base(f.path) != "gentables.go" && !strings.HasPrefix(f.path, "libcontainer/hosttest/")
}

func (f *file) parse(t *testing.T, mode parser.Mode) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), f.path, f.text, mode)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (f *file) imports(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, spec := range f.parse(t, parser.ImportsOnly).Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	return all
}

// under says that the import is the package or one below it.
func under(name string, packages ...string) bool {
	for _, p := range packages {
		if name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}

func standard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".") && first != "wrun"
}

const (
	runtimeSpec  = "github.com/opencontainers/runtime-spec"
	runtimeTools = "github.com/opencontainers/runtime-tools"
	cli          = "github.com/urfave/cli/v2"
	hcsshim      = "github.com/Microsoft/hcsshim"
	winio        = "github.com/Microsoft/go-winio"
	godbus       = "github.com/godbus/dbus/v5"
)

// hosts are the rooms that only hosts_*.go may name.
var hosts = []string{"wrun/libcontainer/silo", "wrun/libcontainer/uvm", "wrun/libcontainer/hcs", "wrun/libcontainer/wine"}

// fence says why a file of the product may not import a package; "" if it may.
func fence(p, name string) string {
	dir, base := path.Dir(p), path.Base(p)
	switch {
	case name == "net" && dir == "libcontainer/hcs":
		return "" // its pipes are go-winio's, which is made of net
	case under(name, "crypto") && under(dir, "libcontainer/uvm/image"):
		return "" // runs where wrun is built, and is no part of it
	case under(name, "net", "net/http", "text/template", "html", "regexp", "crypto", "log", "os/user"):
		return "its initialisation would cost every call of wrun"
	case under(name, "golang.org/x/sys/windows") && base != "store_windows.go" && p != "terminal_windows.go" && !under(dir, "libcontainer/hcs"):
		return "only store_windows.go, terminal_windows.go and hcs talk to Windows"
	case under(name, hcsshim, winio, "github.com/sirupsen/logrus") && (dir != "libcontainer/hcs" || !strings.HasSuffix(base, "_windows.go")):
		return "only the host on Windows links hcsshim and go-winio (ADR 0009)"
	case under(name, godbus) && dir != "libcontainer/silo/systemd":
		return "only package systemd speaks D-Bus (ADR 0016)"
	case dir == "libcontainer/silo/systemd":
		if under(name, "wrun") && name != "wrun/libcontainer/silo/cgroup" {
			return "who asks systemd knows nothing of containers"
		}
	case under(name, "wrun/libcontainer/silo/systemd") && !strings.HasPrefix(base, "hosts_"):
		return "a silo is given its systemd: the agent in a utility VM has none, and pays for no D-Bus (ADR 0016)"
	case under(name, runtimeTools):
		if p != "template.go" || name != runtimeTools+"/generate" {
			return "only the template of wrun spec is generated (ADR 0005)"
		}
	case dir == ".":
		switch {
		// plan.go shows what a start would do, on any operating system: it
		// uses the pure half of silo, and hcsdoc, which is no host.
		case under(name, hosts...) && !strings.HasPrefix(base, "hosts_") && base != "plan.go":
			return "only hosts_*.go knows which hosts there are"
		case !standard(name) && !under(name, "wrun/libcontainer", runtimeSpec, cli, "golang.org/x/sys"):
			return "the product depends on runtime-spec, runtime-tools' generate, cli/v2 and x/sys, on Windows on hcsshim and go-winio"
		}
	case dir == "libcontainer":
		if !standard(name) && !under(name, runtimeSpec, "wrun/libcontainer/bundle", "wrun/libcontainer/jsonscan", "wrun/libcontainer/sysmon") &&
			!(strings.HasPrefix(base, "store_") && under(name, "golang.org/x/sys")) {
			return "the core knows no host and no command line"
		}
	case under(dir, "libcontainer/bundle"):
		if !standard(name) && !under(name, runtimeSpec, "wrun/libcontainer/jsonscan") {
			return "reading a bundle needs no other room"
		}
	case dir == "libcontainer/jsonscan":
		if !standard(name) {
			return "JSON of any shape is read there"
		}
	case dir == "libcontainer/sysmon":
		if !standard(name) && name != "golang.org/x/sys/unix" {
			return "it is about this process's threads"
		}
	case dir == "libcontainer/winver":
		if !standard(name) {
			return "versions are numbers and a rule"
		}
	case dir == "libcontainer/hcsdoc":
		if !standard(name) && !under(name, runtimeSpec) || slices.Contains([]string{"os", "syscall", "os/exec"}, name) {
			return "a document is a value in and bytes out"
		}
	case dir == "libcontainer/hcs/computecore":
		if under(name, "wrun") {
			return "bindings know nothing of containers"
		}
	case dir == "libcontainer/hcs":
		if under(name, "wrun") && !under(name, "wrun/libcontainer") || under(name, cli) ||
			under(name, "wrun/libcontainer/silo", "wrun/libcontainer/uvm", "wrun/libcontainer/wine") {
			return "a host knows the core and its own parts, not other hosts and no command line"
		}
	case name == "wrun/libcontainer/uvm/image" && !under(dir, "libcontainer/uvm/image"):
		return "the boot image is built by a program of its own"
	case dir == "libcontainer/uvm/wire", under(dir, "libcontainer/uvm/files"), under(dir, "libcontainer/uvm/network"):
		if under(name, "wrun") && name != "wrun/libcontainer" && name != "wrun/libcontainer/uvm/network" && name != "wrun/libcontainer/netlink" &&
			!(dir == "libcontainer/uvm/wire" && under(name, "wrun/libcontainer/bundle", "wrun/libcontainer/jsonscan")) {
			return "what crosses the boundary of the VM knows neither of its ends"
		}
	case dir == "libcontainer/netlink":
		if under(name, "wrun") {
			return "messages of the kernel's know nothing of containers"
		}
	case dir == "libcontainer/uvm/guest":
		if under(name, "wrun/libcontainer/hcs", "wrun/libcontainer/wine") || name == "wrun/libcontainer/uvm" || under(name, cli) {
			return "the agent is a silo's caller, not a host's"
		}
	case dir == "libcontainer/uvm":
		if under(name, "wrun/libcontainer/hcs", "wrun/libcontainer/wine") || name == "wrun/libcontainer/silo" || under(name, cli) {
			return "a host knows the core and its own parts, not other hosts and no command line"
		}
		if under(name, "golang.org/x/sys") && !strings.Contains(base, "_linux") {
			return "arguments and guest Spec are pure: only *_linux.go touches the machine"
		}
	case dir == "libcontainer/silo/seccomp":
		if !slices.Contains([]string{"cmp", "fmt", "slices"}, name) && !under(name, runtimeSpec) {
			return "seccomp is a value in and a program out"
		}
	case under(dir, "libcontainer/silo/cgroup"):
		if under(name, "wrun") {
			return "cgroups know nothing of containers"
		}
	case dir == "libcontainer/wine":
		if under(name, "wrun") && name != "wrun/libcontainer" && name != "wrun/libcontainer/hcsdoc" && name != "wrun/libcontainer/winver" && name != "wrun/libcontainer/memfd" || under(name, cli) {
			return "it is given the hosts that it hands over to, and knows none of them"
		}
		if !strings.Contains(base, "_linux") && (under(name, "golang.org/x/sys") || slices.Contains([]string{"os", "os/exec", "syscall"}, name)) {
			return "a Spec in and a Spec out: only *_linux.go touches the machine"
		}
	case under(dir, "libcontainer/wine"):
		if under(name, "wrun") || under(name, cli) {
			return "what runs in the container, and what builds it, are no part of wrun"
		}
	case under(dir, "libcontainer/silo"):
		if under(name, "wrun") && !under(name, "wrun/libcontainer") || under(name, hosts[1:]...) || under(name, cli) {
			return "a host knows the core and its own parts, not other hosts and no command line"
		}
		if under(name, "golang.org/x/sys") && !strings.Contains(base, "_linux") {
			return "the plan is pure: only *_linux.go touches the machine"
		}
	}
	return ""
}

func TestImports(t *testing.T) {
	checked := 0
	for _, f := range read(t) {
		if !f.isGo() {
			continue
		}
		for _, name := range f.imports(t) {
			checked++
			if under(name, "github.com/opencontainers/runc", "github.com/opencontainers/cgroups", "github.com/containerd/cgroups") || name == "C" {
				t.Errorf("%s imports %s: no other runtime's code and no cgo", f.path, name)
			}
			if !f.product() {
				continue
			}
			if why := fence(f.path, name); why != "" {
				t.Errorf("%s imports %s: %s", f.path, name, why)
			}
		}
	}
	if checked < 300 {
		t.Errorf("only %d imports seen", checked)
	}
}

// TestFenceHolds: the fences refuse what they are for.
func TestFenceHolds(t *testing.T) {
	for _, tt := range []struct{ file, name string }{
		{"start.go", "wrun/libcontainer/silo"},
		{"start.go", "github.com/sirupsen/logrus"}, {"libcontainer/start.go", "github.com/sirupsen/logrus"},
		{"start.go", runtimeTools + "/generate"},
		{"template.go", runtimeTools + "/validate"},
		{"libcontainer/bundle/check.go", runtimeTools + "/generate"},
		{"libcontainer/start.go", "wrun/libcontainer/silo/cgroup"},
		{"libcontainer/start.go", cli},
		{"libcontainer/start.go", "golang.org/x/sys/unix"},
		{"libcontainer/bundle/check.go", "wrun/libcontainer"},
		{"libcontainer/bundle/check.go", "golang.org/x/sys/unix"},
		{"libcontainer/silo/seccomp/filter.go", "os"},
		{"libcontainer/silo/compile.go", "golang.org/x/sys/unix"},
		{"libcontainer/silo/host_linux.go", "wrun/libcontainer/uvm"},
		{"libcontainer/wine/host_linux.go", "wrun/libcontainer/silo"}, {"libcontainer/wine/translate.go", "os"},
		{"libcontainer/wine/session/main_linux.go", "wrun/libcontainer"},
		{"libcontainer/silo/host_linux.go", "golang.org/x/sys/windows"},
		{"libcontainer/silo/cgroup/group.go", "wrun/libcontainer"},
		{"libcontainer/hcs/handle.go", hcsshim}, {"libcontainer/start.go", winio}, {"main.go", hcsshim + "/hcn"},
		{"libcontainer/hcs/host_windows.go", "wrun/libcontainer/silo"}, {"libcontainer/hcs/host_windows.go", cli},
		{"libcontainer/hcs/computecore/call.go", "wrun/libcontainer"}, {"libcontainer/hcsdoc/attach.go", "os"},
		{"libcontainer/hcsdoc/attach.go", "wrun/libcontainer"}, {"libcontainer/winver/winver.go", runtimeSpec}, {"libcontainer/sysmon/sysmon_linux.go", "wrun/libcontainer"},
		{"libcontainer/silo/host_linux.go", godbus}, {"libcontainer/silo/systemd/units_linux.go", "wrun/libcontainer"},
		{"libcontainer/silo/unit_linux.go", "wrun/libcontainer/silo/systemd"}, {"libcontainer/uvm/guest/agent_linux.go", "wrun/libcontainer/silo/systemd"},
		{"main.go", "net/http"}, {"main.go", "regexp"}, {"libcontainer/hooks.go", "log"},
	} {
		if fence(tt.file, tt.name) == "" {
			t.Errorf("%s may import %s", tt.file, tt.name)
		}
	}
}

// TestDependencies: the product's module has no other direct requirement.
func TestDependencies(t *testing.T) {
	data, err := os.ReadFile(filepath.FromSlash("../../go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{runtimeSpec, runtimeTools, cli, "golang.org/x/sys", "github.com/rogpeppe/go-internal", hcsshim, winio, "github.com/sirupsen/logrus", godbus}
	seen := 0
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.HasPrefix(words[1], "v") || strings.Contains(line, "// indirect") {
			continue
		}
		seen++
		if !slices.Contains(allowed, words[0]) {
			t.Errorf("go.mod requires %s", words[0])
		}
	}
	if seen != len(allowed) {
		t.Errorf("go.mod requires %d modules, want %d", seen, len(allowed))
	}
}
