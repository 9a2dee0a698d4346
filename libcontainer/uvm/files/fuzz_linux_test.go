package files

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallTree is a file system of its own, mounted nowhere: what a message gone
// wrong does stays in it, and it is gone with its descriptor.
func smallTree(t testing.TB) int {
	t.Helper()
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Skipf("no file system to try messages on: %v", err)
	}
	defer unix.Close(fs)
	must(t, unix.FsconfigSetString(fs, "size", "4m"))
	must(t, unix.FsconfigSetString(fs, "nr_inodes", "500"))
	must(t, unix.FsconfigCreate(fs))
	top, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	must(t, err)
	for _, dir := range []string{"tree", "tree/dir"} {
		must(t, unix.Mkdirat(top, dir, 0o755))
	}
	for _, name := range []string{"outside", "tree/file", "tree/dir/file"} {
		fd, err := unix.Openat(top, name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		must(t, err)
		_, err = unix.Write(fd, []byte("text"))
		must(t, err)
		unix.Close(fd)
	}
	must(t, unix.Symlinkat("../outside", top, "tree/link"))
	return top
}

// untouched checks that the messages reached nothing beside the served tree.
func untouched(t *testing.T, top int) {
	fd, err := unix.Openat(top, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	d := os.NewFile(uintptr(fd), "top")
	defer d.Close()
	names, err := d.Readdirnames(-1)
	must(t, err)
	want(t, "entries beside the tree", len(names), 2)
	var st unix.Stat_t
	must(t, unix.Fstatat(top, "outside", &st, unix.AT_SYMLINK_NOFOLLOW))
	want(t, "mode outside", st.Mode, unix.S_IFREG|0o644)
	want(t, "size outside", st.Size, 4)
	want(t, "owner outside", st.Uid, 0)
}

// FuzzServe sends the server what a kernel would not. Input is a list of
// messages, each an operation, a file, the length of its body and the body; the
// length in the header is made to fit, except of what an operation 255 begins,
// which goes out as it is.
func FuzzServe(f *testing.F) {
	if os.Getuid() != 0 {
		f.Skip("serving files to all users needs root")
	}
	record := func(op byte, node byte, body ...[]byte) []byte {
		b := []byte{op, node, 0}
		for _, part := range body {
			b = append(b, part...)
		}
		b[2] = byte(len(b) - 3)
		return b
	}
	join := func(records ...[]byte) []byte {
		var all []byte
		for _, r := range records {
			all = append(all, r...)
		}
		return all
	}
	file := record(opLookup, 1, text("file"))
	dir := record(opLookup, 1, text("dir"))
	opened := record(opOpen, 2, bytesOf(openIn{flags: unix.O_RDWR}))
	opendir := record(opOpendir, 1, bytesOf(openIn{}))
	at := transferIn{handle: 1, size: 100}
	f.Add(join(file, opened, record(opRead, 2, bytesOf(at)), record(opRelease, 2, bytesOf(releaseIn{handle: 1}))))
	f.Add(join(file, opened, record(opWrite, 2, bytesOf(transferIn{handle: 1, size: 2, offset: 7}), []byte("ab")), record(opFsync, 2, bytesOf(fsyncIn{handle: 1}))))
	f.Add(join(opendir, record(opReaddir, 1, bytesOf(at)), record(opReaddirplus, 1, bytesOf(transferIn{handle: 1, size: 4096})), record(opReleasedir, 1, bytesOf(releaseIn{handle: 1}))))
	f.Add(join(dir, record(opMkdir, 2, bytesOf(mkdirIn{mode: 0o755}), text("new")), record(opRename, 1, bytesOf(renameIn{directory: 2}), text("file"), text("moved"))))
	f.Add(join(file, record(opRename2, 1, bytesOf(rename2In{directory: 1, flags: 2}), text("file"), text("dir")), record(opUnlink, 1, text("link")), record(opRmdir, 1, text("dir"))))
	f.Add(join(record(opSymlink, 1, text("s"), text("/etc")), record(opReadlink, 2), record(opMknod, 1, bytesOf(mknodIn{mode: unix.S_IFIFO | 0o600}), text("p"))))
	f.Add(join(file, record(opLink, 1, bytesOf(linkIn{node: 2}), text("hard")), record(opForget, 2, bytesOf(forgetIn{lookups: 1})), record(opBatchForget, 0, bytesOf(batchForgetIn{count: 1}), bytesOf(forgetOne{node: 2, lookups: 9}))))
	f.Add(join(file, record(opSetattr, 2, bytesOf(setattrIn{valid: 0x3f, size: 9, mode: 0o4711, uid: 3})), record(opGetattr, 2, bytesOf(getattrIn{})), record(opStatfs, 1)))
	f.Add(join(file, record(opSetxattr, 2, bytesOf(setxattrIn{size: 1}), text("trusted.k"), []byte("v")), record(opGetxattr, 2, bytesOf(getxattrIn{size: 9}), text("trusted.k")), record(opListxattr, 2, bytesOf(getxattrIn{size: 99})), record(opRemovexattr, 2, text("trusted.k"))))
	f.Add(join(record(opCreate, 1, bytesOf(createIn{flags: unix.O_RDWR, mode: 0o600}), text("made")), record(opFallocate, 2, bytesOf(fallocateIn{handle: 1, length: 5000})), record(opLseek, 2, bytesOf(lseekIn{handle: 1, whence: unix.SEEK_DATA})), record(opCopyFileRange, 2, bytesOf(copyIn{handle: 1, outNode: 2, outHandle: 1, outOffset: 5, length: 5})), record(opFlush, 2, bytesOf(releaseIn{handle: 1}))))
	f.Add(join(record(opDestroy, 1), record(opInit, 0, bytesOf(initIn{major: 7, minor: 31})), record(opLookup, 1, text(".."))))
	f.Add([]byte{255, 8, 0, 0, 0})

	f.Fuzz(func(t *testing.T, input []byte) {
		before := len(openDescriptors("self"))
		top := smallTree(t)
		root, err := unix.Openat(top, "tree", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		ours, theirs := socketpair(t)
		served := make(chan error, 1)
		go func() {
			err := Serve(int(theirs.Fd()), root)
			theirs.Close()
			served <- err
		}()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			// Until the other end closes, which it may at any time.
			buf := make([]byte, maxFrame)
			for {
				if n, err := ours.Read(buf); n == 0 || err != nil {
					return
				}
			}
		}()
		_, _ = ours.Write(frame(opInit, 0, bytesOf(initIn{major: 7, minor: 38, flags: ^uint32(0)})))
		for len(input) >= 3 {
			if input[0] == 255 {
				_, _ = ours.Write(input[1:])
				break
			}
			end := min(3+int(input[2]), len(input))
			if _, err := ours.Write(frame(uint32(input[0]), uint64(input[1]), input[3:end])); err != nil {
				break
			}
			input = input[end:]
		}
		_ = unix.Shutdown(int(ours.Fd()), unix.SHUT_WR)
		select {
		case <-served:
		case <-time.After(10 * time.Second):
			t.Fatal("Serve did not return")
		}
		<-drained
		ours.Close()
		untouched(t, top)
		unix.Close(root)
		unix.Close(top)
		want(t, "descriptors left open", len(openDescriptors("self"))-before, 0)
	})
}
