package silo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// kinds maps the kinds of config.json to the files of /proc/<pid>/ns.
var kinds = [...]struct {
	kind specs.LinuxNamespaceType
	file string
}{
	{specs.PIDNamespace, "pid"}, {specs.NetworkNamespace, "net"}, {specs.IPCNamespace, "ipc"},
	{specs.UTSNamespace, "uts"}, {specs.MountNamespace, "mnt"}, {specs.UserNamespace, "user"},
	{specs.CgroupNamespace, "cgroup"}, {specs.TimeNamespace, "time"},
}

// mapped gives the container a user namespace of its own and the root file
// system to its root.
func (r *rig) mapped() {
	r.with(specs.UserNamespace, "")
	r.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	r.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	for _, d := range []string{"", "bin", "dev", "etc", "proc", "root", "sys", "tmp"} {
		r.must(os.Chown(filepath.Join(r.rootfs, d), 100000, 100000))
	}
}

func TestNamespaceNew(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.file, func(t *testing.T) {
			r := newRig(t, "sleep", "100")
			r.spec.Hostname = ""
			r.spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
			r.with(k.kind, "")
			if k.kind == specs.UserNamespace {
				r.mapped()
				// proc and sysfs want the namespaces they show to belong to the user namespace.
				r.with(specs.PIDNamespace, "")
			}
			pid := r.start()
			for _, other := range kinds {
				shared := nsInode(pid, other.file) == nsInode("self", other.file)
				asked := other.kind == k.kind || other.kind == specs.MountNamespace ||
					k.kind == specs.UserNamespace && other.kind == specs.PIDNamespace
				if shared == asked {
					t.Errorf("%s namespace: shared with the host %v, new one asked for %v", other.file, shared, asked)
				}
			}
		})
	}
}

func TestNamespaceAllNew(t *testing.T) {
	r := newRig(t, sh("cat /proc/self/uid_map; id -u; hostname; ls /sys/class/net 2>/dev/null; ip link show lo | grep -c UP")...)
	for _, k := range kinds {
		r.with(k.kind, "")
	}
	r.mapped()
	out := strings.Fields(r.output())
	if want := "0 100000 65536 0 inside 1"; strings.Join(out, " ") != want {
		t.Errorf("inside: %v, want %s", out, want)
	}
}

// TestNamespaceJoin joins the namespaces of a living container one by one.
func TestNamespaceJoin(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.file, func(t *testing.T) {
			first := newRig(t, "sleep", "100")
			for _, all := range kinds {
				if all.kind != specs.UserNamespace || k.kind == specs.UserNamespace {
					first.with(all.kind, "")
				}
			}
			if k.kind == specs.UserNamespace {
				first.mapped()
			}
			pid := first.start()
			r := newRig(t, "sleep", "100")
			r.spec.Hostname = ""
			path := fmt.Sprintf("/proc/%d/ns/%s", pid, k.file)
			switch k.kind {
			case specs.MountNamespace:
				// The bundle's root must be visible in it.
				path = r.foreignMounts()
			case specs.UserNamespace:
				r.mapped()
				r.spec.Linux.UIDMappings, r.spec.Linux.GIDMappings = nil, nil
			}
			r.with(k.kind, path)
			own := r.start()
			want, err := os.Readlink(path)
			r.must(err)
			r.equal(k.file, nsInode(own, k.file), want)
			r.equal("exec in it", r.ok("exec", r.id, "readlink", "/proc/self/ns/"+k.file), want)
			if k.kind == specs.PIDNamespace && !strings.Contains(r.ok("exec", r.id, "ps"), "sleep 100\n") {
				t.Error("the other container's processes are not seen")
			}
		})
	}
}

// foreignMounts starts a process with a mount namespace of its own.
func (r *rig) foreignMounts() string {
	r.Helper()
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sleep", "100")
	cmd.Env = r.env
	r.must(cmd.Start())
	r.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	path := fmt.Sprintf("/proc/%d/ns/mnt", cmd.Process.Pid)
	// Not before unshare has done all of its work there: what joins the namespace
	// changes its root.
	r.until("sleep", func() bool { return r.read(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)) == "sleep\n" })
	return path
}

func TestNamespaceJoinOfWrongKind(t *testing.T) {
	r := newRig(t, "true")
	r.with(specs.IPCNamespace, "/proc/self/ns/net")
	r.refused("is no namespace of type ipc")
}

