package silo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

func TestDevices(t *testing.T) {
	r := newRig(t, sh(`cd /dev
stat -c '%n %F %a %u:%g %t:%T' null zero full random urandom tty fuse sub/disk pipe strict
for l in fd stdin stdout stderr ptmx; do readlink $l; done; ls -d console 2>&1; echo x >null; head -c 2 zero | wc -c`)...)
	r.spec.Linux.Devices = []specs.LinuxDevice{
		{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(3)), GID: ptr(uint32(4))},
		{Path: "/dev/sub/disk", Type: "b", Major: 7, Minor: 300},
		{Path: "/dev/pipe", Type: "p", FileMode: ptr(os.FileMode(0o622))},
		{Path: "/dev/strict", Type: "u", Major: 1, Minor: 3, FileMode: ptr(os.FileMode(0))},
	}
	r.equal("inside", r.output(), `null character special file 666 0:0 1:3
zero character special file 666 0:0 1:5
full character special file 666 0:0 1:7
random character special file 666 0:0 1:8
urandom character special file 666 0:0 1:9
tty character special file 666 0:0 5:0
fuse character special file 640 3:4 a:e5
sub/disk block special file 666 0:0 7:12c
pipe fifo 622 0:0 0:0
strict character special file 0 0:0 1:3
/proc/self/fd
/proc/self/fd/0
/proc/self/fd/1
/proc/self/fd/2
pts/ptmx
ls: console: No such file or directory
2`)
}

func TestDeviceInUserNamespace(t *testing.T) {
	r := newRig(t, sh("stat -c '%F %t:%T' /dev/null /dev/zero /dev/full; echo x >/dev/null && echo written")...)
	r.mapped()
	r.equal("inside", r.output(), "character special file 1:3\ncharacter special file 1:5\ncharacter special file 1:7\nwritten")
}

// TestDeviceKept: what an image has in /dev stays when no file system is
// mounted over it.
func TestDeviceKept(t *testing.T) {
	r := newRig(t, sh("cat /dev/mine /dev/zero; stat -c '%t:%T' /dev/null")...)
	r.spec.Mounts = r.spec.Mounts[:1]
	r.write("rootfs/dev/mine", "mine ")
	r.write("rootfs/dev/zero", "kept")
	r.equal("inside", r.output(), "mine kept1:3")
	r.equal("a second time", r.output(), "mine kept1:3")
}

// TestDeviceOfHost: a /dev bound from the host is left alone.
func TestDeviceOfHost(t *testing.T) {
	r := newRig(t, "ls", "/dev")
	dev := filepath.Join(r.dir, "hostdev")
	r.must(os.Mkdir(dev, 0o755))
	r.must(unix.Mknod(filepath.Join(dev, "null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	r.spec.Mounts = r.spec.Mounts[:1]
	r.mount(specs.Mount{Destination: "/dev", Type: "bind", Source: dev, Options: []string{"rbind"}})
	r.equal("inside", r.output(), "null")
	var st unix.Stat_t
	r.must(unix.Stat(filepath.Join(dev, "null"), &st))
	if st.Mode != unix.S_IFCHR|0o600 {
		t.Errorf("mode of the host's node is %o now", st.Mode)
	}
}

// TestDeviceOfEvilImage: an image's /dev/null, /dev/ptmx and /dev/console are
// links out of the root.
func TestDeviceOfEvilImage(t *testing.T) {
	r := newRig(t, sh("readlink /dev/ptmx; echo hello >/dev/null; true")...)
	r.spec.Mounts = r.spec.Mounts[:1]
	victim := r.write("victim", "kept")
	for _, name := range []string{"null", "ptmx", "console", "fd"} {
		r.must(os.Symlink(victim, filepath.Join(r.rootfs, "dev", name)))
	}
	res := r.run()
	if res.code != 0 || strings.TrimSpace(res.out) != "pts/ptmx" {
		t.Errorf("%s", res)
	}
	r.equal("the host's file", r.read(victim), "kept")
}
