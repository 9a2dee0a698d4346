package files

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestKinds(t *testing.T) {
	g := newRig(t)
	must(t, os.WriteFile(g.inGuest("file"), []byte("contents"), 0o640))
	must(t, os.Mkdir(g.inGuest("dir"), 0o750))
	must(t, os.Symlink("../nowhere", g.inGuest("link")))
	must(t, os.Link(g.inGuest("file"), g.inGuest("hard")))
	must(t, os.Link(g.inGuest("link"), g.inGuest("hardlink")))
	must(t, unix.Mknod(g.inGuest("fifo"), unix.S_IFIFO|0o600, 0))
	must(t, unix.Mknod(g.inGuest("sock"), unix.S_IFSOCK|0o600, 0))
	must(t, unix.Mknod(g.inGuest("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(g.inGuest("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 300))))
	must(t, unix.Mknod(g.inGuest("reg"), unix.S_IFREG|0o4755, 0))
	for name, mode := range map[string]uint32{
		"file": unix.S_IFREG | 0o640, "dir": unix.S_IFDIR | 0o750, "link": unix.S_IFLNK | 0o777,
		"fifo": unix.S_IFIFO | 0o600, "sock": unix.S_IFSOCK | 0o600, "null": unix.S_IFCHR | 0o644,
		"block": unix.S_IFBLK | 0o600, "reg": unix.S_IFREG | 0o4755,
	} {
		host, guest := lstat(t, g.inHost(name)), lstat(t, g.inGuest(name))
		want(t, name+" on the host", host.Mode, mode)
		want(t, name+" in the guest", guest.Mode, mode)
		want(t, name+" inode", guest.Ino, host.Ino)
		want(t, name+" device", guest.Rdev, host.Rdev)
		want(t, name+" size", guest.Size, host.Size)
	}
	want(t, "rdev", lstat(t, g.inHost("block")).Rdev, unix.Mkdev(7, 300))
	want(t, "links", lstat(t, g.inGuest("hard")).Nlink, 2)
	want(t, "links of a link", lstat(t, g.inHost("hardlink")).Nlink, 2)
	to, err := os.Readlink(g.inGuest("link"))
	must(t, err)
	want(t, "link", to, "../nowhere")

	// The guest's kernel serves what is not a file's contents.
	if f, err := os.OpenFile(g.inGuest("null"), os.O_WRONLY, 0); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	go func() { _ = os.WriteFile(g.inGuest("fifo"), []byte("through"), 0) }()
	b, err := os.ReadFile(g.inGuest("fifo"))
	must(t, err)
	want(t, "fifo", string(b), "through")

	wantErrno(t, "rmdir of a file", unix.Rmdir(g.inGuest("file")), unix.ENOTDIR)
	wantErrno(t, "unlink of a directory", unix.Unlink(g.inGuest("dir")), unix.EISDIR)
	must(t, os.RemoveAll(g.inGuest("dir")))
	must(t, os.Remove(g.inGuest("link")))
	wantErrno(t, "stat of what is gone", unix.Access(g.inHost("link"), 0), unix.ENOENT)
	var fs, hostFS unix.Statfs_t
	must(t, unix.Statfs(g.guest, &fs))
	must(t, unix.Statfs(g.host, &hostFS))
	want(t, "blocks", fs.Blocks, hostFS.Blocks)
}

