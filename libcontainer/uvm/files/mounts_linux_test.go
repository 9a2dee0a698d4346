package files

import (
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestBindMounts(t *testing.T) {
	g := newRig(t)
	for _, d := range []string{"data", "readonly", "tmpfs"} {
		must(t, os.Mkdir(g.inHost(d), 0o755))
	}
	must(t, os.WriteFile(g.inHost("data/file"), []byte("data"), 0o644))
	mount := func(from, to, kind string, flags uintptr) {
		t.Helper()
		must(t, unix.Mount(from, to, kind, flags, ""))
		t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
	}
	mount(g.inHost("data"), g.inHost("readonly"), "", unix.MS_BIND)
	mount("", g.inHost("readonly"), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY)
	mount("tmpfs", g.inHost("tmpfs"), "tmpfs", 0)
	must(t, os.WriteFile(g.inHost("tmpfs/there"), []byte("crossed"), 0o644))

	b, err := os.ReadFile(g.inGuest("tmpfs/there"))
	must(t, err)
	want(t, "across a mount", string(b), "crossed")
	must(t, os.WriteFile(g.inGuest("tmpfs/new"), nil, 0o644))
	want(t, "other device", lstat(t, g.inGuest("tmpfs")).Ino != lstat(t, g.inHost("tmpfs")).Ino, true)
	wantErrno(t, "rename across", unix.Rename(g.inGuest("data/file"), g.inGuest("tmpfs/file")), unix.EXDEV)

	// The same file, first known through the mount that may write.
	must(t, os.WriteFile(g.inGuest("data/file"), []byte("new"), 0o644))
	b, err = os.ReadFile(g.inGuest("readonly/file"))
	must(t, err)
	want(t, "read-only", string(b), "new")
	for what, err := range map[string]error{
		"write":  os.WriteFile(g.inGuest("readonly/file"), nil, 0o644),
		"create": os.WriteFile(g.inGuest("readonly/new"), nil, 0o644),
		"mkdir":  os.Mkdir(g.inGuest("readonly/dir"), 0o755),
		"chmod":  os.Chmod(g.inGuest("readonly/file"), 0o600),
		"chown":  os.Chown(g.inGuest("readonly/file"), 1, 1),
		"unlink": unix.Unlink(g.inGuest("readonly/file")),
		"utimes": os.Chtimes(g.inGuest("readonly/file"), time.Now(), time.Now()),
		"xattr":  unix.Setxattr(g.inGuest("readonly/file"), "user.x", nil, 0),
	} {
		wantErrno(t, what, err, unix.EROFS)
	}
	must(t, os.WriteFile(g.inGuest("data/file"), []byte("newer"), 0o644))
}

// TestReplacedDirectory has the host replace a directory which the guest uses by
// a link that leads out of the tree.
func TestReplacedDirectory(t *testing.T) {
	g := newRig(t)
	outside := filepath.Join(filepath.Dir(g.host), "outside")
	must(t, os.Mkdir(outside, 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644))
	must(t, os.Mkdir(g.inHost("dir"), 0o755))
	must(t, os.WriteFile(g.inHost("dir/file"), []byte("inside"), 0o644))
	d, err := unix.Open(g.inGuest("dir"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(d)
	must(t, os.Rename(g.inHost("dir"), g.inHost("elsewhere")))
	must(t, os.Symlink("../outside", g.inHost("dir")))
	_, err = unix.Openat(d, "secret", unix.O_RDONLY, 0)
	wantErrno(t, "in the directory that was", err, unix.ENOENT)
	fd, err := unix.Openat(d, "file", unix.O_RDONLY, 0)
	must(t, err)
	unix.Close(fd)
	must(t, unix.Mkdirat(d, "made", 0o755))
	want(t, "made inside", lstat(t, g.inHost("elsewhere/made")).Mode&unix.S_IFMT, unix.S_IFDIR)
	// To the guest it is a link of its own file system, in which it leads nowhere.
	time.Sleep((cacheSeconds + 1) * time.Second)
	to, err := os.Readlink(g.inGuest("dir"))
	must(t, err)
	want(t, "link", to, "../outside")
	list, err := os.ReadDir(outside)
	must(t, err)
	want(t, "outside", len(list), 1)
}

func TestForget(t *testing.T) {
	g := newRig(t)
	const files = 300
	for i := range files {
		must(t, os.WriteFile(g.inHost(strings.Repeat("x", 1+i%150)+string(rune('a'+i/150))), nil, 0o644))
	}
	must(t, exec.Command("ls", "-l", g.guest).Run())
	if held := g.held(); held < files {
		t.Errorf("%d files held after they were listed", held)
	}
	must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
	deadline := time.Now().Add(5 * time.Second)
	for g.held() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d files still held after the guest forgot them", g.held())
		}
		time.Sleep(10 * time.Millisecond)
	}
	b, err := os.ReadDir(g.guest)
	must(t, err)
	want(t, "still there", len(b), files)
}

// TestUnmount closes everything on the host, and lets both processes end.
func TestUnmount(t *testing.T) {
	g := newRig(t)
	must(t, os.WriteFile(g.inGuest("file"), []byte("x"), 0o644))
	if g.held() == 0 {
		t.Error("nothing held")
	}
	g.unmount()
	line, _ := g.relaySays.ReadString('\n')
	want(t, "relay", line, "relayed: <nil>\n")
	line, _ = g.serverSays.ReadString('\n')
	want(t, "server", line, "served: <nil>\n")
}

// TestServerGone kills the server while the guest waits for it.
func TestServerGone(t *testing.T) {
	g := newRig(t)
	must(t, os.WriteFile(g.inGuest("file"), []byte("x"), 0o644))
	must(t, g.server.Process.Signal(unix.SIGSTOP))
	asked := make(chan error)
	go func() {
		_, err := os.Stat(g.inGuest("other"))
		asked <- err
	}()
	time.Sleep(50 * time.Millisecond)
	must(t, g.server.Process.Kill())
	_ = g.server.Wait()
	select {
	case err := <-asked:
		if err == nil {
			t.Error("answered by nobody")
		}
		t.Log("what waited got", err)
	case <-time.After(5 * time.Second):
		t.Fatal("what waited hangs")
	}
	line, _ := g.relaySays.ReadString('\n')
	want(t, "relay", line, "relayed: "+errPortEnded.Error()+"\n")
	_, err := os.Stat(g.inGuest("file"))
	wantErrno(t, "afterwards", err, unix.ENOTCONN)
}

// TestPieces carries the messages in pieces of a page and less, as a virtio port
// does.
func TestPieces(t *testing.T) {
	g := newRigOver(t, func(g *rig) (*os.File, *os.File) {
		guest, near := socketpair(t)
		far, host := socketpair(t)
		port, _ := g.play("pieces", near, far)
		near.Close()
		far.Close()
		t.Cleanup(func() { g.ends(port, "port") })
		return guest, host
	})
	content := randomBytes(4, 5<<20+1)
	must(t, os.WriteFile(g.inGuest("file"), content, 0o644))
	want(t, "written", sumOf(t, g.inHost("file")), crc32.ChecksumIEEE(content))
	must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
	want(t, "read", sumOf(t, g.inGuest("file")), crc32.ChecksumIEEE(content))
}

// TestMountAgain unmounts and mounts again over the same port. This process has
// the relay and uses the tree: it reads, maps and executes.
func TestMountAgain(t *testing.T) {
	needFuse(t)
	c := newClient(t)
	must(t, os.WriteFile(filepath.Join(c.tree, "file"), []byte("text"), 0o644))
	program, err := os.ReadFile("/bin/true")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(c.tree, "true"), program, 0o755))
	target := t.TempDir()
	for range 20 {
		r, err := Mount(int(c.conn.Fd()), target)
		must(t, err)
		b, err := os.ReadFile(filepath.Join(target, "file"))
		must(t, err)
		want(t, "read", string(b), "text")
		f, err := os.Open(filepath.Join(target, "true"))
		must(t, err)
		mapped, err := unix.Mmap(int(f.Fd()), 0, len(program), unix.PROT_READ, unix.MAP_PRIVATE)
		must(t, err)
		runtime.GC()
		want(t, "mapped", crc32.ChecksumIEEE(mapped), crc32.ChecksumIEEE(program))
		must(t, unix.Munmap(mapped))
		must(t, f.Close())
		must(t, exec.Command(filepath.Join(target, "true")).Run())
		must(t, unix.Unmount(target, 0))
		must(t, r.Wait())
	}
	must(t, c.end())
}

func TestMountNoPeer(t *testing.T) {
	needFuse(t)
	t.Parallel()
	ours, theirs := socketpair(t)
	theirs.Close()
	defer ours.Close()
	if _, err := Mount(int(ours.Fd()), t.TempDir()); !errors.Is(err, errNoPeer) {
		t.Errorf("mount without a host: %v", err)
	}
}
