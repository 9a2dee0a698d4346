package winebundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/wine"
	"wrun/tests/container"
	"wrun/tests/leftovers"
)

var (
	work     string // directory of this run, removed at its end
	program  string // wrun, with bin/wine beside it
	layer    string // folder with probe.exe
	whyNot   string // why nothing can be tested here; "" if it can
	sequence atomic.Int32
	looking  sync.Map // tests that compare the machine before and after
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	const advice = "sh tests/setup.sh wine wine64 gcc-mingw-w64-x86-64-win32"
	switch {
	case os.Geteuid() != 0:
		whyNot = "not root: a Windows container needs mounts, namespaces and cgroups"
	case missing("/usr/lib/wine/wine64"):
		whyNot = "Wine is missing: " + advice
	case missing("/usr/bin/x86_64-w64-mingw32-gcc"):
		whyNot = "the compiler for Windows is missing: " + advice
	}
	if whyNot != "" {
		return m.Run()
	}
	err := leftovers.Confine()
	if err == nil {
		work, err = os.MkdirTemp("", "wrun-winebundle-")
	}
	if err == nil {
		defer os.RemoveAll(work)
		err = prepare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return err != nil
}

// prepare builds what all tests share. The template is this run's own, and made by
// the first container.
func prepare() error {
	layer = filepath.Join(work, "layer")
	err := errors.Join(os.Chmod(work, 0o755), os.Mkdir(layer, 0o755), os.Setenv(wine.CacheVariable, filepath.Join(work, "cache")))
	if err == nil {
		program, err = container.Build(work, container.Tags)
	}
	var steps [][]string
	if _, missing := exec.LookPath("ip"); missing == nil { // else the tests of networks say so
		// With the first namespace that it names, ip mounts /run/netns on itself, for good:
		// here for this test's mount namespace, and before any test looks.
		first := leftovers.Tag()
		steps = [][]string{{"ip", "netns", "add", first}, {"ip", "netns", "delete", first}}
	}
	for _, argv := range append(steps, [][]string{
		{"go", "run", "./libcontainer/wine/make", "-o", filepath.Join(work, "wine")},
		{"x86_64-w64-mingw32-gcc", "-municode", "-Wall", "-Wextra", "-Werror", "-O2", "-s", "-o", filepath.Join(layer, "probe.exe"),
			"tests/winebundle/probe/probe.c", "-lws2_32", "-ladvapi32"},
		{"env", "GOOS=windows", "CGO_ENABLED=0", "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(layer, "box.exe"), "./tests/hcsemu/box"},
	}...) {
		if err != nil {
			return err
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = "../.."
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
		}
	}
	return err
}

// rig is one test's bundle and state root.
type rig struct {
	*testing.T
	container.Wrun
	dir  string // bundle
	id   string
	spec *specs.Spec
}

// newRig makes a bundle for a program of drive C:. What the test leaves is deleted
// by force at its end, and then nothing may be left but the scratch.
func newRig(t *testing.T, args ...string) *rig {
	t.Helper()
	if whyNot != "" {
		t.Skip(whyNot)
	}
	name := leftovers.Tag() + strconv.Itoa(int(sequence.Add(1)))
	r := &rig{T: t, id: name, dir: filepath.Join(work, name), spec: &specs.Spec{
		Version:  specs.Version,
		Hostname: "winbox",
		Process:  &specs.Process{Args: args, Cwd: `C:\`},
		Windows:  &specs.Windows{LayerFolders: []string{layer, filepath.Join(work, name, "scratch")}},
	}}
	r.Wrun = container.Wrun{Binary: program, Root: filepath.Join(r.dir, "state")}
	r.must(os.Mkdir(r.dir, 0o755))
	// Of several bundles of one test, the last to be cleaned up looks: the first.
	var before *leftovers.Snapshot
	if _, again := looking.LoadOrStore(t, true); !again {
		before = leftovers.Take(t)
	}
	t.Cleanup(func() {
		left, _ := os.ReadDir(r.Root)
		for _, c := range left {
			if res := r.wrun("delete", "--force", c.Name()); res.Code != 0 {
				t.Errorf("delete --force %s: %+v", c.Name(), res)
			}
		}
		if before != nil {
			before.Check(t, "after the test")
		}
	})
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// hyperv has the bundle run in a utility VM with that boot image.
func (r *rig) hyperv(image string) {
	r.spec.Windows.HyperV = &specs.WindowsHyperV{UtilityVMPath: image}
}

func (r *rig) save() {
	r.Helper()
	data, err := json.Marshal(r.spec)
	r.must(err)
	r.must(os.WriteFile(filepath.Join(r.dir, "config.json"), data, 0o644))
}

// wrun calls the binary. What it warns of goes to a file: that the root is missing
// each of these bundles is told.
func (r *rig) wrun(args ...string) container.Result {
	r.Helper()
	return r.within(container.Patience, args...)
}

// within is wrun for calls that may take longer. Not with the test's own context,
// which has ended when its cleanups run.
func (r *rig) within(most time.Duration, args ...string) container.Result {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	cmd := r.Command(ctx, append([]string{"--log", filepath.Join(r.dir, "log")}, args...)...)
	var streams [2]*os.File
	for i := range streams {
		f, err := os.CreateTemp(r.dir, "stdio-")
		r.must(err)
		defer os.Remove(f.Name())
		defer f.Close()
		streams[i] = f
	}
	cmd.Stdout, cmd.Stderr = streams[0], streams[1]
	err := cmd.Run()
	if failed := (*exec.ExitError)(nil); ctx.Err() != nil || err != nil && !errors.As(err, &failed) {
		r.Fatalf("wrun %q: %v, %v", args, err, ctx.Err())
	}
	out, err := os.ReadFile(streams[0].Name())
	r.must(err)
	said, err := os.ReadFile(streams[1].Name())
	r.must(err)
	return container.Result{Code: cmd.ProcessState.ExitCode(), Stdout: string(out), Stderr: string(said)}
}

// run is the bundle's whole life; what it prints has no carriage returns any more.
func (r *rig) run() (string, container.Result) {
	r.Helper()
	r.save()
	res := r.wrun("run", "--bundle", r.dir, r.id)
	return unix(res.Stdout), res
}

func unix(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// says is run for a program that must end with code and print out.
func (r *rig) says(out string, code int) {
	r.Helper()
	if got, res := r.run(); got != out || res.Code != code {
		r.Errorf("exit code %d, output %q, stderr %q; want %d and %q", res.Code, got, res.Stderr, code, out)
	}
}

// refused is run for a bundle that cannot work: its error has all words.
func (r *rig) refused(words ...string) {
	r.Helper()
	_, res := r.run()
	if res.Code == 0 {
		r.Errorf("it ran: %+v", res)
	}
	for _, w := range words {
		if !strings.Contains(res.Stderr, w) {
			r.Errorf("error %q does not say %q", res.Stderr, w)
		}
	}
	if s := r.State(r.T, r.id); s != "" {
		r.Errorf("after it the container is %s", s)
	}
}

// live creates and starts the bundle in the background, and returns the file of its
// output once that has the words.
func (r *rig) live(words string) string {
	r.Helper()
	r.save()
	out := r.create(r.id)
	r.good("start", r.id)
	r.until(out, words)
	return out
}

// create leaves the container before its program.
func (r *rig) create(id string) string {
	r.Helper()
	name := filepath.Join(r.dir, id+".out")
	f, err := os.Create(name)
	r.must(err)
	defer f.Close()
	cmd := r.Command(context.Background(), "--log", filepath.Join(r.dir, "log"), "create", "--bundle", r.dir, id)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(name)
		r.Fatalf("create: %v: %s", err, said)
	}
	return name
}

func (r *rig) good(args ...string) string {
	r.Helper()
	res := r.wrun(args...)
	if res.Code != 0 {
		r.Errorf("wrun %q: %+v", args, res)
	}
	return unix(res.Stdout)
}

// until waits for words in a file.
func (r *rig) until(file, words string) {
	r.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		data, _ := os.ReadFile(file)
		if strings.Contains(unix(string(data)), words) {
			return
		}
		if time.Since(begin) > container.Patience {
			r.Fatalf("%s never said %q: %q", file, words, data)
		}
	}
}

// stopped waits for the end and returns the full exit code.
func (r *rig) stopped() string {
	r.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var s struct {
			Status      string            `json:"status"`
			Annotations map[string]string `json:"annotations"`
		}
		if err := json.Unmarshal([]byte(r.good("state", r.id)), &s); err != nil {
			r.Fatal(err)
		}
		if s.Status == "stopped" {
			return s.Annotations["org.wrun.exit-code"]
		}
		if time.Since(begin) > container.Patience {
			r.Fatalf("the container is still %s", s.Status)
		}
	}
}

// answering is a socket of the host with somebody who says what was heard.
func answering(r *rig) string {
	r.Helper()
	socket := filepath.Join(r.dir, "socket")
	l, err := net.Listen("unix", socket)
	r.must(err)
	r.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			got := make([]byte, 100)
			n, _ := c.Read(got)
			_, _ = io.WriteString(c, "heard "+string(got[:n]))
			c.Close()
		}
	}()
	return socket
}
