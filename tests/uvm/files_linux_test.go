package uvm

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestRootAppears: what the container does to its root is on the host at once,
// with owner, mode and type.
func TestRootAppears(t *testing.T) {
	r := newRig(t, sh(`cd /mnt
echo text >file; chown 1234:5678 file; chmod 4751 file
mkdir -m 1777 dir; ln -s ../no/such link; ln file hard; mkfifo -m 600 fifo
mknod dev c 1 3; chmod 640 dev; touch -d '2001-02-03 04:05:06' old
echo gone >gone; rm gone; echo a >moved; mv moved dir/there; truncate -s 10000000000 sparse
sleep 1000`)...)
	r.start()
	at := func(name string) syscall.Stat_t {
		var st syscall.Stat_t
		_ = syscall.Lstat(filepath.Join(r.rootfs, "mnt", name), &st)
		return st
	}
	r.until("the last file", func() bool { return at("sparse").Size == 10000000000 })
	for _, c := range []struct {
		name     string
		mode     uint32
		uid, gid uint32
	}{
		{"file", syscall.S_IFREG | 0o4751, 1234, 5678},
		{"dir", syscall.S_IFDIR | 0o1777, 0, 0},
		{"link", syscall.S_IFLNK | 0o777, 0, 0},
		{"fifo", syscall.S_IFIFO | 0o600, 0, 0},
		{"dev", syscall.S_IFCHR | 0o640, 0, 0},
		{"dir/there", syscall.S_IFREG | 0o644, 0, 0},
	} {
		if st := at(c.name); st.Mode != c.mode || st.Uid != c.uid || st.Gid != c.gid {
			t.Errorf("%s: mode %o of %d:%d, want %o of %d:%d", c.name, st.Mode, st.Uid, st.Gid, c.mode, c.uid, c.gid)
		}
	}
	if a, b := at("file"), at("hard"); a.Ino != b.Ino || a.Nlink != 2 {
		t.Errorf("the hard link: inode %d and %d, %d names", a.Ino, b.Ino, a.Nlink)
	}
	if st := at("dev"); st.Rdev != 1<<8|3 {
		t.Errorf("the device is %x", st.Rdev)
	}
	if want := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC).Unix(); at("old").Mtim.Sec != want {
		t.Errorf("modified at %d, want %d", at("old").Mtim.Sec, want)
	}
	if to, _ := os.Readlink(filepath.Join(r.rootfs, "mnt/link")); to != "../no/such" {
		t.Errorf("the link leads to %q", to)
	}
	r.equal("content", r.read(filepath.Join(r.rootfs, "mnt/file")), "text")
	if r.exists("mnt/gone") || r.exists("mnt/moved") {
		t.Error("removed files are there")
	}
}

// TestRootIsSeen: what is in the root is in the container, and what the host
// changes is there soon.
func TestRootIsSeen(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	in := func(name string) string { return filepath.Join(r.rootfs, "mnt", name) }
	r.write("rootfs/mnt/file", "one\n")
	r.must(os.Chown(in("file"), 77, 88))
	r.must(os.Chmod(in("file"), os.ModeSetuid|0o711))
	r.must(os.Symlink("file", in("link")))
	r.must(os.Link(in("file"), in("hard")))
	r.must(syscall.Mkfifo(in("fifo"), 0o622))
	r.must(syscall.Mknod(in("null"), syscall.S_IFCHR|0o666, 1<<8|3))
	r.start()
	r.equal("stat", r.inside("cd /mnt; stat -c '%n %F %a %u:%g %h' file link fifo null; cat link; stat -c '%t:%T' null; echo x >null && echo written"),
		"file regular file 4711 77:88 2\nlink symbolic link 777 0:0 1\nfifo fifo 600 0:0 1\nnull character special file 644 0:0 1\none\n1:3\nwritten")
	r.equal("a fifo between two of the guest", r.inside("echo through >/mnt/fifo & cat /mnt/fifo"), "through")
	seen := func(what, script, want string) {
		t.Helper()
		r.within(2*time.Second, what, func() bool { return r.inside(script) == want })
	}
	r.write("rootfs/mnt/file", "two and more\n")
	seen("a file that the host changed", "cat /mnt/file", "two and more")
	r.write("rootfs/mnt/new", "new\n")
	seen("a file that the host made", "cat /mnt/new", "new")
	r.must(os.Remove(in("new")))
	seen("that the host removed it", "ls /mnt/new 2>/dev/null || echo none", "none")
	r.must(os.Chmod(in("file"), 0o600))
	seen("its mode", "stat -c %a /mnt/file", "600")
}

