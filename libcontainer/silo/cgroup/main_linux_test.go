package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests in the _linux_test files make real groups with names of their own
// and put processes into them that they start themselves.

// real is the machine's layout; it skips where the test may not make groups.
func real(t testing.TB) *Layout {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make cgroups")
	}
	l, err := Detect()
	if err != nil {
		t.Skipf("needs cgroups: %v", err)
	}
	for _, h := range l.hierarchies {
		if err := unix.Access(h.mount, unix.W_OK); err != nil {
			t.Skipf("needs writable cgroups: %s: %v", h.mount, err)
		}
	}
	return l
}

// realV1 skips where the controllers are not in v1.
func realV1(t testing.TB) *Layout {
	t.Helper()
	l := real(t)
	for _, c := range []string{"cpu", "cpuset", "memory", "devices", "freezer", "pids"} {
		if !l.controls(c) {
			t.Skipf("needs cgroup v1 with controller %s", c)
		}
	}
	return l
}

// realV2 is the layout as if the unified hierarchy were the only one; on a
// hybrid machine that has few controllers or none.
func realV2(t testing.TB) *Layout {
	t.Helper()
	l := real(t)
	for _, h := range l.hierarchies {
		if h.controllers == "" {
			if !l.Pure() {
				asBefore(t, h.mount+"/cgroup.subtree_control")
			}
			return &Layout{hierarchies: []hierarchy{h}}
		}
	}
	t.Skip("needs a cgroup2 mount")
	return nil
}

// asBefore takes back what a test hands down that the machine did not.
func asBefore(t testing.TB, file string) {
	t.Helper()
	controllers := func() []string {
		b, err := read(file)
		if err != nil {
			t.Fatal(err)
		}
		return fields(string(b))
	}
	before := controllers()
	t.Cleanup(func() {
		for _, c := range controllers() {
			if !slices.Contains(before, c) {
				if err := write(file, "-"+c); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

var groups int

// name is a path no other test uses.
func name() string {
	groups++
	return fmt.Sprintf("/wrun-test-%d-%d", os.Getpid(), groups)
}

// group resolves path without making it, and sees to it that nothing is left.
func group(t testing.TB, l *Layout, path string, r *specs.LinuxResources, every bool) *Group {
	t.Helper()
	g, err := l.Group(path, "id", r, every)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := g.Kill(ctx); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if err := g.Remove(ctx); err != nil {
			t.Errorf("clean up: %v", err)
		}
		top, _, _ := strings.Cut(path[1:], "/")
		for _, h := range l.hierarchies {
			if there, err := exists(h.mount + "/" + top); there || err != nil {
				t.Errorf("left behind: %s/%s (%v)", h.mount, top, err)
			}
		}
	})
	return g
}

// create is group, made.
func create(t testing.TB, l *Layout, r *specs.LinuxResources, every bool) *Group {
	t.Helper()
	g := group(t, l, name(), r, every)
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	return g
}

// start runs a shell script as a process that joins g by itself, as a
// container's does.
func start(t testing.TB, g *Group, script string) *exec.Cmd {
	t.Helper()
	j, err := g.Open()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	joins := ""
	for i, fd := range j.Tasks {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), "tasks"))
		joins += "echo 0 > /proc/self/fd/" + strconv.Itoa(3+i) + " && "
	}
	if j.Into >= 0 {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, j.Into
		defer unix.Close(j.Into)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[2] = joins + "echo && { " + script + "; }"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	b := make([]byte, 1)
	if n, err := out.Read(b); n == 0 {
		t.Fatalf("the process could not join the group: %v", err)
	}
	return cmd
}

func read1(t testing.TB, g *Group, controller, file string) string {
	t.Helper()
	d, ok := g.find(controller)
	if !ok {
		t.Fatalf("group takes no part in %q", controller)
	}
	b, err := read(g.dir(d) + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(b), "\n")
}

func expect(t testing.TB, g *Group, controller string, files map[string]string) {
	t.Helper()
	for f, want := range files {
		if got := read1(t, g, controller, f); got != want {
			t.Errorf("%s is %q, want %q", f, got, want)
		}
	}
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// add moves a process, with all its threads, into the group.
func add(g *Group, pid int) error {
	for i := range g.Dirs {
		if err := write(g.dir(&g.Dirs[i])+"/cgroup.procs", strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}
