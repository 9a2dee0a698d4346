package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestEnvironment(t *testing.T) {
	root, err := unix.Open(t.TempDir(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	p := &specs.Process{Env: make([]string, 1, 10)}
	p.Env[0] = "A=b"
	if got := Environment(p, root); !slices.Equal(got, []string{"A=b", "HOME=/"}) {
		t.Errorf("without a passwd file: %v", got)
	}
	if extra := p.Env[:2][1]; extra != "" {
		t.Errorf("the spec's own array was written to: %q", extra)
	}
	for _, c := range [][2][]string{
		{{"HOME=/h", "A=1"}, {"HOME=/h", "A=1"}},
		{{"HOME="}, {"HOME=/"}}, // empty is none
		{{"HOME=/h", "HOME="}, {"HOME=/"}},
		{{"A=1", "B=2", "A=3"}, {"B=2", "A=3", "HOME=/"}}, // the last value counts
	} {
		if got := Environment(&specs.Process{Env: c[0]}, root); !slices.Equal(got, c[1]) {
			t.Errorf("%v becomes %v, want %v", c[0], got, c[1])
		}
	}
	// A fifo in its place must not hold up wrun.
	dir := filepath.Join(t.TempDir(), "etc")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "passwd"), 0o644); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(filepath.Dir(dir), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if got := Environment(&specs.Process{}, fd); !slices.Equal(got, []string{"HOME=/"}) {
		t.Errorf("fifo: %v", got)
	}
}

func TestHomeOf(t *testing.T) {
	const passwd = "# comment\nroot:x:0:0:root:/root:/bin/sh\nshort:x:7\nu:x:77:1::/home/u:\nv:x:78:1::/home/v\ndup:x:77:1::/other:/bin/sh\nempty:x:79:1:::/bin/sh\nlast:x:80:1::/l:/s"
	for uid, want := range map[uint32]string{0: "/root", 7: "", 77: "/home/u", 78: "/home/v", 79: "", 80: "/l", 1: "", 4294967295: ""} {
		if got := homeOf([]byte(passwd), uid); got != want {
			t.Errorf("uid %d: %q, want %q", uid, got, want)
		}
	}
}
