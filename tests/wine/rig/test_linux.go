package rig

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Settle is how long the machine may take to come to rest after a command.
const Settle = 6 * time.Second

// Test is one test with a state root and folders of its own on the machine.
type Test struct {
	*testing.T // its Log is hidden by wrun's: there is Logf
	*Site
	Dir  string // C:\t\7
	Root string // wrun's --root
	ID   string // of the test's first container; others get a suffix: t7, t7-b
	Env  []string

	exe     string
	scratch string   // Linux directory of the calls' files
	own     []string // what the test itself made at the service
	listing int      // pid of the last lister of processes
	faulty  bool
	untidy  bool
	polling bool // calls are not worth a line
	bundles int
}

// New begins a test. What it leaves is deleted by force at its end, and then
// nothing may be left: no state, no compute system, layer, disk, share,
// endpoint, namespace, and no process.
func (s *Site) New(t *testing.T) *Test {
	t.Helper()
	if s.Why != "" {
		t.Skip(s.Why)
	}
	s.tests++
	id := "t" + strconv.Itoa(s.tests)
	x := &Test{T: t, Site: s, Dir: `C:\t\` + id, ID: id, exe: Wrun}
	x.Root = x.Dir + `\state`
	x.scratch = s.Host.Unix(x.Dir + `\calls`)
	x.Must(os.MkdirAll(x.scratch, 0o755))
	t.Cleanup(x.cleanUp)
	return x
}

// UseFaultBuild has the test call a wrun.exe that kills itself where WRUN_FAULT
// says (libcontainer/faultpoints.go).
func (t *Test) UseFaultBuild() {
	t.Helper()
	t.Must(t.buildFault())
	t.exe = WrunFault
}

// In is the same test in a subtest of its own, with a fresh id and folder.
func (t *Test) In(sub *testing.T) *Test {
	sub.Helper()
	x := t.Site.New(sub)
	x.exe, x.Env = t.exe, t.Env
	return x
}

// Must ends the test on an error of its own preparations.
func (t *Test) Must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Command is a call of wrun. Warnings go to the log (Log), errors to stderr, too.
func (t *Test) Command(args ...string) Call {
	return Call{Program: t.exe, Args: append([]string{"--root", t.Root, "--log", t.Dir + `\log`}, args...), Env: t.Env}
}

// Log is what all calls of wrun have logged.
func (t *Test) Log() string {
	t.Helper()
	return t.Read(t.Dir + `\log`)
}

// Do makes a call on the machine.
func (t *Test) Do(c Call) Result {
	t.Helper()
	r, err := t.Host.Run(t.scratch, c)
	if !t.polling {
		t.Logf("%.2f s, %d: %s %s", r.Took.Seconds(), r.Code, c.Program[strings.LastIndex(c.Program, `\`)+1:], strings.Join(c.Args, " "))
	}
	t.Must(err)
	return r
}

// Try is Do for a program that may do as it likes, hang too.
func (t *Test) Try(c Call) (Result, error) {
	t.Helper()
	return t.Host.Run(t.scratch, c)
}

// Go begins a call on the machine.
func (t *Test) Go(c Call) *Running {
	t.Helper()
	r, err := t.Host.Start(t.scratch, c)
	t.Must(err)
	return r
}

// Wrun is wrun, in a process of its own.
func (t *Test) Wrun(args ...string) Result {
	t.Helper()
	return t.Do(t.Command(args...))
}

// OK is Wrun for what must return 0 and say nothing on stderr.
func (t *Test) OK(args ...string) Result {
	t.Helper()
	r := t.Wrun(args...)
	if r.Code != 0 || r.Stderr != "" {
		t.Fatalf("wrun %s: want exit code 0 and silence on stderr: %s", strings.Join(args, " "), r)
	}
	return r
}

// Refused is Wrun for what must fail with exit code 1 (exec: 255), one error on stderr that
// contains each of words, and nothing on stdout. A hint may follow the error.
func (t *Test) Refused(words []string, args ...string) Result {
	t.Helper()
	r := t.Wrun(args...)
	t.IsRefusal(r, words...)
	return r
}

// IsRefusal is the check of Refused.
func (t *Test) IsRefusal(r Result, words ...string) {
	t.Helper()
	// exec ends with 255 when it started nothing, as runc's does.
	if r.Code != 1 && r.Code != 255 || r.Stdout != "" || strings.Count(r.Stderr, "wrun: ") != 1 {
		t.Errorf("want exit code 1 or 255, one error and no output: %s", r)
	}
	for _, w := range words {
		if !strings.Contains(r.Stderr, w) {
			t.Errorf("no %q in the error: %s", w, r)
		}
	}
}

// ExitCode runs wrun in a Windows program that tells all 32 bits of its exit
// code; Result.Code is that program's.
func (t *Test) ExitCode(args ...string) (uint32, Result) {
	t.Helper()
	file := t.Dir + `\exitcode`
	c := t.Command(args...)
	c.Args = append([]string{"launch", file, c.Program}, c.Args...)
	c.Program = Probe
	r := t.Do(c)
	n, err := strconv.ParseUint(t.Read(file), 10, 32)
	if err != nil {
		t.Fatalf("wrun %s: no exit code: %v: %s", strings.Join(args, " "), err, r)
	}
	t.Must(os.Remove(t.Host.Unix(file)))
	return uint32(n), r
}

// State is what `wrun state` says of a container that exists.
func (t *Test) State(id string) specs.State {
	t.Helper()
	var s specs.State
	r := t.OK("state", id)
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
		t.Fatalf("state %s: %v: %s", id, err, r)
	}
	return s
}

// Status is the status of a container, "" when it does not exist.
func (t *Test) Status(id string) specs.ContainerState {
	t.Helper()
	r := t.Wrun("state", id)
	if r.Code == 1 && r.Stderr == "wrun: container does not exist\n" {
		return ""
	}
	var s specs.State
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil || r.Code != 0 || r.Stderr != "" {
		t.Fatalf("state %s: %v: %s", id, err, r)
	}
	return s.Status
}

// Is checks the status.
func (t *Test) Is(id string, want specs.ContainerState) {
	t.Helper()
	if got := t.Status(id); got != want {
		t.Errorf("container %s is %q, want %q", id, got, want)
	}
}

// Becomes waits for a status that something else brings about.
func (t *Test) Becomes(id string, want specs.ContainerState) {
	t.Helper()
	t.Until(fmt.Sprintf("container %s is %q", id, want), func() bool { return t.Status(id) == want })
}

// Until waits for what has no notification.
func (t *Test) Until(what string, ok func() bool) {
	t.Helper()
	t.polling = true
	defer func() { t.polling = false }()
	for begin := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > Settle {
			t.Fatalf("within %v it did not happen that %s", Settle, what)
		}
	}
}

// Equal compares texts; what Windows ends lines with does not count.
func (t *Test) Equal(what, got, want string) {
	t.Helper()
	if got = strings.ReplaceAll(got, "\r\n", "\n"); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// Read is a file of the Windows machine.
func (t *Test) Read(windows string) string {
	t.Helper()
	data, err := os.ReadFile(t.Host.Unix(windows))
	t.Must(err)
	return string(data)
}

// Exists says whether a file or folder is there.
func (t *Test) Exists(windows string) bool {
	_, err := os.Lstat(t.Host.Unix(windows))
	return err == nil
}

// Write makes a file in the test's folder and answers its path.
func (t *Test) Write(name, text string) string {
	t.Helper()
	path := t.Dir + `\` + name
	t.Must(t.write(path, []byte(text)))
	return path
}

// Process is an entry of the machine's process list.
type Process struct {
	Pid, Parent int
	Image       string
}

// Processes is the process list of the Windows host, as toolhelp has it.
func (t *Test) Processes() []Process {
	t.Helper()
	r := t.Do(Call{Program: Probe, Args: []string{"ps"}})
	if r.Code != 0 {
		t.Fatalf("list the machine's processes: %s", r)
	}
	var all []Process
	for line := range strings.Lines(r.Stdout) {
		var p Process
		if _, err := fmt.Sscan(line, &p.Pid, &p.Parent, &p.Image); err != nil {
			t.Fatalf("list the machine's processes: %v in %q", err, line)
		}
		if p.Image == "probe.exe" {
			t.listing = p.Pid // the last of them is the lister itself
		}
		all = append(all, p)
	}
	return all
}

// Image is the image of a process of the host, "" when there is none.
func (t *Test) Image(pid int) string {
	t.Helper()
	for _, p := range t.Processes() {
		if p.Pid == pid {
			return p.Image
		}
	}
	return ""
}

// Terminate ends a Windows process as the Task Manager does.
func (t *Test) Terminate(pid int) {
	t.Helper()
	if r := t.Do(Call{Program: Probe, Args: []string{"kill", strconv.Itoa(pid)}}); r.Code != 0 {
		t.Fatalf("terminate process %d: %s", pid, r)
	}
}

// Windows makes the machine another one for the rest of the test.
func (t *Test) Windows(v Version) {
	t.Helper()
	t.Must(t.Host.register(v.registry()))
	t.Cleanup(func() {
		if err := t.Host.register(Server2022.registry()); err != nil {
			t.Error(err)
		}
	})
}

// cleanUp is the end of every test.
func (t *Test) cleanUp() {
	t.Helper()
	if t.faulty {
		t.Mend()
	}
	left, err := os.ReadDir(t.Host.Unix(t.Root))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, c := range left {
		if r := t.Wrun("delete", "--force", c.Name()); r.Code != 0 || r.Stderr != "" {
			t.Errorf("delete --force %s: %s", c.Name(), r)
		}
	}
	// A namespace goes after the endpoint in it, which was made later.
	for _, id := range slices.Backward(slices.Clone(t.own)) {
		t.Withdraw(id)
	}
	if !t.untidy {
		t.Nothing()
	}
	if !t.Failed() && !t.untidy {
		t.Must(os.RemoveAll(t.Host.Unix(t.Dir)))
	} else if t.Failed() {
		t.Logf("files are kept until the end of the tests in %s", filepath.Clean(t.Host.Unix(t.Dir)))
	}
}

// Remove deletes a file of the Windows machine.
func (t *Test) Remove(windows string) {
	t.Helper()
	t.Must(os.Remove(t.Host.Unix(windows)))
}

// MkdirAll makes a folder of the Windows machine.
func (t *Test) MkdirAll(windows string) error {
	return os.MkdirAll(t.Host.Unix(windows), 0o755)
}

// Copy copies a folder of the Windows machine.
func (t *Test) Copy(from, to string) {
	t.Helper()
	t.Must(os.CopyFS(t.Host.Unix(to), os.DirFS(t.Host.Unix(from))))
}

// HasText checks that a text, as JSON has it, is in one of the documents.
func (t *Test) HasText(what string, documents []string, text string) {
	t.Helper()
	quoted, err := json.Marshal(text)
	t.Must(err)
	inside := strings.Trim(string(quoted), `"`)
	for _, d := range documents {
		if strings.Contains(strings.ToLower(d), strings.ToLower(inside)) {
			return
		}
	}
	t.Errorf("%s, %s, is in none of the documents: %s", what, text, strings.Join(documents, "\n"))
}

// Outputs is what stands in the stdout of all calls of the test by now.
func (t *Test) Outputs() string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(t.scratch, "*.out"))
	t.Must(err)
	var all strings.Builder
	for _, f := range files {
		all.WriteString(readAll(f))
	}
	return all.String()
}

// Install puts a program of Linux's disk on the Windows machine.
func (t *Test) Install(file, windows string) {
	t.Helper()
	t.Must(t.Host.install(file, windows))
}

// Untidy says that this test runs somebody else's program, whose leftovers are
// nobody's failure: what it left is taken off the machine with the machine.
func (t *Test) Untidy() { t.untidy = true }