// TestMounts: bind mounts are as in a silo.
func TestMounts(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	rw, ro, file := filepath.Dir(r.write("rw/a", "rw\n")), filepath.Dir(r.write("ro/a", "ro\n")), r.write("single", "single\n")
	r.write("ro/below/b", "below\n")
	for at, m := range map[string]specs.Mount{
		"/mnt/rw":       {Source: rw, Options: []string{"rbind", "rw"}},
		"/mnt/ro":       {Source: ro, Options: []string{"rbind", "ro"}},
		"/mnt/file":     {Source: file, Options: []string{"bind"}},
		"/etc/resolv":   {Source: file, Options: []string{"bind", "ro"}},
		"/mnt/relative": {Source: "rw", Options: []string{"bind"}},
	} {
		m.Destination, m.Type = at, "bind"
		r.mount(m)
	}
	r.mount(specs.Mount{Destination: "/mnt/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m", "mode=1777"}})
	r.start()
	r.equal("all of them", r.inside("cat /mnt/rw/a /mnt/ro/a /mnt/ro/below/b /mnt/file /etc/resolv /mnt/relative/a"), "rw\nro\nbelow\nsingle\nsingle\nrw")
	r.inside("echo changed >/mnt/rw/a; echo more >>/mnt/file; mkdir /mnt/rw/d; chown 5:6 /mnt/rw/d")
	r.equal("rw on the host", r.read(filepath.Join(rw, "a")), "changed")
	r.equal("the file on the host", r.read(file), "single\nmore")
	for _, script := range []string{"echo x >/mnt/ro/a", "echo x >/mnt/ro/new", "rm /mnt/ro/a", "mkdir /mnt/ro/below/d", "chmod 777 /mnt/ro/a", "echo x >>/etc/resolv"} {
		if res := r.wrun(append([]string{"exec", r.id}, sh(script)...)...); res.code == 0 || !strings.Contains(res.err, "ead-only") {
			t.Errorf("%s: %s", script, res)
		}
	}
	r.equal("ro on the host", r.read(filepath.Join(ro, "a")), "ro")
	r.must(os.WriteFile(filepath.Join(ro, "a"), []byte("of the host\n"), 0o644))
	r.within(2*time.Second, "the host's change", func() bool { return r.inside("cat /mnt/ro/a") == "of the host" })
	if res := r.wrun(append([]string{"exec", r.id}, sh("cat /dev/zero >/mnt/tmp/x")...)...); res.code == 0 || !strings.Contains(res.err, "No space") {
		t.Errorf("a full tmpfs: %s", res)
	}
	r.equal("after a full tmpfs", r.inside("rm /mnt/tmp/x; echo on"), "on")
}

// TestReadOnlyOnTheHost: a guest that is not wrun's any more cannot write what
// is shared with it for reading only: the file server's own mount is read-only.
func TestReadOnlyOnTheHost(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	source := filepath.Dir(r.write("ro/a", "ro\n"))
	r.mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: source, Options: []string{"rbind", "ro"}})
	r.start()
	// The directory around the shares, too: the monitor mounts there, and a guest
	// that put a link in its way would lead it elsewhere.
	found := map[string]bool{}
	for line := range strings.Lines(r.read(r.the("files").file("mountinfo"))) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		share := strings.HasSuffix(f[3], "/ro") && strings.Contains(f[4], "/vm/served/")
		if around := strings.HasSuffix(f[4], "/vm/served"); around || share {
			found[map[bool]string{true: "around", false: "share"}[around]] = true
			if !strings.HasPrefix(f[5], "ro") {
				t.Errorf("the file server can write it: %s", line)
			}
		}
	}
	if !found["around"] || !found["share"] {
		t.Errorf("the file server has only %v of these mounts", found)
	}
	for line := range strings.Lines(r.read("/proc/self/mountinfo")) {
		if strings.Contains(line, r.dir) {
			t.Errorf("the host sees a mount of the VM's: %s", line)
		}
	}
}

// TestRootReadOnly: root.readonly holds, and for the file server as well.
func TestRootReadOnly(t *testing.T) {
	r := newRig(t, sh("echo x >/mnt/x; echo $?; mkdir /new; echo $?; echo y >/dev/y; echo $?")...)
	r.spec.Root.Readonly = true
	res := r.run()
	r.equal("codes", res.out, "1\n1\n0")
	if strings.Count(res.err, "Read-only file system") != 2 {
		t.Errorf("%s", res)
	}
	if r.exists("mnt/x") || r.exists("new") {
		t.Error("written all the same")
	}
}

// TestLastWrites: what a program has not synced, is there
// when the container has ended.
func TestLastWrites(t *testing.T) {
	r := newRig(t, sh("dd if=/dev/zero bs=65536 count=100 2>/dev/null | tr '\\0' z >/mnt/big; echo -n end >>/mnt/big")...)
	r.output()
	if got := r.read(filepath.Join(r.rootfs, "mnt/big")); len(got) != 6553600+3 || !strings.HasSuffix(got, "zend") {
		t.Errorf("%d bytes", len(got))
	}
}

// TestManyFiles: hundreds of files are made and removed.
func TestManyFiles(t *testing.T) {
	r := newRig(t, sh("cd /mnt; for i in $(seq 300); do echo $i >f$i; done; ls | wc -l; rm -r /mnt/*; ls | wc -l")...)
	begun := time.Now()
	r.equal("counts", r.output(), "300\n0")
	t.Logf("300 files made, listed, removed: %v", time.Since(begun).Round(time.Millisecond))
}