func TestOwnership(t *testing.T) {
	g := newRig(t)
	must(t, os.Mkdir(g.inHost("open"), 0o777))
	must(t, os.Chmod(g.inHost("open"), 0o777))
	must(t, os.Mkdir(g.inHost("shared"), 0o777))
	must(t, os.Chown(g.inHost("shared"), 0, 4000))
	must(t, os.Chmod(g.inHost("shared"), 0o777|os.ModeSetgid))
	// Only a supplementary group, of which the host knows nothing, lets it in.
	must(t, os.Mkdir(g.inHost("group"), 0o700))
	must(t, os.Chmod(g.inHost("group"), 0o770))
	must(t, os.Chown(g.inHost("group"), 0, 5000))
	mustAs(t, 1000, 1001, []uint32{5000}, `cd `+g.guest+` && umask 022 &&
		echo x >open/file && mkdir open/dir && ln -s x open/link && mkfifo open/fifo &&
		echo x >shared/file && mkdir shared/dir && echo x >group/file && umask 0 && echo x >open/all`)
	for name, w := range map[string]struct{ mode, gid uint32 }{
		"open/file": {unix.S_IFREG | 0o644, 1001}, "open/dir": {unix.S_IFDIR | 0o755, 1001},
		"open/link": {unix.S_IFLNK | 0o777, 1001}, "open/fifo": {unix.S_IFIFO | 0o644, 1001},
		"shared/file": {unix.S_IFREG | 0o644, 4000}, "shared/dir": {unix.S_IFDIR | unix.S_ISGID | 0o755, 4000},
		"group/file": {unix.S_IFREG | 0o644, 1001}, "open/all": {unix.S_IFREG | 0o666, 1001},
	} {
		st := lstat(t, g.inHost(name))
		want(t, name+" uid", st.Uid, 1000)
		want(t, name+" gid", st.Gid, w.gid)
		want(t, name+" mode", st.Mode, w.mode)
	}
	if _, err := as(t, 2000, 2000, nil, "echo >"+g.inGuest("group/other")); err == nil {
		t.Error("a stranger wrote to a directory of mode 0770")
	}
	if _, err := as(t, 2000, 2000, nil, "chmod 777 "+g.inGuest("open/file")); err == nil {
		t.Error("a stranger changed a mode")
	}

	file := g.inGuest("open/file")
	must(t, os.Chown(file, 7, 8))
	must(t, unix.Chmod(file, 0o6711))
	st := lstat(t, g.inHost("open/file"))
	want(t, "uid", st.Uid, 7)
	want(t, "gid", st.Gid, 8)
	want(t, "mode", st.Mode, unix.S_IFREG|0o6711)
	must(t, os.Chown(file, 9, -1))
	st = lstat(t, g.inHost("open/file"))
	want(t, "mode after chown", st.Mode, unix.S_IFREG|0o711)
	want(t, "gid kept", st.Gid, 8)
	must(t, os.Lchown(g.inGuest("open/link"), 3, 4))
	want(t, "link's uid", lstat(t, g.inHost("open/link")).Uid, 3)
}

// TestSetIDLost writes to a set-user-ID file as a user with no right to keep the bit.
func TestSetIDLost(t *testing.T) {
	g := newRig(t)
	for name, command := range map[string]string{
		"write": "echo x >>", "truncate": "truncate -s 1 ", "open": ": >",
	} {
		must(t, os.WriteFile(g.inHost(name), []byte("long text"), 0o777))
		must(t, unix.Chmod(g.inHost(name), 0o6777))
		mustAs(t, 1000, 1000, nil, command+g.inGuest(name))
		want(t, "mode after "+name, lstat(t, g.inHost(name)).Mode, unix.S_IFREG|0o777)
	}
	must(t, os.WriteFile(g.inHost("root"), nil, 0o777))
	must(t, unix.Chmod(g.inHost("root"), 0o4777))
	must(t, os.WriteFile(g.inGuest("root"), []byte("by root"), 0))
	want(t, "mode after root wrote", lstat(t, g.inHost("root")).Mode, unix.S_IFREG|0o4777)
}

func TestAttributes(t *testing.T) {
	g := newRig(t)
	name := g.inGuest("file")
	must(t, os.WriteFile(name, []byte("0123456789"), 0o600))
	must(t, os.Truncate(name, 4))
	want(t, "size", lstat(t, g.inHost("file")).Size, 4)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, unix.Fchmod(int(f.Fd()), 0o400))
	must(t, f.Truncate(1<<20))
	want(t, "size", lstat(t, g.inHost("file")).Size, 1<<20)

	stamp := time.Unix(1_000_000_000, 123_456_789)
	must(t, os.Chtimes(name, stamp, stamp.Add(time.Hour)))
	st := lstat(t, g.inHost("file"))
	want(t, "atime", st.Atim, unix.Timespec{Sec: 1_000_000_000, Nsec: 123_456_789})
	want(t, "mtime", st.Mtim.Sec, 1_000_003_600)
	past := []unix.Timespec{{Sec: -5, Nsec: 1}, {Nsec: unix.UTIME_NOW}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, name, past, 0))
	st = lstat(t, g.inGuest("file"))
	want(t, "atime before 1970", st.Atim, unix.Timespec{Sec: -5, Nsec: 1})
	if time.Since(time.Unix(st.Mtim.Unix())).Abs() > 5*time.Second {
		t.Errorf("mtime now: %v", st.Mtim)
	}
	must(t, os.Symlink("x", g.inGuest("link")))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, g.inGuest("link"), past, unix.AT_SYMLINK_NOFOLLOW))
	want(t, "link's atime", lstat(t, g.inHost("link")).Atim.Sec, -5)
}

