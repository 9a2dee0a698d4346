package silo

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestGroupOwner(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Input)
		want int
	}{
		{"read-only mount", func(in *Input) { in.Spec.Mounts[len(in.Spec.Mounts)-1].Options = []string{"ro"} }, 0},
		{"no such mount", func(in *Input) { in.Spec.Mounts = nil }, 0},
		{"host's cgroup namespace", func(in *Input) { in.unset(specs.CgroupNamespace) }, 0},
		{"joined cgroup namespace", func(in *Input) { in.set(specs.CgroupNamespace, "/proc/1/ns/cgroup") }, 0},
		{"cgroup v1", v1, 0},
		{"no program", func(in *Input) { in.Spec.Process = nil }, 0},
		{"host's users", func(*Input) {}, 7},
		{"root", func(in *Input) { in.Spec.Process.User.UID = 0 }, 0},
		{"own users", func(in *Input) {
			in.set(specs.UserNamespace, "")
			in.Spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 500, Size: 3}, {ContainerID: 5, HostID: 100000, Size: 10}}
		}, 100002},
		{"a user without a mapping", func(in *Input) {
			in.set(specs.UserNamespace, "")
			in.Spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 500, Size: 3}}
		}, 0},
		{"joined users", func(in *Input) { in.set(specs.UserNamespace, "/proc/1/ns/user") }, 0},
	} {
		in := ordinary()
		in.Spec.Process.User.UID = 7
		in.set(specs.CgroupNamespace, "")
		in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/sys/fs/cgroup/", Type: "cgroup", Source: "cgroup", Options: []string{"rw"}})
		c.edit(in)
		if got := in.groupOwner(); got != c.want {
			t.Errorf("%s: the group goes to user %d, want %d", c.name, got, c.want)
		}
	}
}
