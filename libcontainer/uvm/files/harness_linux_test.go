package files

import (
	"bufio"
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
)

// The server, the relay and the tests are processes of their own, as they are in
// use. In one process a page fault in the mounted tree could not be served while
// the garbage collector waits for the thread that has it.
const roleVariable = "WRUN_FILES_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "serve":
		playServer()
	case "mount":
		playRelay()
	case "pieces":
		playPieces()
	case "inside":
		os.Exit(m.Run())
	}
	fuzzing := false
	for _, a := range os.Args[1:] {
		fuzzing = fuzzing || strings.HasPrefix(a, "-test.fuzz")
	}
	if os.Getuid() != 0 || fuzzing {
		os.Exit(m.Run())
	}
	// All else runs in a mount namespace of its own, so that no mount is left.
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), roleVariable+"=inside")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in a mount namespace:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// playPieces is a port that carries what passes between descriptors 3 and 4 in
// pieces. It ends with both directions.
func playPieces() {
	near, far := os.NewFile(3, "near"), os.NewFile(4, "far")
	done := make(chan struct{}, 2)
	pump := func(to, from *os.File, piece int) {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, piece)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				_, err = to.Write(buf[:n])
			}
			if err != nil {
				_ = unix.Shutdown(int(to.Fd()), unix.SHUT_WR)
				return
			}
		}
	}
	go pump(far, near, 1021)
	go pump(near, far, 4096)
	<-done
	<-done
	os.Exit(0)
}

func playServer() {
	err := Serve(3, 4)
	fmt.Println("served:", err)
	if err != nil {
		os.Exit(1)
	}
	os.Exit(len(openDescriptors("self")) - len(descriptorsAtStart))
}

// descriptorsAtStart is taken by every role, and costs the others nothing much.
var descriptorsAtStart = openDescriptors("self")

func playRelay() {
	r, err := Mount(3, os.Getenv("WRUN_FILES_TEST_TARGET"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("mounted")
	fmt.Println("relayed:", r.Wait())
	os.Exit(0)
}

// openDescriptors lists what the process has open, but for the list itself and
// the runtime's own.
func openDescriptors(pid string) []string {
	dir := "/proc/" + pid + "/fd"
	entries, _ := os.ReadDir(dir)
	var open []string
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/proc/") {
			open = append(open, to)
		}
	}
	return open
}

// rig is a tree served and mounted.
type rig struct {
	t          testing.TB
	host       string // the tree
	guest      string // where it is mounted
	server     *exec.Cmd
	relay      *exec.Cmd
	serverSays *bufio.Reader
	relaySays  *bufio.Reader
}

func needFuse(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse on this machine")
	}
}

func newRig(t testing.TB) *rig {
	return newRigOver(t, func(g *rig) (*os.File, *os.File) { return socketpair(g.t) })
}

// newRigOver has the messages pass between the two ends which connect returns.
func newRigOver(t testing.TB, connect func(*rig) (*os.File, *os.File)) *rig {
	t.Helper()
	needFuse(t)
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g := &rig{t: t, host: filepath.Join(dir, "host"), guest: filepath.Join(dir, "guest")}
	for _, d := range []string{g.host, g.guest} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ours, theirs := connect(g)
	root, err := os.OpenFile(g.host, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	g.server, g.serverSays = g.play("serve", theirs, root)
	g.relay, g.relaySays = g.play("mount", ours)
	ours.Close()
	theirs.Close()
	if line, _ := g.relaySays.ReadString('\n'); line != "mounted\n" {
		t.Fatalf("mount: %s", line)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(g.guest, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			t.Errorf("unmount: %v", err)
		}
		g.ends(g.relay, "relay")
		g.ends(g.server, "server")
	})
	return g
}

func socketpair(t testing.TB) (*os.File, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "guest's end"), os.NewFile(uintptr(fds[1]), "host's end")
}

func (g *rig) play(role string, files ...*os.File) (*exec.Cmd, *bufio.Reader) {
	g.t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), roleVariable+"="+role, "WRUN_FILES_TEST_TARGET="+g.guest)
	c.ExtraFiles = files
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	return c, bufio.NewReader(out)
}

// ends waits for the process to end by itself.
func (g *rig) ends(c *exec.Cmd, what string) {
	if c.ProcessState != nil {
		return
	}
	late := time.AfterFunc(10*time.Second, func() {
		g.t.Errorf("the %s did not end", what)
		_ = c.Process.Kill()
	})
	err := c.Wait()
	late.Stop()
	if err != nil {
		g.t.Errorf("the %s ended with %v", what, err)
	}
}

func (g *rig) unmount() {
	g.t.Helper()
	if err := unix.Unmount(g.guest, 0); err != nil {
		g.t.Fatalf("unmount: %v", err)
	}
}

// held counts the files the server has open in the tree.
func (g *rig) held() int {
	n := 0
	for _, to := range openDescriptors(strconv.Itoa(g.server.Process.Pid)) {
		if strings.HasPrefix(to, g.host+"/") {
			n++
		}
	}
	return n
}

func (g *rig) inHost(name string) string  { return filepath.Join(g.host, name) }
func (g *rig) inGuest(name string) string { return filepath.Join(g.guest, name) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want[T comparable](t testing.TB, what string, got, expected T) {
	t.Helper()
	if got != expected {
		t.Errorf("%s: %v, want %v", what, got, expected)
	}
}

func wantErrno(t testing.TB, what string, err error, expected unix.Errno) {
	t.Helper()
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = inner.Unwrap()
	}
	if err != expected {
		t.Errorf("%s: %v, want %v", what, err, expected)
	}
}

func lstat(t testing.TB, name string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		t.Fatalf("lstat %s: %v", name, err)
	}
	return st
}

// as runs a shell command as the user.
func as(t testing.TB, uid, gid uint32, groups []uint32, command string) (string, error) {
	t.Helper()
	c := exec.Command("sh", "-c", command)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustAs(t testing.TB, uid, gid uint32, groups []uint32, command string) {
	t.Helper()
	if out, err := as(t, uid, gid, groups, command); err != nil {
		t.Fatalf("%s as %d:%d: %v\n%s", command, uid, gid, err, out)
	}
}
