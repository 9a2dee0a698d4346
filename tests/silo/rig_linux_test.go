package silo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/container"
)

// patience bounds every call of wrun; none of them should take a second.
const patience = 30 * time.Second

var (
	wrun     string // the binary under test
	work     string // directory of this run, removed at its end
	tooling  string // one copy of busybox that all root file systems link to
	whyNot   string // why nothing can be tested here
	sequence int
)

const busybox = "/bin/busybox"

// applets are the commands that the tests' containers have.
const applets = `awk cat cut df echo env grep head hostname id ionice ip ls mkdir mknod printf ps readlink sh sleep sort stat
	stty tail touch tr true tty uname usleep wc setsid`

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if os.Geteuid() != 0 {
		whyNot = "not root: namespaces, mounts and cgroups need it"
		return m.Run()
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		whyNot = fmt.Sprintf("the root file system is made of Debian's busybox-static: %v", err)
		return m.Run()
	}
	if err := prepare(data); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(work)
	return m.Run()
}

func prepare(data []byte) (err error) {
	if work, err = os.MkdirTemp("", "wrun-silo-"); err != nil {
		return err
	}
	// Containers of other users walk through here to their root.
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	if wrun, err = container.Build(work, container.Tags); err != nil {
		return err
	}
	tooling = filepath.Join(work, "busybox")
	return os.WriteFile(tooling, data, 0o755)
}

// rig is one test's bundle and state root.
type rig struct {
	*testing.T
	dir    string // bundle
	rootfs string
	root   string // state root
	id     string // of the test's first container; others get a suffix
	spec   *specs.Spec
	env    []string // wrun's
	stdin  *os.File
	extra  []*os.File      // wrun's descriptors from 3 on
	as     func(*exec.Cmd) // makes a call of wrun another user's; nil for root's
}

// newRig makes a bundle for args. What the test leaves is deleted by force at
// its end, and then nothing may be left.
func newRig(t *testing.T, args ...string) *rig {
	t.Helper()
	if whyNot != "" {
		t.Skip(whyNot)
	}
	sequence++
	name := fmt.Sprintf("wrun-silo-%d-%d", os.Getpid(), sequence)
	r := &rig{T: t, id: name, dir: filepath.Join(work, name)}
	r.rootfs, r.root = filepath.Join(r.dir, "rootfs"), filepath.Join(r.dir, "state")
	r.env = append(os.Environ(), marker+"="+name, "TMPDIR="+filepath.Join(r.dir, "tmp"))
	for _, d := range []string{"tmp", "rootfs/bin", "rootfs/dev", "rootfs/etc", "rootfs/proc", "rootfs/root", "rootfs/sys", "rootfs/tmp"} {
		r.must(os.MkdirAll(filepath.Join(r.dir, d), 0o755))
	}
	r.must(os.Link(tooling, filepath.Join(r.rootfs, "bin/busybox")))
	for a := range strings.FieldsSeq(applets) {
		r.must(os.Symlink("busybox", filepath.Join(r.rootfs, "bin", a)))
	}
	r.spec = ordinary(name, args)
	before := mountTable(t)
	t.Cleanup(func() {
		left, _ := os.ReadDir(r.root)
		for _, c := range left {
			if res := r.wrun("delete", "--force", c.Name()); res.code != 0 {
				t.Errorf("delete --force %s: %s", c.Name(), res)
			}
		}
		r.leftovers(before)
	})
	return r
}

// ordinary is a container with new namespaces of all kinds but user, cgroup
// and time, a writable root and all capabilities that Docker gives.
func ordinary(name string, args []string) *specs.Spec {
	caps := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
	return &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "inside",
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin", marker + "=" + name},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + name,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
			},
		},
	}
}

func sh(script string) []string { return []string{"sh", "-c", script} }

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// save writes config.json.
func (r *rig) save() {
	r.Helper()
	data, err := json.Marshal(r.spec)
	r.must(err)
	r.must(os.WriteFile(filepath.Join(r.dir, "config.json"), data, 0o644))
}

// result is one call of wrun.
type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.out, r.err)
}

// wrun calls the binary. Its output goes to files: a container holds them open
// and reading pipes to their end would wait for it.
func (r *rig) wrun(args ...string) result {
	r.Helper()
	cmd, done := r.command(args...)
	err := cmd.Start()
	r.must(err)
	return done(cmd.Wait())
}

