package silo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestMounts: what is mounted how, seen from inside.
func TestMounts(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   func(r *rig)
		script string
		want   string
	}{
		{"bind of a directory", func(r *rig) {
			r.write("src/a", "A")
			r.mount(specs.Mount{Destination: "/mnt", Source: filepath.Join(r.dir, "src"), Options: []string{"bind"}})
		}, "cat /mnt/a; echo B >/mnt/b; cat /mnt/b", "AB"},
		{"bind of a file", func(r *rig) {
			r.mount(specs.Mount{Destination: "/etc/a", Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "cat /etc/a", "A"},
		{"type bind without the option", func(r *rig) {
			r.mount(specs.Mount{Destination: "/etc/a", Type: "bind", Source: r.write("a", "A"), Options: []string{"ro"}})
		}, "cat /etc/a; echo x 2>&- >/etc/a || echo ro", "Aro"},
		{"read-only bind", func(r *rig) {
			r.write("src/a", "A")
			r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"rbind", "ro"}})
		}, "cat /mnt/a; touch /mnt/b 2>&1 || echo no", "Atouch: /mnt/b: Read-only file system\nno"},
		{"rro reaches the mounts below", func(r *rig) {
			r.write("src/a", "A")
			r.mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"})
			r.mount(specs.Mount{Destination: "/tmp", Source: "/sys", Options: []string{"rbind", "rro"}})
		}, "mkdir /tmp/fs/cgroup/x 2>&1; awk '$5 ~ \"^/tmp\" {print $6}' /proc/self/mountinfo | grep -c rw", "mkdir: can't create directory '/tmp/fs/cgroup/x': Read-only file system\n0"},
		{"nosuid nodev noexec on a bind", func(r *rig) {
			r.write("src/a", "A")
			r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind", "nosuid", "nodev", "noexec", "noatime"}})
		}, "grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6", "rw,nosuid,nodev,noexec,noatime"},
		{"nested below a tmpfs, mount points made", func(r *rig) {
			r.mount(specs.Mount{Destination: "/a/b/c", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=700"}})
			r.mount(specs.Mount{Destination: "/a/b/c/d/e", Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "stat -c %a /a/b/c; cat /a/b/c/d/e", "700\nA"},
		{"tmpcopyup where nothing is to be copied", func(r *rig) {
			r.mount(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "mode=1777"}})
		}, "stat -c %a /tmp; ls -A /tmp; stat -fc %T /tmp", "1777\ntmpfs"},
		{"tmpcopyup", func(r *rig) {
			r.write("rootfs/tmp/dir/file", "A")
			r.must(os.Chmod(filepath.Join(r.rootfs, "tmp/dir"), 0o777))
			r.must(os.Symlink("dir/file", filepath.Join(r.rootfs, "tmp/link")))
			r.must(os.Lchown(filepath.Join(r.rootfs, "tmp/dir/file"), 7, 8))
			r.must(unix.Chmod(filepath.Join(r.rootfs, "tmp/dir/file"), 0o4755))
			r.must(unix.Mkfifo(filepath.Join(r.rootfs, "tmp/fifo"), 0o600))
			r.mount(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "tmpcopyup"}})
		}, "cat /tmp/link; stat -c '%a %u %g' /tmp/dir /tmp/dir/file; test -p /tmp/fifo && echo fifo; touch /tmp/x 2>&1", "A777 0 0\n4755 7 8\nfifo\ntouch: /tmp/x: Read-only file system"},
		{"a tmpfs has the mode of what it covers", func(r *rig) {
			r.must(os.Chmod(filepath.Join(r.rootfs, "tmp"), 0o710))
			r.mount(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"})
			r.mount(specs.Mount{Destination: "/etc", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1500"}})
			r.mount(specs.Mount{Destination: "/new", Type: "tmpfs", Source: "tmpfs"})
		}, "stat -c %a /tmp /etc /new", "710\n1500\n1777"},
		{"/dev becomes read-only when it is filled", func(r *rig) {
			r.spec.Mounts[1].Options = append(r.spec.Mounts[1].Options, "ro")
		}, "grep ' /dev ' /proc/self/mountinfo | cut -d' ' -f6 | cut -c1-2; echo x >/dev/null && ls /dev/pts/ptmx", "ro\n/dev/pts/ptmx"},
		{"a destination that begins with the root's own path", func(r *rig) {
			r.mount(specs.Mount{Destination: filepath.Join(r.rootfs, "mnt"), Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "cat /mnt", "A"},
		{"a source that an earlier mount brings", func(r *rig) {
			r.write("src/dir/a", "A")
			r.write("src/file", "F")
			r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind"}})
			r.mount(specs.Mount{Destination: "/tmp/dir", Source: filepath.Join(r.rootfs, "mnt/dir"), Options: []string{"bind"}})
			r.mount(specs.Mount{Destination: "/tmp/file", Source: filepath.Join(r.rootfs, "mnt/file"), Options: []string{"bind"}})
		}, "cat /tmp/dir/a /tmp/file", "AF"},
		{"the same in a user namespace", func(r *rig) {
			r.mapped()
			r.write("src/dir/a", "A")
			r.write("src/file", "F")
			r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind"}})
			r.mount(specs.Mount{Destination: "/tmp/dir", Source: filepath.Join(r.rootfs, "mnt/dir"), Options: []string{"bind"}})
			r.mount(specs.Mount{Destination: "/tmp/file", Source: filepath.Join(r.rootfs, "mnt/file"), Options: []string{"bind"}})
		}, "cat /tmp/dir/a /tmp/file", "AF"},
		{"relative source", func(r *rig) {
			r.write("sub/a", "A")
			r.mount(specs.Mount{Destination: "/mnt", Source: "sub", Options: []string{"rbind"}})
		}, "cat /mnt/a", "A"},
		{"relative destination", func(r *rig) {
			r.mount(specs.Mount{Destination: "etc/a", Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "cat /etc/a", "A"},
		{"mount point through a link inside the root", func(r *rig) {
			r.must(os.Mkdir(filepath.Join(r.rootfs, "run"), 0o755))
			r.must(os.MkdirAll(filepath.Join(r.rootfs, "var"), 0o755))
			r.must(os.Symlink("/run", filepath.Join(r.rootfs, "var/run")))
			r.mount(specs.Mount{Destination: "/var/run/a", Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "cat /run/a", "A"},
		{"resolv.conf that is a dangling link", func(r *rig) {
			r.must(os.Symlink("../run/systemd/resolve/stub.conf", filepath.Join(r.rootfs, "etc/resolv.conf")))
			r.mount(specs.Mount{Destination: "/etc/resolv.conf", Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "cat /etc/resolv.conf /run/systemd/resolve/stub.conf", "AA"},
		{"a dangling link that points out of the root", func(r *rig) {
			r.must(os.Symlink("../../../../../run/x/stub.conf", filepath.Join(r.rootfs, "etc/resolv.conf")))
			r.mount(specs.Mount{Destination: "/etc/resolv.conf", Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "cat /run/x/stub.conf", "A"},
		{"remount of an earlier entry", func(r *rig) {
			r.mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"})
			r.mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro"}})
		}, "touch /mnt/a 2>&1", "touch: /mnt/a: Read-only file system"},
		{"remount of a bind", func(r *rig) {
			r.write("src/a", "A")
			r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind"}})
			r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind", "remount", "ro"}})
		}, "touch /mnt/a 2>&1", "touch: /mnt/a: Read-only file system"},
		{"propagation of a bind", func(r *rig) {
			r.write("src/a", "A")
			r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind", "shared"}})
		}, "grep ' /mnt ' /proc/self/mountinfo | grep -o shared", "shared"},
		{"size and mode of a tmpfs", func(r *rig) {
			r.mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m", "mode=1777", "uid=5"}})
		}, "df -k /mnt | tail -1 | awk '{print $2}'; stat -c '%a %u' /mnt", "1024\n1777 5"},
		{"read-only root", func(r *rig) { r.spec.Root.Readonly = true }, "touch /a 2>&1; touch /dev/a && echo dev", "touch: /a: Read-only file system\ndev"},
		{"a source with blanks", func(r *rig) {
			r.mount(specs.Mount{Destination: "/etc/x y", Source: r.write("a b", "A"), Options: []string{"bind"}})
		}, "cat '/etc/x y'", "A"},
		{"dots in the destination", func(r *rig) {
			r.mount(specs.Mount{Destination: "/../../etc/../tmp/a", Source: r.write("a", "A"), Options: []string{"bind"}})
		}, "cat /tmp/a", "A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, sh(c.script)...)
			c.edit(r)
			res := r.run()
			r.equal("inside", res.out, c.want)
			if res.err != "" && !strings.Contains(res.err, "is relative, which is deprecated") {
				t.Errorf("stderr: %s", res.err)
			}
		})
	}
}

// TestEscape: links of an image that point at the host. Whatever happens, it
// happens inside the root, and the victim directory stays as it was.
func TestEscape(t *testing.T) {
	for _, c := range []struct {
		name, link, to, destination, kind string
		refused                           string // text of the error; "" when it must run
	}{
		{"absolute link to a host directory", "mnt", "VICTIM", "/mnt/made", "bind", ""},
		{"dots to a host directory", "mnt", "../../../../../../VICTIM", "/mnt/made", "bind", ""},
		{"link as the last element", "mnt", "VICTIM/made", "/mnt", "bind", ""},
		{"link to itself", "mnt", "mnt", "/mnt/made", "bind", "mount"},
		{"proc is a link", "proc", "VICTIM", "/proc", "proc", "must be mounted on ordinary directory"},
		{"sys is a link", "sys", "VICTIM", "/sys", "sysfs", "must be mounted on ordinary directory"},
		{"dev is a link", "dev", "VICTIM", "/dev", "tmpfs", ""},
		{"dev is a link and nothing is mounted there", "dev", "VICTIM", "", "", "/dev"},
		{"magic link", "mnt", "/proc/self/root/VICTIM", "/mnt/made", "bind", "mounts["},
		{"magic cwd", "mnt", "/proc/self/cwd", "/mnt/made", "bind", "mount"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			victim := filepath.Join(r.dir, "victim")
			r.must(os.Mkdir(victim, 0o755))
			kept := r.write("victim/kept", "kept")
			link := filepath.Join(r.rootfs, c.link)
			_ = os.Remove(link)
			r.must(os.Symlink(strings.ReplaceAll(c.to, "VICTIM", strings.TrimPrefix(victim, "/")), link))
			if strings.HasPrefix(c.to, "VICTIM") {
				_ = os.Remove(link)
				r.must(os.Symlink(strings.ReplaceAll(c.to, "VICTIM", victim), link))
			}
			var mounts []specs.Mount
			for _, m := range r.spec.Mounts {
				if m.Destination != c.destination && !(c.link == "dev" && c.destination == "") {
					mounts = append(mounts, m)
				}
			}
			r.spec.Mounts = mounts
			switch c.kind {
			case "":
			case "bind":
				r.mount(specs.Mount{Destination: c.destination, Source: r.write("a", "A"), Options: []string{"bind"}})
			default:
				r.spec.Mounts = append([]specs.Mount{{Destination: c.destination, Type: c.kind, Source: c.kind}}, mounts...)
			}
			res := r.run()
			switch {
			case c.refused == "" && res.code != 0, c.refused != "" && (res.code == 0 || !strings.Contains(res.err, c.refused)):
				t.Errorf("want error %q: %s", c.refused, res)
			}
			names, err := os.ReadDir(victim)
			r.must(err)
			if len(names) != 1 || r.read(kept) != "kept" {
				t.Errorf("the host's directory holds %v now", names)
			}
		})
	}
}

// TestEscapeOfCwd: CVE-2024-21626 and its like.
func TestEscapeOfCwd(t *testing.T) {
	for _, cwd := range []string{"/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/8", "/proc/1/cwd", "/proc/self/root"} {
		t.Run(cwd, func(t *testing.T) {
			r := newRig(t, sh("pwd; ls -d /proc/self/cwd/home")...)
			r.spec.Process.Cwd = cwd
			res := r.run()
			if res.code == 0 || !strings.Contains(res.err, "chdir to cwd") {
				t.Errorf("%s", res)
			}
			second := newRig(t, "sleep", "100")
			second.start()
			res = second.wrun("exec", "--cwd", cwd, second.id, "ls", ".")
			if res.code == 0 || !strings.Contains(res.err, "chdir to cwd") {
				t.Errorf("exec: %s", res)
			}
		})
	}
}

func TestMaskedAndReadonly(t *testing.T) {
	r := newRig(t, sh(`
ls /tmp/dir; touch /tmp/dir/x 2>&1
wc -c </tmp/file; stat -c '%t:%T' /tmp/file
ls /proc/acpi 2>/dev/null; cat /proc/kcore | wc -c
echo x 2>&1 >/proc/sys/kernel/hostname; touch /tmp/ro/x 2>&1; echo x 2>&1 >/tmp/ro/f; cat /tmp/ro/f; echo x >/tmp/ro2 && echo written`)...)
	for _, f := range []string{"dir/secret", "file", "ro/f", "ro2"} {
		r.write("rootfs/tmp/"+f, "secret")
	}
	r.spec.Linux.MaskedPaths = []string{"/tmp/dir", "/tmp/file", "/proc/acpi", "/proc/kcore", "/no/such", "/tmp/file/below"}
	r.spec.Linux.ReadonlyPaths = []string{"/proc/sys", "/tmp/ro", "/no/such", "/tmp/file/below"}
	r.equal("inside", r.run().out, `touch: /tmp/dir/x: Read-only file system
0
1:3
0
sh: can't create /proc/sys/kernel/hostname: Read-only file system
touch: /tmp/ro/x: Read-only file system
sh: can't create /tmp/ro/f: Read-only file system
secretwritten`)
}

// TestMaskedByLink: an image whose /dev/null is a link or a file must not be
// able to show it in place of what is masked (CVE-2025-31133).
func TestMaskedByLink(t *testing.T) {
	r := newRig(t, sh("cat /tmp/file; echo x >/tmp/file; stat -c '%t:%T' /tmp/file")...)
	r.write("rootfs/tmp/file", "secret")
	r.write("rootfs/dev/null", "mine")
	r.spec.Mounts = r.spec.Mounts[:1]
	r.spec.Linux.MaskedPaths = []string{"/tmp/file"}
	r.equal("inside", r.output(), "1:3")
	r.equal("file below", r.read(filepath.Join(r.rootfs, "tmp/file")), "secret")
}

// TestSysctlBehindMounts: what an image or config.json mounts over /proc/sys
// is not what a sysctl is written to (CVE-2025-52881).
func TestSysctlBehindMounts(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.mount(specs.Mount{Destination: "/proc/sys/net", Type: "tmpfs", Source: "tmpfs"})
	r.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	pid := r.start()
	out, err := exec.Command("nsenter", "--net=/proc/"+strconv.Itoa(pid)+"/ns/net", "cat", "/proc/sys/net/ipv4/ip_forward").Output()
	if err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Errorf("%q, %v", out, err)
	}
	r.equal("the mount", r.ok("exec", r.id, "ls", "/proc/sys/net"), "")
}

// TestRootIsALink: what root.path leads to is the root file system.
func TestRootIsALink(t *testing.T) {
	r := newRig(t, sh("echo $((1+1))")...)
	r.must(os.Symlink("rootfs", filepath.Join(r.dir, "link")))
	r.spec.Root.Path = "link"
	r.equal("run", r.output(), "2")
}
