package silo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// What an ordinary user needs otherwise than root does: their containers have a
// user namespace, mappings that they may write or that newuidmap(1) writes for
// them, and a cgroup only where one was delegated to them.

// mayCreate refuses what an ordinary user cannot have at all. The text is runc's.
func mayCreate(s *specs.Spec) error {
	if unix.Geteuid() == 0 {
		return nil
	}
	if s.Linux != nil {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.UserNamespace {
				return nil
			}
		}
	}
	return libcontainer.WithHint(errors.New("rootless containers require user namespaces"), "`wrun spec --rootless` writes a configuration that an ordinary user can run")
}

// asksForGroup tells whether the container of an ordinary user is to have a
// cgroup. Without being asked they get one where the place for it is theirs.
func asksForGroup(l *specs.Linux) bool { return l.CgroupsPath != "" || limited(l.Resources) }

// limited tells whether r limits anything but devices.
func limited(r *specs.LinuxResources) bool {
	return r != nil && (r.Memory != nil || r.CPU != nil || r.Pids != nil || r.BlockIO != nil || r.Network != nil ||
		len(r.HugepageLimits) > 0 || len(r.Rdma) > 0 || len(r.Unified) > 0)
}

func groupHint(err error, privileged bool) error {
	if !privileged && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)) {
		return libcontainer.WithHint(err, "an ordinary user has a cgroup only where one was delegated to them and wrun runs in it, as by `systemd-run --user --scope -p Delegate=yes wrun …`, and of its controllers those that were delegated, too (Delegate= of user@.service); without linux.cgroupsPath and linux.resources the container needs none")
	}
	return err
}

// entranceHint is the cure for a child that the kernel does not let into a group
// of v2, where it is to be born. Who does not run in the delegated subtree may
// not put anything into it, though all files there are theirs (cgroup-v2.rst,
// "Delegation Containment").
func entranceHint(err error, group bool) error {
	switch {
	case group && errors.Is(err, unix.EACCES):
		return groupHint(err, MachineRoot())
	case group && errors.Is(err, unix.EBUSY):
		return libcontainer.WithHint(err, "a cgroup that hands controllers down takes no processes itself: exec --cgroup names one below it")
	}
	return err
}

// noGroup is the answer to what works by the cgroup.
func noGroup() error {
	return libcontainer.WithHint(fmt.Errorf("the container has no cgroup: %w", libcontainer.ErrUnsupported),
		"an ordinary user has one only where it was delegated to them")
}

// writeMaps gives the child's user namespace its users (user_namespaces(7)).
func writeMaps(pid int, l *specs.Linux, privileged bool) error {
	for _, m := range [...]struct {
		file, helper string
		list         []specs.LinuxIDMapping
		own          int
	}{
		{"uid_map", "newuidmap", l.UIDMappings, unix.Geteuid()},
		{"gid_map", "newgidmap", l.GIDMappings, unix.Getegid()},
	} {
		if len(m.list) == 0 {
			continue
		}
		var err error
		switch {
		case privileged:
			err = writeProc(pid, m.file, string(mapText(m.list)))
		case ownAlone(m.list, m.own):
			if m.file == "gid_map" {
				// The kernel wants it before it takes the mapping: whoever lacks a
				// right by being in a group could leave the group otherwise.
				err = writeProc(pid, "setgroups", "deny")
			}
			if err == nil {
				err = writeProc(pid, m.file, string(mapText(m.list)))
			}
		default:
			err = mapByHelper(m.helper, pid, m.list)
		}
		if err != nil {
			return fmt.Errorf("write the user namespace's mappings: %w", err)
		}
	}
	return nil
}

// ownAlone tells whether the mapping is the one that everybody may write: of
// one's own id and nothing else.
func ownAlone(list []specs.LinuxIDMapping, id int) bool {
	return len(list) == 1 && list[0].Size == 1 && int(list[0].HostID) == id
}

// deniesSetgroups tells beforehand what writeMaps will do.
func deniesSetgroups(in *Input) bool {
	return unix.Geteuid() != 0 && in.isNew(specs.UserNamespace) && ownAlone(in.linux().GIDMappings, unix.Getegid())
}

// mapByHelper has newuidmap(1) or newgidmap(1) write the mapping: set-user-ID
// programs that know which ids /etc/subuid and /etc/subgid give to a user.
func mapByHelper(helper string, pid int, list []specs.LinuxIDMapping) error {
	program, err := exec.LookPath(helper)
	if err != nil {
		return libcontainer.WithHint(fmt.Errorf("an ordinary user maps more than themselves by %s, which is not there", helper),
			"Debian's package uidmap has it; or map one id, your own")
	}
	args := []string{strconv.Itoa(pid)}
	for _, e := range list {
		for _, n := range [...]uint32{e.ContainerID, e.HostID, e.Size} {
			args = append(args, strconv.FormatUint(uint64(n), 10))
		}
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return libcontainer.WithHint(fmt.Errorf("%s: %w: %s", helper, err, bytes.TrimSpace(out)), "/etc/subuid and /etc/subgid say which ids a user may map")
	}
	return nil
}

func mapText(list []specs.LinuxIDMapping) []byte {
	var text []byte
	for _, e := range list {
		text = fmt.Appendf(text, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
	}
	return text
}

// writeOffsets sets the clocks of the time namespace that the child has made
// and nobody is in yet (time_namespaces(7)).
func writeOffsets(pid int, offsets map[string]specs.LinuxTimeOffset) error {
	var text []byte
	for _, clock := range [...]string{"monotonic", "boottime"} {
		if o, ok := offsets[clock]; ok {
			text = fmt.Appendf(text, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
		}
	}
	if err := writeProc(pid, "timens_offsets", string(text)); err != nil {
		var at *os.PathError
		if errors.As(err, &at) {
			err = at.Err // the path holds a pid that says nothing to the reader
		}
		return fmt.Errorf("linux.timeOffsets: set %q: %w", text, err)
	}
	return nil
}

func writeProc(pid int, name, text string) error {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/proc/" + strconv.Itoa(pid) + "/" + name, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return &os.PathError{Op: "write " + strconv.Quote(text) + " to", Path: "/proc/" + strconv.Itoa(pid) + "/" + name, Err: err}
	}
	return nil
}