// command prepares a call of wrun; done makes its result of what Wait said.
func (r *rig) command(args ...string) (cmd *exec.Cmd, done func(error) result) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd = exec.CommandContext(ctx, wrun, append([]string{"--root", r.root}, args...)...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = r.dir, r.env, r.extra
	if r.stdin != nil {
		cmd.Stdin = r.stdin
	}
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(r.dir, "stdio-")
		r.must(err)
		files[i] = f
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	if r.as != nil {
		r.as(cmd)
	}
	return cmd, func(err error) result {
		r.Helper()
		defer cancel()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			r.Fatalf("wrun %v: %v", args, err)
		}
		if ctx.Err() != nil {
			r.Errorf("wrun %v: still running after %v", args, patience)
		}
		return result{content(files[0]), content(files[1]), cmd.ProcessState.ExitCode()}
	}
}

func content(f *os.File) string {
	defer os.Remove(f.Name())
	defer f.Close()
	data, _ := os.ReadFile(f.Name())
	return string(data)
}

// ok is wrun for calls that must succeed; it returns standard output.
func (r *rig) ok(args ...string) string {
	r.Helper()
	res := r.wrun(args...)
	if res.code != 0 {
		r.Fatalf("wrun %v: %s", args, res)
	}
	return res.out
}

// run is `wrun run` of the bundle as it is now.
func (r *rig) run(options ...string) result {
	r.Helper()
	r.save()
	return r.wrun(append(append([]string{"run"}, options...), r.id)...)
}

// output is run for a program that must end well.
func (r *rig) output() string {
	r.Helper()
	res := r.run()
	if res.code != 0 {
		r.Fatalf("run: %s", res)
	}
	if res.err != "" {
		r.Logf("stderr: %s", res.err)
	}
	return res.out
}

// refused is run for what must fail, with text in the error.
func (r *rig) refused(text string) {
	r.Helper()
	if res := r.run(); res.code == 0 || !strings.Contains(res.err, text) {
		r.Errorf("want an error with %q: %s", text, res)
	}
}

// start creates and starts a container that lives on, and returns init's pid.
func (r *rig) start(options ...string) int {
	r.Helper()
	r.save()
	r.ok(append(append([]string{"create"}, options...), r.id)...)
	r.ok("start", r.id)
	return r.state(r.id).Pid
}

func (r *rig) state(id string) *specs.State {
	r.Helper()
	s := &specs.State{}
	r.must(json.Unmarshal([]byte(r.ok("state", id)), s))
	return s
}

// until waits for what has no notification.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("never happened: %s", what)
		}
	}
}

func (r *rig) read(name string) string {
	r.Helper()
	data, err := os.ReadFile(name)
	r.must(err)
	return string(data)
}

// write makes a file below the bundle.
func (r *rig) write(name, text string) string {
	r.Helper()
	p := filepath.Join(r.dir, name)
	r.must(os.MkdirAll(filepath.Dir(p), 0o755))
	r.must(os.WriteFile(p, []byte(text), 0o644))
	return p
}

func (r *rig) equal(what, got, want string) {
	r.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		r.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

func (r *rig) mount(m specs.Mount) { r.spec.Mounts = append(r.spec.Mounts, m) }

// without takes namespaces off the list, so that wrun's own are shared.
func (r *rig) without(kinds ...specs.LinuxNamespaceType) {
	list := r.spec.Linux.Namespaces[:0]
next:
	for _, n := range r.spec.Linux.Namespaces {
		for _, k := range kinds {
			if n.Type == k {
				continue next
			}
		}
		list = append(list, n)
	}
	r.spec.Linux.Namespaces = list
}

func (r *rig) with(kind specs.LinuxNamespaceType, path string) {
	r.without(kind)
	r.spec.Linux.Namespaces = append(r.spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
}

func nsInode(pid any, name string) string {
	s, err := os.Readlink(fmt.Sprintf("/proc/%v/ns/%s", pid, name))
	if err != nil {
		return err.Error()
	}
	return s
}

// field is the value of one line of /proc/<pid>/status.
func field(status, name string) string {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
