package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wrun/tests/container"
	"wrun/tests/leftovers"
)

var site container.Site

func TestMain(m *testing.M) {
	os.Exit(site.Main(m, "podman", container.Tags, confine))
}

// someone is a user that this machine knows only in the mount namespace of the
// tests, with subordinate ids from subordinate on.
const (
	someone     = 54321
	subordinate = 200000
)

// confine hides /run, where podman and wrun keep what they know of containers.
func confine() error {
	if err := leftovers.Confine(); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("hide /run: %w", err)
	}
	return errors.Join(configure(), introduce())
}

// configuration has podman do without what is the machine's, its shared memory,
// and without limits that may not be raised here.
const configuration = `[engine]
lock_type = "file"
runtime_supports_json = ["wrun"]
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
`

// configure makes it the distribution's.
func configure() error {
	return replace("/usr/share/containers/containers.conf", func([]byte) []byte { return []byte(configuration) })
}

// introduce makes someone known.
func introduce() error {
	ids := fmt.Sprintf("wrun-test:%d:65536\n", subordinate)
	var failed error
	for name, line := range map[string]string{
		"passwd": fmt.Sprintf("wrun-test:x:%d:%d::/:/bin/sh\n", someone, someone),
		"group":  fmt.Sprintf("wrun-test:x:%d:\n", someone),
		"subuid": ids, "subgid": ids,
	} {
		failed = errors.Join(failed, replace("/etc/"+name, func(text []byte) []byte { return append(text, line...) }))
	}
	return failed
}

// replace mounts another content over a file of the machine, unless that is not
// there: then podman, or newuidmap, says what it misses.
func replace(name string, by func([]byte) []byte) error {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	other := filepath.Join("/run", filepath.Base(name))
	if err == nil {
		err = os.WriteFile(other, by(text), 0o644)
	}
	if err == nil {
		err = unix.Mount(other, name, "", unix.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}

// rig is a podman with a storage of its own, and its user.
type rig struct {
	*testing.T
	dir    string
	rootfs string
	user   int
	cgroup string // below which root's containers are
}

// each runs a test as root and as an ordinary user.
func each(t *testing.T, test func(*rig)) {
	t.Run("root", func(t *testing.T) { as(t, 0, test) })
	t.Run("ordinary user", func(t *testing.T) { as(t, someone, test) })
}

// as runs a test as a user. Afterwards nothing may be left of it.
func as(t *testing.T, user int, test func(*rig)) {
	if site.WhyNot != "" {
		t.Skip(site.WhyNot)
	}
	if _, err := exec.LookPath("podman"); err != nil {
		t.Skip("no podman: sh tests/setup.sh podman")
	}
	before := leftovers.Take(t)
	r := newRig(t, user)
	defer func() {
		r.tidy()
		before.Check(t, "after the test")
	}()
	test(r)
}

func newRig(t *testing.T, user int) *rig {
	t.Helper()
	dir, err := os.MkdirTemp(site.Work, "")
	container.Must(t, err)
	r := &rig{T: t, dir: dir, user: user, cgroup: "/" + leftovers.Tag() + filepath.Base(dir)}
	b := container.NewBundle(t, filepath.Join(dir, "bundle"))
	r.rootfs = b.Path("")
	container.Must(t, os.Mkdir(dir+"/xdg", 0o700))
	container.Must(t, filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, user, user)
	}))
	return r
}

func (r *rig) write(name, text string) {
	r.Helper()
	container.Must(r, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644))
}

// result is how a call of podman ended.
type result struct {
	code     int
	out, err string
}

func (r result) String() string { return fmt.Sprintf("code %d, %q, %q", r.code, r.out, r.err) }

// podman calls it with input and waits for its end.
func (r *rig) podman(input string, args ...string) result {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 2*container.Patience)
	defer cancel()
	// As options and not as a configuration: the podman that conmon calls at a
	// container's end gets no more.
	cmd := exec.CommandContext(ctx, "podman", append([]string{
		"--root", r.dir + "/storage", "--runroot", r.dir + "/run", "--tmpdir", r.dir + "/tmp", "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", site.Binary,
	}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir}
	if r.user != 0 {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+r.dir+"/xdg")
	}
	// A group: an ordinary user's podman calls itself anew in its namespaces.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(r.user), Gid: uint32(r.user)}}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Fatalf("podman %q: %v: %s", args, err, stderr.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// ok calls podman, which has to succeed, and returns what it printed.
func (r *rig) ok(args ...string) string {
	r.Helper()
	res := r.podman("", args...)
	if res.code != 0 {
		r.Fatalf("podman %q: %s", args, res)
	}
	return strings.TrimSpace(res.out)
}

func (r *rig) equal(what, got, want string) {
	r.Helper()
	if got != want {
		r.Errorf("%s: %q, want %q", what, got, want)
	}
}

// run is the arguments of podman run for a program, with these options of its own.
func (r *rig) run(options []string, program ...string) []string {
	args := append([]string{"run", "--network", "none"}, options...)
	if r.user == 0 {
		args = append(args, "--cgroup-parent", r.cgroup)
	}
	return append(append(args, "--rootfs", r.rootfs), program...)
}

// tidy ends what podman itself keeps: the process that holds an ordinary user's
// namespaces, and cgroups.
func (r *rig) tidy() {
	r.Helper()
	r.podman("", "rm", "--all", "--force", "--time", "0")
	for _, name := range []string{r.dir + "/tmp/pause.pid", r.dir + "/xdg/libpod/tmp/pause.pid"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		container.Must(r, err)
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			r.Error(err)
		}
	}
	// conmon, and the podman that it calls, end a moment after the container.
	leftovers.Processes(r, "before the cgroups go")
	for _, h := range leftovers.Hierarchies() {
		for _, dir := range []string{"/conmon", ""} {
			if err := unix.Rmdir(h + r.cgroup + dir); err != nil && err != unix.ENOENT {
				r.Errorf("remove %s%s%s: %v", h, r.cgroup, dir, err)
			}
		}
	}
}
