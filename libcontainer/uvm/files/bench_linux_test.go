package files

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func BenchmarkOpenReadCached(b *testing.B) {
	g := newRig(b)
	must(b, os.WriteFile(g.inHost("file"), make([]byte, 64<<10), 0o644))
	buf := make([]byte, 64<<10)
	for b.Loop() {
		f, err := os.Open(g.inGuest("file"))
		must(b, err)
		_, err = io.ReadFull(f, buf)
		must(b, err)
		f.Close()
	}
}

func BenchmarkCreate(b *testing.B) {
	g := newRig(b)
	for i := 0; b.Loop(); i++ {
		f, err := os.Create(g.inGuest(strconv.Itoa(i)))
		must(b, err)
		f.Close()
	}
}

// BenchmarkStat asks for a name that is not there: one round trip.
func BenchmarkStat(b *testing.B) {
	g := newRig(b)
	for b.Loop() {
		_, _ = os.Lstat(g.inGuest("absent"))
	}
}

func BenchmarkListLong500(b *testing.B) {
	g := newRig(b)
	for i := range 500 {
		must(b, os.WriteFile(g.inHost(strconv.Itoa(i)), nil, 0o644))
	}
	for b.Loop() {
		must(b, exec.Command("ls", "-l", g.guest).Run())
	}
}

func BenchmarkExecCached(b *testing.B) {
	g := newRig(b)
	program, err := os.ReadFile("/bin/true")
	must(b, err)
	must(b, os.WriteFile(g.inHost("true"), program, 0o755))
	for b.Loop() {
		must(b, exec.Command(g.inGuest("true")).Run())
	}
}

func BenchmarkRead32M(b *testing.B)  { benchmarkRead(b, 32<<20) }
func BenchmarkWrite32M(b *testing.B) { benchmarkWrite(b, 32<<20) }

func benchmarkRead(b *testing.B, size int) {
	g := newRig(b)
	must(b, os.WriteFile(g.inHost("file"), make([]byte, size), 0o644))
	b.SetBytes(int64(size))
	buf := make([]byte, 1<<20)
	for b.Loop() {
		f, err := os.Open(g.inGuest("file"))
		must(b, err)
		for {
			if _, err := f.Read(buf); err != nil {
				break
			}
		}
		dropPages(b, f)
		f.Close()
	}
}

func benchmarkWrite(b *testing.B, size int) {
	g := newRig(b)
	b.SetBytes(int64(size))
	buf := make([]byte, 1<<20)
	for b.Loop() {
		f, err := os.Create(g.inGuest("file"))
		must(b, err)
		for range size / len(buf) {
			_, err := f.Write(buf)
			must(b, err)
		}
		f.Close()
	}
}

// dropPages makes the guest's kernel forget the contents, to be read anew.
func dropPages(b *testing.B, f *os.File) {
	must(b, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}
