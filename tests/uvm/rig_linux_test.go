package uvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/uvm/boot"
)

// patience bounds every call of wrun: it is for a busy machine, and a boot that
// fails must have said so within it.
const patience = 60 * time.Second

const busybox = "/bin/busybox"

var (
	work     string // directory of this run, removed at its end
	sequence atomic.Int32
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	var err error
	if work, err = os.MkdirTemp("", "wrun-uvm-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(work)
	// Containers of other users walk through here to their root.
	if err := os.Chmod(work, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer dropTemplates(templates())
	return m.Run()
}

// prepared is what all tests share: a program and a busybox of this run's own, so
// that their processes are known by their files.
type prepared struct{ wrun, busybox, image string }

var (
	once   sync.Once
	common prepared
)

func prepare(t *testing.T) prepared {
	t.Helper()
	b := boot.Build(t) // skips, or ends the test
	once.Do(func() {
		for to, from := range map[string]string{"wrun": b.Wrun, "busybox": busybox} {
			data, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(filepath.Join(work, to), data, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		common = prepared{filepath.Join(work, "wrun"), filepath.Join(work, "busybox"), b.Image}
	})
	return common
}

// rig is one test's bundle and state root.
type rig struct {
	*testing.T
	prepared
	dir    string // bundle
	rootfs string
	root   string // state root
	id     string // of the test's first container; others get a suffix
	spec   *specs.Spec
	stdin  *os.File
	extra  []*os.File // wrun's descriptors from 3 on
}

// newRig makes a bundle for args, to be run in a utility VM. What the test
// leaves is deleted by force at its end, and then nothing may be left.
func newRig(t *testing.T, args ...string) *rig {
	t.Helper()
	p := prepare(t)
	name := fmt.Sprintf("wrun-uvm-%d-%d", os.Getpid(), sequence.Add(1))
	r := &rig{T: t, prepared: p, id: name, dir: filepath.Join(work, name)}
	r.rootfs, r.root = filepath.Join(r.dir, "rootfs"), filepath.Join(r.dir, "state")
	for _, d := range []string{"tmp", "bin", "dev", "etc", "proc", "root", "sys", "mnt"} {
		r.must(os.MkdirAll(filepath.Join(r.rootfs, d), 0o755))
	}
	r.must(os.Mkdir(filepath.Join(r.dir, "tmp"), 0o700))
	r.wrunIs(filepath.Join(r.dir, "wrun"))
	r.must(os.Link(p.busybox, filepath.Join(r.rootfs, "bin/busybox")))
	for _, a := range applets() {
		r.must(os.Symlink("busybox", filepath.Join(r.rootfs, "bin", a)))
	}
	r.spec = ordinary(name, args)
	r.spec.Windows = &specs.Windows{HyperV: &specs.WindowsHyperV{UtilityVMPath: p.image}}
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

// wrunIs gives the program a name of its own.
func (r *rig) wrunIs(name string) {
	r.Helper()
	r.must(os.Link(r.prepared.wrun, name))
	r.prepared.wrun = name
}

var applets = sync.OnceValue(func() []string {
	out, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return []string{"sh"}
	}
	var list []string
	for a := range strings.FieldsSeq(string(out)) {
		if a != "busybox" {
			list = append(list, a)
		}
	}
	return list
})

// ordinary is a container as an engine has it, with a writable root.
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
			Args: args, Cwd: "/", Env: []string{"PATH=/bin", "TERM=xterm"},
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
	took     time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d after %v\nstdout: %s\nstderr: %s", r.code, r.took.Round(time.Millisecond), short(r.out), short(r.err))
}

// short keeps a failure readable.
func short(s string) string {
	if len(s) > 2000 {
		return s[:1000] + "[...]" + s[len(s)-1000:]
	}
	return s
}

// wrun calls the binary. Its output goes to files: a container holds them open
// and reading pipes to their end would wait for it.
func (r *rig) wrun(args ...string) result {
	r.Helper()
	cmd, done := r.command(args...)
	r.must(cmd.Start())
	return done(cmd.Wait())
}

// command prepares a call of wrun; done makes its result of what Wait said.
func (r *rig) command(args ...string) (cmd *exec.Cmd, done func(error) result) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd = exec.CommandContext(ctx, r.prepared.wrun, append([]string{"--root", r.root}, args...)...)
	cmd.Dir, cmd.ExtraFiles = r.dir, r.extra
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(r.dir, "tmp"))
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
	begun := time.Now()
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
		return result{content(files[0]), content(files[1]), cmd.ProcessState.ExitCode(), time.Since(begun)}
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

// start creates and starts a container that lives on, and returns its pid.
func (r *rig) start(options ...string) int {
	r.Helper()
	r.save()
	begun := time.Now()
	r.ok(append(append([]string{"create"}, options...), r.id)...)
	r.Logf("create: %v", time.Since(begun).Round(time.Millisecond))
	r.ok("start", r.id)
	return r.state(r.id).Pid
}

// inside runs a script in the container, which must end well.
func (r *rig) inside(script string) string {
	r.Helper()
	return strings.TrimSpace(r.ok(append([]string{"exec", r.id}, sh(script)...)...))
}

func (r *rig) state(id string) *specs.State {
	r.Helper()
	s := &specs.State{}
	r.must(json.Unmarshal([]byte(r.ok("state", id)), s))
	return s
}

func (r *rig) stopped() bool { return r.state(r.id).Status == specs.StateStopped }

// until waits for what has no notification.
func (r *rig) until(what string, ok func() bool) { r.Helper(); r.within(15*time.Second, what, ok) }

func (r *rig) within(most time.Duration, what string, ok func() bool) {
	r.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > most {
			r.Fatalf("not within %v: %s", most, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if d := time.Since(begun); d > 100*time.Millisecond {
		r.Logf("%s: after %v", what, d.Round(time.Millisecond))
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
		r.Errorf("%s: got\n%s\nwant\n%s", what, short(got), short(want))
	}
}

func (r *rig) mount(m specs.Mount) { r.spec.Mounts = append(r.spec.Mounts, m) }

// inSilo has the bundle run with process isolation.
func (r *rig) inSilo() { r.spec.Windows = nil }
