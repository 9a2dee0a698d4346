package files

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func randomBytes(seed int64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.New(rand.NewSource(seed)).Read(b)
	return b
}

func sumOf(t testing.TB, name string) uint32 {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	h := crc32.NewIEEE()
	_, err = io.Copy(h, f)
	must(t, err)
	return h.Sum32()
}

func TestLargeFiles(t *testing.T) {
	g := newRig(t)
	in, out := randomBytes(1, 33<<20+12345), randomBytes(2, 20<<20+7)
	must(t, os.WriteFile(g.inHost("in"), in, 0o644))
	must(t, os.WriteFile(g.inGuest("out"), out, 0o644))
	want(t, "read", sumOf(t, g.inGuest("in")), crc32.ChecksumIEEE(in))
	want(t, "written", sumOf(t, g.inHost("out")), crc32.ChecksumIEEE(out))
	must(t, exec.Command("cp", g.inGuest("in"), g.inGuest("copy")).Run())
	want(t, "copied", sumOf(t, g.inHost("copy")), crc32.ChecksumIEEE(in))
	f, err := os.OpenFile(g.inGuest("in"), os.O_RDONLY|unix.O_DIRECT, 0)
	must(t, err)
	defer f.Close()
	direct := make([]byte, 1<<20)
	_, err = f.ReadAt(direct, 1<<20)
	must(t, err)
	want(t, "direct", bytes.Equal(direct, in[1<<20:2<<20]), true)
}

func TestFileOperations(t *testing.T) {
	g := newRig(t)
	name := g.inGuest("file")
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	fd := int(f.Fd())
	must(t, unix.Fallocate(fd, 0, 0, 1<<20))
	want(t, "allocated", lstat(t, g.inHost("file")).Size, 1<<20)
	_, err = f.WriteAt(bytes.Repeat([]byte("d"), 64<<10), 512<<10)
	must(t, err)
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 512<<10))
	data, err := unix.Seek(fd, 0, unix.SEEK_DATA)
	must(t, err)
	want(t, "data begins", data, 512<<10)
	hole, err := unix.Seek(fd, 0, unix.SEEK_HOLE)
	must(t, err)
	want(t, "hole begins", hole, 0)
	must(t, f.Sync())
	must(t, unix.Fdatasync(fd))
	d, err := os.Open(g.guest)
	must(t, err)
	defer d.Close()
	must(t, d.Sync())

	to, err := os.Create(g.inGuest("to"))
	must(t, err)
	defer to.Close()
	from, at := int64(512<<10), int64(3)
	n, err := unix.CopyFileRange(fd, &from, int(to.Fd()), &at, 1000, 0)
	must(t, err)
	want(t, "copied", n, 1000)
	b, err := os.ReadFile(g.inHost("to"))
	must(t, err)
	want(t, "copy", string(b), "\x00\x00\x00"+string(bytes.Repeat([]byte("d"), 1000)))

	// An unlinked file lives as long as it is open.
	must(t, os.Remove(name))
	_, err = f.WriteAt([]byte("still"), 0)
	must(t, err)
	buf := make([]byte, 5)
	_, err = f.ReadAt(buf, 0)
	must(t, err)
	want(t, "unlinked", string(buf), "still")
	info, err := f.Stat()
	must(t, err)
	want(t, "size", info.Size(), 1<<20)
	must(t, f.Truncate(3))
}