func TestXattrs(t *testing.T) {
	g := newRig(t)
	name := g.inGuest("file")
	must(t, os.WriteFile(name, nil, 0o644))
	must(t, os.Symlink("file", g.inGuest("link")))
	must(t, unix.Setxattr(name, "user.key", []byte("value"), unix.XATTR_CREATE))
	wantErrno(t, "again", unix.Setxattr(name, "user.key", nil, unix.XATTR_CREATE), unix.EEXIST)
	must(t, unix.Setxattr(name, "user.empty", nil, 0))
	must(t, unix.Lsetxattr(g.inGuest("link"), "trusted.link", []byte("of the link"), 0))
	buf := make([]byte, 200)
	n, err := unix.Lgetxattr(g.inHost("link"), "trusted.link", buf)
	must(t, err)
	want(t, "link's", string(buf[:n]), "of the link")
	n, err = unix.Getxattr(g.inHost("file"), "user.key", buf)
	must(t, err)
	want(t, "on the host", string(buf[:n]), "value")
	n, err = unix.Getxattr(name, "user.key", nil)
	must(t, err)
	want(t, "size", n, 5)
	_, err = unix.Getxattr(name, "user.key", buf[:2])
	wantErrno(t, "too little room", err, unix.ERANGE)
	big := bytes.Repeat([]byte("x"), 2000)
	must(t, unix.Setxattr(name, "user.big", big, 0))
	capability := []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	must(t, unix.Setxattr(name, "security.capability", capability, 0))
	n, err = unix.Listxattr(name, buf)
	must(t, err)
	list := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	sort.Strings(list)
	want(t, "list", fmt.Sprint(list), "[security.capability user.big user.empty user.key]")
	must(t, unix.Removexattr(name, "user.key"))
	_, err = unix.Getxattr(g.inHost("file"), "user.key", buf)
	wantErrno(t, "removed", err, unix.ENODATA)
	for _, refused := range []string{"trusted.overlay.redirect", "security.selinux", "system.posix_acl_access"} {
		if unix.Setxattr(name, refused, []byte("x"), 0) == nil {
			t.Errorf("%s was set", refused)
		}
	}
	n, err = unix.Listxattr(g.inHost("file"), buf)
	must(t, err)
	want(t, "on the host", bytes.Contains(buf[:n], []byte("overlay")), false)
}

func TestRename(t *testing.T) {
	g := newRig(t)
	write := func(name, text string) { must(t, os.WriteFile(g.inGuest(name), []byte(text), 0o644)) }
	holds := func(name, text string) {
		t.Helper()
		for _, path := range []string{g.inHost(name), g.inGuest(name)} {
			b, _ := os.ReadFile(path)
			want(t, path, string(b), text)
		}
	}
	write("a", "A")
	write("b", "B")
	must(t, os.Mkdir(g.inGuest("dir"), 0o755))
	exchange := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, g.inGuest(from), unix.AT_FDCWD, g.inGuest(to), flags)
	}
	wantErrno(t, "noreplace", exchange("a", "b", unix.RENAME_NOREPLACE), unix.EEXIST)
	must(t, exchange("a", "b", unix.RENAME_EXCHANGE))
	holds("a", "B")
	holds("b", "A")
	must(t, os.Rename(g.inGuest("a"), g.inGuest("b")))
	holds("b", "B")
	wantErrno(t, "renamed", unix.Access(g.inGuest("a"), 0), unix.ENOENT)
	must(t, os.Rename(g.inGuest("b"), g.inGuest("dir/c")))
	holds("dir/c", "B")
	must(t, os.Rename(g.inGuest("dir"), g.inGuest("moved")))
	holds("moved/c", "B")
	wantErrno(t, "into itself", unix.Rename(g.inGuest("moved"), g.inGuest("moved/in")), unix.EINVAL)
}

func TestReaddir(t *testing.T) {
	g := newRig(t)
	const entries = 3000
	for i := range entries {
		name := fmt.Sprintf("%d-%s", i, strings.Repeat("n", i%200))
		must(t, os.WriteFile(g.inHost(name), []byte(name), 0o644))
	}
	for _, stat := range []bool{false, true} {
		list, err := os.ReadDir(g.guest)
		must(t, err)
		want(t, "entries", len(list), entries)
		seen := map[string]bool{}
		for _, e := range list {
			seen[e.Name()] = true
			if stat {
				info, err := e.Info()
				must(t, err)
				want(t, e.Name(), int(info.Size()), len(e.Name()))
			}
		}
		want(t, "different ones", len(seen), entries)
	}
	// Seeking goes back to where telling said.
	d, err := os.Open(g.guest)
	must(t, err)
	defer d.Close()
	first, err := d.Readdirnames(100)
	must(t, err)
	_, err = d.Seek(0, 0)
	must(t, err)
	again, err := d.Readdirnames(100)
	must(t, err)
	want(t, "after rewinding", slices.Equal(first, again), true)
}
