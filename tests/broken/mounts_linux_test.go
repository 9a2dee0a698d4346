package broken

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func (p *place) mount(m specs.Mount) { p.Spec.Mounts = append(p.Spec.Mounts, m) }

// link replaces something of the root file system by a symbolic link.
func (p *place) link(inside, to string) {
	p.Helper()
	p.must(os.RemoveAll(p.Path(inside)))
	p.must(os.Symlink(to, p.Path(inside)))
}

func mount(m specs.Mount) func(*place) { return func(p *place) { p.mount(m) } }

func TestMounts(t *testing.T) {
	tmpfs := func(options ...string) func(*place) {
		return mount(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: options})
	}
	flaws(t, []flaw{
		{"source missing", mount(specs.Mount{Destination: "/tmp", Source: "/nosuchdirectory", Options: []string{"bind"}}), "mounts[6].source /nosuchdirectory, to be bound at /tmp: no such file or directory"},
		{"source missing in the bundle", mount(specs.Mount{Destination: "/tmp", Source: "none", Options: []string{"rbind"}}), "no such file or directory"},
		{"source a loop", func(p *place) {
			p.must(os.Symlink("loop", filepath.Join(p.Dir, "loop")))
			p.mount(specs.Mount{Destination: "/tmp", Source: "loop", Options: []string{"bind"}})
		}, "too many levels of symbolic links"},
		{"a directory onto a file", func(p *place) {
			p.must(os.WriteFile(p.Path("etc/f"), nil, 0o644))
			p.mount(specs.Mount{Destination: "/etc/f", Source: p.host, Options: []string{"bind"}})
		}, "mounts[6] /etc/f: move_mount: invalid argument (a directory is not mounted onto a file"},
		{"a file onto a directory", func(p *place) {
			p.mount(specs.Mount{Destination: "/tmp", Source: filepath.Join(p.host, "file"), Options: []string{"bind"}})
		}, "mounts[6] /tmp: move_mount: invalid argument (a directory is not mounted onto a file"},
		{"a file system onto a file", func(p *place) {
			p.must(os.WriteFile(p.Path("etc/f"), nil, 0o644))
			p.mount(specs.Mount{Destination: "/etc/f", Type: "tmpfs", Source: "tmpfs"})
		}, "mounts[6] /etc/f: fchdir: not a directory"},
		{"below a file", mount(specs.Mount{Destination: "/bin/busybox/x", Type: "tmpfs", Source: "tmpfs"}), "not a directory"},
		{"onto the root", mount(specs.Mount{Destination: "/", Type: "tmpfs", Source: "tmpfs"}), "the container's root itself cannot be a mount destination"},
		{"onto the root in other words", mount(specs.Mount{Destination: "/bin/../.", Type: "tmpfs", Source: "tmpfs"}), "the container's root itself cannot be a mount destination"},
		{"through a loop", func(p *place) {
			p.must(os.Symlink("loop", p.Path("loop")))
			p.mount(specs.Mount{Destination: "/loop/x", Type: "tmpfs", Source: "tmpfs"})
		}, "too many levels of symbolic links"},
		{"onto a descriptor", mount(specs.Mount{Destination: "/proc/self/fd/7", Type: "tmpfs", Source: "tmpfs"}), "mounts[6] /proc/self/fd/7"},
		{"onto the host's root by proc", mount(specs.Mount{Destination: "/proc/1/root/tmp", Type: "tmpfs", Source: "tmpfs"}), "mounts[6] /proc/1/root/tmp"},
		{"onto a working directory by proc", mount(specs.Mount{Destination: "/proc/self/cwd", Source: "/tmp", Options: []string{"bind"}}), "mounts[6] /proc/self/cwd"},
		{"missing in proc", mount(specs.Mount{Destination: "/proc/none", Type: "tmpfs", Source: "tmpfs"}), "mounts[6] /proc/none"},
		{"missing on a read-only file system", mount(specs.Mount{Destination: "/sys/none", Type: "tmpfs", Source: "tmpfs"}), "mounts[6] /sys/none"},
		{"name too long", mount(specs.Mount{Destination: "/" + strings.Repeat("x", 300), Type: "tmpfs", Source: "tmpfs"}), "file name too long"},
		{"path too long", mount(specs.Mount{Destination: strings.Repeat("/x", 3000), Type: "tmpfs", Source: "tmpfs"}), "file name too long"},
		{"type unknown", mount(specs.Mount{Destination: "/tmp", Type: "nosuchfs", Source: "x"}), "mounts[6] /tmp: mount x nosuchfs: no such device"},
		{"type missing", mount(specs.Mount{Destination: "/tmp", Source: "x"}), "mounts[6]"},
		{"no block device", mount(specs.Mount{Destination: "/tmp", Type: "ext4", Source: "/nosuchdevice"}), "mounts[6] /tmp"},
		{"data of nonsense", tmpfs("size=many"), "mounts[6] /tmp"},
		{"data unknown", tmpfs("nosuchoption=1"), "mounts[6] /tmp"},
		{"data huge", tmpfs("x=" + strings.Repeat("y", 1<<16)), "mounts[6] /tmp"},
		{"id mapping", tmpfs("idmap"), "mounts[6]"},
		{"remount of nothing", mount(specs.Mount{Destination: "/bin", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro"}}), "mounts[6] /bin: mount: invalid argument"},
		{"remount of what is missing", mount(specs.Mount{Destination: "/none", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "bind", "ro"}}), "mounts[6] /none"},
		{"proc on a link", func(p *place) { p.link("proc", "/tmp") }, "must be mounted on ordinary directory"},
		{"sys on a link", func(p *place) { p.link("sys", "/tmp") }, "must be mounted on ordinary directory"},
		{"proc on a link to the host", func(p *place) { p.link("proc", p.host) }, "must be mounted on ordinary directory"},
		{"proc a file", func(p *place) {
			p.must(os.Remove(p.Path("proc")))
			p.must(os.WriteFile(p.Path("proc"), nil, 0o644))
		}, "mounts[0] /proc"},
		{"dev a file", func(p *place) {
			p.must(os.Remove(p.Path("dev")))
			p.must(os.WriteFile(p.Path("dev"), nil, 0o644))
		}, "mounts[1] /dev"},
		{"a thousand and one that does not work", func(p *place) {
			for i := range 1000 {
				p.mount(specs.Mount{Destination: fmt.Sprintf("/tmp/%d", i), Type: "tmpfs", Source: "tmpfs", Options: []string{"size=4k"}})
			}
			p.mount(specs.Mount{Destination: "/tmp/last", Type: "nosuchfs", Source: "x"})
		}, "no such device"},
		{"in the host's mount namespace", func(p *place) {
			p.without(specs.MountNamespace)
			p.Spec.Linux.MaskedPaths, p.Spec.Linux.ReadonlyPaths = nil, nil
			p.mount(specs.Mount{Destination: "/tmp", Type: "nosuchfs", Source: "x"})
		}, "no such device"},
		{"with shared propagation", func(p *place) {
			p.Spec.Linux.RootfsPropagation = "shared"
			p.mount(specs.Mount{Destination: "/tmp", Type: "nosuchfs", Source: "x"})
		}, "no such device"},
	})
}

// TestLinks: an image full of links to the host. The container may work or
// not, the host's directories stay as they were.
func TestLinks(t *testing.T) {
	// Any path that leads to the host directory from inside a root that is not
	// one: up, absolute, by magic links.
	paths := func(p *place) map[string]string {
		up := strings.Repeat("../", 30)
		return map[string]string{"absolute": p.host, "up": up + p.host[1:], "proc": "/proc/1/root" + p.host, "self": "/proc/self/root/.." + p.host}
	}
	for _, where := range []string{"dev", "etc", "tmp", "run", "proc", "sys"} {
		for _, way := range []string{"absolute", "up", "proc", "self"} {
			t.Run(where+" "+way, func(t *testing.T) {
				p := newPlace(t)
				p.link(where, paths(p)[way])
				p.mount(specs.Mount{Destination: "/etc/passwd", Source: "/dev/null", Options: []string{"bind"}})
				p.mount(specs.Mount{Destination: "/etc/new/file", Source: "/dev/null", Options: []string{"bind"}})
				p.mount(specs.Mount{Destination: "/tmp/sub", Type: "tmpfs", Source: "tmpfs"})
				p.mount(specs.Mount{Destination: "/run/new", Type: "tmpfs", Source: "tmpfs"})
				p.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/sub/made", Type: "c", Major: 1, Minor: 3}}
				p.Spec.Linux.MaskedPaths = append(p.Spec.Linux.MaskedPaths, "/etc/sub", "/run/file")
				p.Spec.Linux.ReadonlyPaths = append(p.Spec.Linux.ReadonlyPaths, "/etc/sub", "/tmp/file")
				p.Spec.Process.Cwd = "/tmp/sub/made"
				p.ready()
				r := p.wrun.Run(t, "run", "--bundle", p.Dir, p.id)
				p.clean("afterwards")
				if r.Code != 0 && !strings.HasPrefix(r.Stderr, "wrun: ") {
					t.Errorf("exit code %d, stderr %q", r.Code, r.Stderr)
				}
				t.Logf("exit code %d %s", r.Code, r.Stderr)
			})
		}
	}
}
