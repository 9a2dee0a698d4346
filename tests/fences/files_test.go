package fences

import (
	"go/ast"
	"go/format"
	"go/parser"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const longest = 500 // lines of a file that a person wrote

func TestFiles(t *testing.T) {
	// In pieces, or this file would break its own rules.
	machinePaths := []string{"/wo" + "rk/main", "/wo" + "rk/shared", "/tmp" + "/bb"}
	unfinished := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	badName := []string{"util", "utils", "common", "helper", "helpers", "manager", "misc"}
	for _, f := range read(t) {
		lines := strings.Count(f.text, "\n")
		if lines > longest && !f.isGenerated() && slices.Contains([]string{".go", ".sh", ".md"}, path.Ext(f.path)) {
			t.Errorf("%s has %d lines, more than %d", f.path, lines, longest)
		}
		for _, p := range machinePaths {
			if strings.Contains(f.text, p) {
				t.Errorf("%s names %s, a path of one machine", f.path, p)
			}
		}
		if f.isGo() && unfinished.MatchString(f.text) {
			t.Errorf("%s: %q is for issues, not for code", f.path, unfinished.FindString(f.text))
		}
		if !f.isGo() {
			continue
		}
		if dir := path.Base(path.Dir(f.path)); slices.Contains(badName, dir) {
			t.Errorf("%s: a package named %s says nothing", f.path, dir)
		}
		if clean, err := format.Source([]byte(f.text)); err != nil || string(clean) != f.text {
			t.Errorf("%s is not as gofmt leaves it (make fmt) %v", f.path, err)
		}
	}
}

// TestFaultPoints: each point is listed, so that the tests kill there, and
// passed somewhere, so that there is something to kill.
func TestFaultPoints(t *testing.T) {
	declared := map[string]bool{}
	listed := map[string]int{}
	passed := map[string]int{}
	for _, f := range read(t) {
		if path.Dir(f.path) != "libcontainer" || !f.isGo() || f.isTest() {
			continue
		}
		ast.Inspect(f.parse(t, 0), func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if f.path != "libcontainer/faultpoints.go" {
					break
				}
				if n.Names[0].Name == "FaultPoints" {
					for _, e := range n.Values[0].(*ast.CompositeLit).Elts {
						listed[e.(*ast.Ident).Name]++
					}
					return false
				}
				declared[n.Names[0].Name] = true
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "fault" {
					point, ok := n.Args[0].(*ast.Ident)
					if !ok {
						t.Errorf("%s: fault is called without one of the names of faultpoints.go", f.path)
						break
					}
					passed[point.Name]++
				}
			}
			return true
		})
	}
	if len(declared) < 10 {
		t.Fatalf("only %d fault points found", len(declared))
	}
	for name := range declared {
		if listed[name] != 1 {
			t.Errorf("%s stands %d times in FaultPoints", name, listed[name])
		}
		if passed[name] == 0 {
			t.Errorf("%s is never passed", name)
		}
	}
	for name := range passed {
		if !declared[name] {
			t.Errorf("fault(%s): no such point", name)
		}
	}
}

// TestStarts: a process that has let Go's monitor be late (libcontainer/sysmon)
// starts others by sysmon.Exact alone.
func TestStarts(t *testing.T) {
	exact := map[string]string{ // "": it need not
		"libcontainer/hooks.go":            "sysmon.Exact(cmd.Run)",
		"libcontainer/silo/users_linux.go": "",                  // newuidmap(1), which waits for nothing
		"libcontainer/silo/walk_linux.go":  "PR_SET_TIMERSLACK", // clones by itself
		"libcontainer/uvm/child_linux.go":  "sysmon.Exact(func",
		"libcontainer/uvm/shares_linux.go": "", // the monitor's file server
		"libcontainer/uvm/launch_linux.go": "", // the monitor's QEMU
		"libcontainer/wine/find_linux.go":  "", // ld.so --list, likewise
		"ps.go":                            "", // a command that lets nothing be late
	}
	starts := regexp.MustCompile(`\bexec\.Command|\bos\.StartProcess\(|\b(syscall|unix)\.(ForkExec|StartProcess|Exec)\(|SYS_CLONE`)
	for _, f := range read(t) {
		if !f.product() || !starts.MatchString(f.text) || strings.HasSuffix(f.path, "_windows.go") ||
			under(f.path, "libcontainer/wine/session", "libcontainer/wine/make", "libcontainer/uvm/image") { // no part of wrun
			continue
		}
		how, known := exact[f.path]
		switch {
		case !known:
			t.Errorf("%s starts a process: by sysmon.Exact?", f.path)
		case !strings.Contains(f.text, how):
			t.Errorf("%s starts a process without %s", f.path, how)
		}
		delete(exact, f.path)
	}
	for path := range exact {
		t.Errorf("%s starts nothing any more", path)
	}
}

// TestDocuments: links within the repository lead somewhere, and the tests
// that the promises name exist.
func TestDocuments(t *testing.T) {
	files := read(t)
	tests := map[string]bool{}
	for _, f := range files {
		if !f.isTest() {
			continue
		}
		for _, d := range f.parse(t, parser.SkipObjectResolution).Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[path.Dir(f.path)+" "+fn.Name.Name] = true
			}
		}
	}
	link := regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`)
	named := regexp.MustCompile("`([a-zA-Z0-9_./]+) ((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	links, names := 0, 0
	for _, f := range files {
		if path.Ext(f.path) != ".md" || strings.Contains(f.path, "testdata/") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(f.text, -1) {
			links++
			if _, err := os.Stat(filepath.Join("..", "..", path.Dir(f.path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", f.path, m[1])
			}
		}
		for _, m := range named.FindAllStringSubmatch(f.text, -1) {
			names++
			if !tests[m[1]+" "+m[2]] {
				t.Errorf("%s names %s in %s, which is not there", f.path, m[2], m[1])
			}
		}
	}
	if links < 10 || names < 10 {
		t.Errorf("only %d links and %d names of tests seen", links, names)
	}
}