// TestAppend appends to a file which grows on the host meanwhile.
func TestAppend(t *testing.T) {
	g := newRig(t)
	f, err := os.OpenFile(g.inGuest("log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("guest\n")
	must(t, err)
	h, err := os.OpenFile(g.inHost("log"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	defer h.Close()
	_, err = h.WriteString("host\n")
	must(t, err)
	_, err = f.WriteString("again\n")
	must(t, err)
	b, err := os.ReadFile(g.inHost("log"))
	must(t, err)
	want(t, "log", string(b), "guest\nhost\nagain\n")

	// Pages changed in memory go to their place, even through such a file.
	m, err := unix.Mmap(int(f.Fd()), 0, 5, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	copy(m, "GUEST")
	must(t, unix.Msync(m, unix.MS_SYNC))
	must(t, unix.Munmap(m))
	b, err = os.ReadFile(g.inHost("log"))
	must(t, err)
	want(t, "log", string(b), "GUEST\nhost\nagain\n")
}

func TestMapShared(t *testing.T) {
	g := newRig(t)
	content := randomBytes(3, 1<<20)
	must(t, os.WriteFile(g.inHost("file"), content, 0o644))
	f, err := os.OpenFile(g.inGuest("file"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	want(t, "mapped", bytes.Equal(m, content), true)
	for i := 0; i < len(m); i += 1000 {
		m[i] ^= 0xff
		content[i] ^= 0xff
	}
	must(t, unix.Msync(m, unix.MS_SYNC))
	must(t, unix.Munmap(m))
	want(t, "on the host", sumOf(t, g.inHost("file")), crc32.ChecksumIEEE(content))
}

func TestExec(t *testing.T) {
	g := newRig(t)
	program, err := os.ReadFile("/bin/echo")
	must(t, err)
	must(t, os.WriteFile(g.inGuest("echo"), program, 0o755))
	for range 3 {
		out, err := exec.Command(g.inGuest("echo"), "hello").Output()
		must(t, err)
		want(t, "output", string(out), "hello\n")
	}
	must(t, os.WriteFile(g.inHost("script"), []byte("#!/bin/sh\nid -u\n"), 0o755))
	out, err := as(t, 1000, 1000, nil, g.inGuest("script"))
	must(t, err)
	want(t, "script", out, "1000\n")
}

// TestHostChange changes contents without changing the size, and a name, on the
// host: the guest's cache must give way.
func TestHostChange(t *testing.T) {
	g := newRig(t)
	eventually := func(what, text string) {
		t.Helper()
		start := time.Now()
		for {
			b, _ := os.ReadFile(g.inGuest("file"))
			if string(b) == text {
				t.Logf("%s: seen after %v", what, time.Since(start).Round(time.Millisecond))
				return
			}
			if time.Since(start) > 2*time.Second {
				t.Fatalf("%s: the guest still reads %q", what, b)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	must(t, os.WriteFile(g.inHost("file"), []byte("one"), 0o644))
	eventually("new", "one")
	time.Sleep(20 * time.Millisecond) // past the host's clock tick
	must(t, os.WriteFile(g.inHost("file"), []byte("two"), 0o644))
	eventually("changed", "two")
	must(t, os.WriteFile(g.inHost("other"), []byte("three"), 0o644))
	must(t, os.Rename(g.inHost("other"), g.inHost("file")))
	eventually("replaced", "three")
	must(t, os.WriteFile(g.inHost("listed"), nil, 0o644))
	list, err := os.ReadDir(g.guest)
	must(t, err)
	want(t, "entries at once", len(list), 2)
}

func TestParallel(t *testing.T) {
	g := newRig(t)
	var all sync.WaitGroup
	for i := range 12 {
		all.Add(1)
		go func() {
			defer all.Done()
			dir := g.inGuest(fmt.Sprint(i))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Error(err)
				return
			}
			for j := range 30 {
				name := fmt.Sprintf("%s/%d", dir, j)
				content := randomBytes(int64(i*100+j), 1000*j*(1+i%5))
				if err := os.WriteFile(name, content, 0o644); err != nil {
					t.Error(err)
				}
				if j%10 == 0 {
					if f, err := os.Open(name); err == nil {
						_ = f.Sync()
						f.Close()
					}
				}
				if err := os.Rename(name, name+"-renamed"); err != nil {
					t.Error(err)
				}
				if b, err := os.ReadFile(name + "-renamed"); err != nil || !bytes.Equal(b, content) {
					t.Errorf("%s: %d bytes of %d, %v", name, len(b), len(content), err)
				}
			}
			if i%2 == 0 {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
	list, err := os.ReadDir(g.host)
	must(t, err)
	want(t, "directories left", len(list), 6)
}