func TestTimeOffsets(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		t.Run(fmt.Sprint("users ", mapped), func(t *testing.T) {
			r := newRig(t, "cat", "/proc/uptime")
			if mapped {
				r.mapped()
			}
			r.with(specs.TimeNamespace, "")
			r.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{
				"boottime": {Secs: 1000000}, "monotonic": {Secs: 2000000, Nanosecs: 5},
			}
			inside := strings.Fields(r.output())
			host := strings.Fields(r.read("/proc/uptime"))
			a, err1 := strconv.ParseFloat(inside[0], 64)
			b, err2 := strconv.ParseFloat(host[0], 64)
			if err1 != nil || err2 != nil || a-b < 999990 || a-b > 1000001 {
				t.Errorf("uptime inside %v, outside %v", inside, host)
			}
		})
	}
}

func TestNames(t *testing.T) {
	r := newRig(t, sh("hostname; cat /proc/sys/kernel/domainname")...)
	r.spec.Hostname, r.spec.Domainname = "one.two", "three"
	before, _ := os.Hostname()
	r.equal("names", r.output(), "one.two\nthree")
	if after, _ := os.Hostname(); after != before {
		t.Errorf("the host's name is %s now", after)
	}
}

// TestNoMountNamespace: the mounts are the host's and must be gone at the end;
// the leftovers check sees to that.
func TestNoMountNamespace(t *testing.T) {
	r := newRig(t, sh("ls -d /proc/self /dev/null; ls /")...)
	r.without(specs.MountNamespace)
	out := r.output()
	if !strings.Contains(out, "/dev/null") || strings.Contains(out, "lost+found") {
		t.Errorf("inside: %s", out)
	}
	second := newRig(t, "sleep", "100")
	second.without(specs.MountNamespace)
	second.start()
	second.equal("exec", second.ok("exec", second.id, "cat", "/proc/1/comm"), "sleep")
}

func TestPropagation(t *testing.T) {
	for mode, want := range map[string]string{"private": "", "slave": "master:", "shared": "shared:", "unbindable": "unbindable", "": ""} {
		t.Run("rootfs "+mode, func(t *testing.T) {
			r := newRig(t, "cat", "/proc/self/mountinfo")
			r.spec.Linux.RootfsPropagation = mode
			out := r.output()
			line, _, _ := strings.Cut(out, "\n")
			fields, _, _ := strings.Cut(line, " - ")
			switch {
			case want != "" && !strings.Contains(fields, want):
				// A slave of a private mount is private: the host decides.
				if mode != "slave" || strings.Contains(r.mountBelow(r.rootfs), "shared:") {
					t.Errorf("root mount %q, want %s", line, want)
				}
			case mode == "private" && (strings.Contains(fields, "shared:") || strings.Contains(fields, "master:")):
				t.Errorf("root mount %q, want private", line)
			}
		})
	}
}

// mountBelow is the line of the mount that a path lies on.
func (r *rig) mountBelow(name string) string {
	r.Helper()
	best, at := "", ""
	for line := range strings.Lines(r.read("/proc/self/mountinfo")) {
		f := strings.Fields(line)
		if p := strings.TrimSuffix(f[4], "/"); len(p) >= len(at) && strings.HasPrefix(name, p+"/") {
			best, at = line, p
		}
	}
	return best
}

func TestNoPivot(t *testing.T) {
	r := newRig(t, sh("ls /; cat /proc/1/comm; ls /proc/1/root/")...)
	res := r.run("--no-pivot")
	if res.code != 0 || !strings.Contains(res.out, "bin\n") || strings.Contains(res.out, "lost+found") || strings.Contains(res.out, "usr\n") {
		t.Errorf("%s", res)
	}
}

// TestSharedHost runs wrun where the host's mounts are shared, as systemd has
// them: none of a container's mount events may reach them. The lines of the
// host's mount table are the same before and after.
func TestSharedHost(t *testing.T) {
	for _, mode := range []string{"", "slave", "private", "shared", "unbindable"} {
		t.Run("rootfs "+mode, func(t *testing.T) {
			r := newRig(t, sh("mount | wc -l >/dev/null")...)
			r.spec.Linux.RootfsPropagation = mode
			r.save()
			cmd := exec.Command("unshare", "--mount", "--propagation", "shared", "sh", "-c",
				`mount --make-rshared / && cat /proc/self/mountinfo >before && "$0" --root state run "$1" && cat /proc/self/mountinfo >after`, wrun, r.id)
			cmd.Dir, cmd.Env = r.dir, r.env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			r.equal("mount table", r.read(filepath.Join(r.dir, "after")), r.read(filepath.Join(r.dir, "before")))
		})
	}
}
