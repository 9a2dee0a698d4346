package silo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// owned makes a directory with a file of host user 100 and group 211, and below
// it a mount of its own with a file of user 200. Both are of the file system of
// TMPDIR: a tmpfs cannot be idmapped before Linux 6.3.
func (r *rig) owned() string {
	r.Helper()
	dir := filepath.Dir(r.write("tree/a", ""))
	r.must(os.Chown(filepath.Join(dir, "a"), 100, 211))
	sub := filepath.Join(dir, "sub")
	r.must(os.Mkdir(sub, 0o755))
	r.must(unix.Mount(filepath.Dir(r.write("below/c", "")), sub, "", unix.MS_BIND, ""))
	r.Cleanup(func() { r.must(unix.Unmount(sub, unix.MNT_DETACH)) })
	r.must(os.WriteFile(filepath.Join(sub, "b"), nil, 0o644))
	r.must(os.Chown(filepath.Join(sub, "b"), 200, 222))
	return dir
}

// mappings are the same for users and groups: three ranges of the file's users
// on disk (config.md: containerID) as users of the host (hostID).
func mappings(host uint32) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 100, HostID: host, Size: 1}, {ContainerID: 200, HostID: host + 100, Size: 30}}
}

// TestIDMap: an idmapped mount shows the files of its source as others'; with
// ridmap those of the mounts below, too.
func TestIDMap(t *testing.T) {
	const nobody = "65534"
	show := sh("stat -c '%u:%g' /mnt/a /mnt/sub/b; touch /mnt/new 2>&1 | grep -o Value; true")
	for _, c := range []struct {
		name    string
		users   bool // in a user namespace whose root is host user 100000
		options []string
		given   bool // with mappings of its own
		want    string
	}{
		{"without a user namespace", false, []string{"rbind"}, true, "5000:5111\n200:222\nValue"},
		{"whole tree", false, []string{"rbind", "ridmap"}, true, "5000:5111\n5100:5122\nValue"},
		{"in a user namespace", true, []string{"rbind", "idmap"}, true, "5000:5111\n" + nobody + ":" + nobody + "\nValue"},
		{"the container's own mapping", true, []string{"rbind", "idmap"}, false, "100:211\n" + nobody + ":" + nobody},
		{"the container's own mapping for the whole tree", true, []string{"rbind", "ridmap"}, false, "100:211\n200:222"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, show...)
			m := specs.Mount{Destination: "/mnt", Source: r.owned(), Options: c.options}
			base := uint32(0)
			if c.users {
				r.mapped()
				base = 100000
			}
			if c.given {
				// In the tree are users 100 and 200, groups 211 and 222.
				m.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 100, HostID: base + 5000, Size: 1}, {ContainerID: 200, HostID: base + 5100, Size: 1}}
				m.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 211, HostID: base + 5111, Size: 12}}
			}
			r.mount(m)
			r.equal("users and groups", r.output(), c.want)
		})
	}
}

// TestIDMapOfJoined takes the mapping of a user namespace that another
// container made.
func TestIDMapOfJoined(t *testing.T) {
	first := newRig(t, "sleep", "100")
	first.mapped()
	first.with(specs.PIDNamespace, "")
	pid := first.start()
	r := newRig(t, sh("stat -c '%u:%g' /mnt/a")...)
	r.mapped()
	r.with(specs.UserNamespace, "/proc/"+itoa(pid)+"/ns/user")
	r.spec.Linux.UIDMappings, r.spec.Linux.GIDMappings = nil, nil
	r.mount(specs.Mount{Destination: "/mnt", Source: r.owned(), Options: []string{"rbind", "idmap"}})
	r.equal("inside", r.output(), "100:211")
}

func TestIDMapRefused(t *testing.T) {
	for _, c := range []struct {
		name, want string
		m          specs.Mount
	}{
		{"no bind", "only a bind mount can be idmapped", specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"idmap"}, UIDMappings: mappings(0), GIDMappings: mappings(0)}},
		{"no mapping to take", "ask for an id mapping", specs.Mount{Source: "/tmp", Options: []string{"bind", "idmap"}}},
		{"a file system that has none", "idmap: mount_setattr", specs.Mount{Source: "/proc", Options: []string{"bind"}, UIDMappings: mappings(0), GIDMappings: mappings(0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			c.m.Destination = "/mnt"
			r.mount(c.m)
			r.refused(c.want)
		})
	}
}

// TestBindBehindClosedDoor: the source of a bind may lie where the container's
// root, who is nobody on the host, cannot go.
func TestBindBehindClosedDoor(t *testing.T) {
	r := newRig(t, sh("cat /mnt/a /etc/f")...)
	r.mapped()
	r.write("closed/dir/a", "A")
	r.write("closed/f", "F")
	r.must(os.Chmod(filepath.Join(r.dir, "closed"), 0o700))
	r.mount(specs.Mount{Destination: "/mnt", Source: "closed/dir", Options: []string{"bind"}})
	r.mount(specs.Mount{Destination: "/etc/f", Source: "closed/f", Options: []string{"bind", "ro"}})
	r.equal("inside", r.output(), "AF")
}

// TestLockedAttributes: what the host has switched off for a mount stays off in
// a user namespace; who asks for it by name is told.
func TestLockedAttributes(t *testing.T) {
	source := func(r *rig) string {
		dir := filepath.Dir(r.write("locked/a", "A"))
		r.must(unix.Mount(dir, dir, "", unix.MS_BIND, ""))
		r.Cleanup(func() { r.must(unix.Unmount(dir, unix.MNT_DETACH)) })
		r.must(unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID, ""))
		return dir
	}
	const flags = "awk '$5 == \"/mnt\" {print $6}' /proc/self/mountinfo | cut -d, -f1-4"
	for _, c := range []struct {
		name    string
		users   bool
		options []string
		want    string // "" refused
	}{
		{"nothing asked for", false, []string{"bind"}, "ro,nosuid,relatime"},
		{"one attribute asked for is all there is", false, []string{"bind", "nodev"}, "rw,nodev,relatime"},
		{"kept in a user namespace", true, []string{"bind", "nodev"}, "ro,nosuid,nodev,relatime"},
		{"not to be had in a user namespace", true, []string{"bind", "rw"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, sh(flags)...)
			if c.users {
				r.mapped()
			}
			r.mount(specs.Mount{Destination: "/mnt", Source: source(r), Options: c.options})
			if c.want == "" {
				r.refused("operation not permitted")
				return
			}
			r.equal("attributes", r.output(), c.want)
		})
	}
}
