package silo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/rootfs"
)

// gather asks the machine what a Plan has to know. It changes nothing.
func gather(c *libcontainer.Config, in *Input) error {
	f := &in.Facts
	var err error
	if in.Guest {
		f.Grantable, f.OpenFiles = allCapabilities, Limit{GuestOpenFiles, GuestOpenFiles}
	} else if f.Grantable, err = grantable(in); err != nil {
		return err
	} else {
		f.OpenFiles = callersOpenFiles()
	}
	if in.linux().IntelRdt != nil {
		if err := resctrl(); err != nil {
			return err
		}
	}
	in.DenySetgroups = deniesSetgroups(in)
	f.AppArmor = in.Spec.Process != nil && in.Spec.Process.ApparmorProfile != "" && appArmor()
	root, err := unix.Open(in.Spec.Root.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open root.path %s: %w", in.Spec.Root.Path, err)
	}
	defer unix.Close(root)
	if err := f.mounts(root, in); err != nil {
		return err
	}
	if err := devicesFit(root, in); err != nil {
		return err
	}
	if in.Spec.Process != nil {
		in.Env = rootfs.Environment(in.Spec.Process, root)
	}
	if in.NoPivot {
		if f.Revealing, err = revealing(in.Spec.Root.Path); err != nil {
			return err
		}
	}
	if p, ok := propagationFlag(in.linux().RootfsPropagation); ok && p&msShared != 0 {
		if f.RootParent, err = mountAbove(in.Spec.Root.Path); err != nil {
			return err
		}
	}
	return nil
}

// GuestOpenFiles is the RLIMIT_NOFILE, soft and hard, that the agent of a utility
// VM has: what containers inherit there whose bundle sets no limit, engines' usual.
const GuestOpenFiles = 1 << 20

const allCapabilities = 1<<len(capabilityNames) - 1

// grantable is what wrun may hand on: all in a user namespace of the
// container's, else its own permitted set.
func grantable(in *Input) (uint64, error) {
	if in.userNamespace() {
		return allCapabilities, nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read own capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// callersOpenFiles is RLIMIT_NOFILE as wrun was given it. Go's runtime raises
// the soft limit of its own process and tells nobody the old one, so the
// caller's is taken, which wrun inherited.
func callersOpenFiles() Limit {
	var own, caller unix.Rlimit
	if unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &own) != nil ||
		unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, nil, &caller) != nil {
		return Limit{}
	}
	return Limit{Soft: min(caller.Cur, own.Max), Hard: own.Max}
}

// resctrl says what the machine lacks for linux.intelRdt; nil if nothing.
func resctrl() error {
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("linux.intelRdt: look for the resctrl file system: %w", err)
	}
	if !bytes.Contains(known, []byte("\tresctrl\n")) {
		return libcontainer.WithHint(errors.New("linux.intelRdt: this kernel has no resctrl file system"),
			"it needs CONFIG_X86_CPU_RESCTRL and a processor with RDT or QoS; /proc/cpuinfo shows rdt_a, cat_l3, mba")
	}
	return nil
}

func appArmor() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && bytes.HasPrefix(b, []byte("Y"))
}

// devicesFit refuses a device whose place is taken: config-linux.md, "Devices":
// "If a file already exists at path that does not match the requested device,
// the runtime MUST generate an error."
func devicesFit(root int, in *Input) error {
	if !ownDev(in.Spec.Mounts) {
		return nil
	}
	for i := range in.linux().Devices {
		d, err := specDevice(i, &in.linux().Devices[i])
		if err != nil {
			return err
		}
		covered := false
		for k := range in.Spec.Mounts {
			at := path.Clean("/" + in.Spec.Mounts[k].Destination)
			if at == d.path {
				return fmt.Errorf("%s: mounts[%d] is mounted there", d.why, k)
			}
			covered = covered || strings.HasPrefix(d.path, at+"/")
		}
		if covered {
			continue // what the image has there is not seen
		}
		var st unix.Stat_t
		if !lookInside(root, d.path, &st) {
			continue
		}
		same := uint64(st.Mode)&unix.S_IFMT == d.mode&unix.S_IFMT
		if same && d.mode&unix.S_IFMT != sIFIFO {
			same = int64(unix.Major(uint64(st.Rdev))) == d.major && int64(unix.Minor(uint64(st.Rdev))) == d.minor
		}
		if !same {
			return fmt.Errorf("%s: the image has a file there that is not this device", d.why)
		}
	}
	return nil
}

// lookInside reads the attributes of a file in the root; false if there is none.
func lookInside(root int, name string, st *unix.Stat_t) bool {
	fd, err := rootfs.Open(root, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, st) == nil
}

// mountAbove is the mount point of the mount that dir lies on.
func mountAbove(dir string) (string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("look for the mount above the root file system: %w", err)
	}
	best := "/"
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		at := unescapeMount(f[4])
		if len(at) > len(best) && (dir == at || strings.HasPrefix(dir, at+"/")) {
			best = at
		}
	}
	return best, nil
}

// revealing lists where whole proc and sysfs file systems are mounted outside
// the root file system.
func revealing(root string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look for mounts to hide: %w", err)
	}
	var list []string
	for line := range strings.Lines(string(data)) {
		before, after, _ := strings.Cut(line, " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(kind) < 1 || f[3] != "/" || kind[0] != "proc" && kind[0] != "sysfs" {
			continue
		}
		if at := unescapeMount(f[4]); at != root && !strings.HasPrefix(at, root+"/") {
			list = append(list, at)
		}
	}
	return list, nil
}

// unescapeMount undoes mountinfo's octal escapes (proc_pid_mountinfo(5)).
func unescapeMount(s string) string {
	for _, r := range [...][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	return s
}

// mountID names the mount that is visible at a path.
func mountID(at string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, at, unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", at, err)
	}
	return st.Mnt_id, nil
}

// joinable opens the namespace n and checks that it is of the kind that
// config.json says: config-linux.md, "The runtime MUST generate an error if
// path is not associated with a namespace of type type".
func joinable(n *specs.LinuxNamespace) (int, error) {
	// The path may be anything: opening a fifo would wait, a terminal be taken.
	fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open namespace %s of type %s: %w", n.Path, n.Type, err)
	}
	kind, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_NSTYPE, 0)
	for _, known := range namespaceOrder {
		if errno == 0 && uint64(kind) == known.flag && known.kind == string(n.Type) {
			return fd, nil
		}
	}
	unix.Close(fd)
	if errno != 0 {
		return -1, fmt.Errorf("linux.namespaces path %s is no namespace: %w", n.Path, errno)
	}
	return -1, fmt.Errorf("linux.namespaces path %s is no namespace of type %s", n.Path, n.Type)
}
