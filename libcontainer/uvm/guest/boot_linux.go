package guest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/silo"
	"wrun/libcontainer/sysmon"
)

// newRoot becomes the root directory: a container's root file system cannot be
// switched to by pivot_root(2) from the initramfs.
const newRoot = "/newroot"

// boot makes a Linux system of a kernel that has just started its first process;
// later loads the modules that are not needed at once.
func boot(template bool) (later func(), err error) {
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", "mode=0755"},
		{"tmpfs", newRoot, "mode=0755"},
	} {
		if err := unix.Mkdir(m.at, 0o755); err != nil && err != unix.EEXIST {
			return nil, fmt.Errorf("make %s: %w", m.at, err)
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.options); err != nil {
			return nil, fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err)
		}
		if m.at == "/proc" {
			sysmon.SlackenHere()
		}
	}
	if later, err = loadModules("/lib/modules", template); err != nil {
		return nil, err
	}
	if err := switchRoot(); err != nil {
		return nil, err
	}
	if err := mountCgroups(silo.GuestCgroups); err != nil {
		return nil, fmt.Errorf("mount the cgroups: %w", err)
	}
	open := unix.Rlimit{Cur: silo.GuestOpenFiles, Max: silo.GuestOpenFiles}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &open); err != nil {
		return nil, fmt.Errorf("raise the limit of open files: %w", err)
	}
	return later, nil
}

// mountCgroups hands down what every container gets, while there is none.
func mountCgroups(at string) error {
	if err := unix.Mount("cgroup2", at, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	fd, err := unix.Open(at+"/cgroup.subtree_control", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte("+memory +pids")); err != nil {
		// A kernel that lacks one refuses both. One that lacks all has no statistics.
		_, _ = unix.Write(fd, []byte("+memory"))
		_, _ = unix.Write(fd, []byte("+pids"))
	}
	return unix.Close(fd)
}

func switchRoot() error {
	for _, d := range []string{"/proc", "/sys", "/dev"} {
		if err := unix.Mkdir(newRoot+d, 0o755); err != nil {
			return fmt.Errorf("make %s%s: %w", newRoot, d, err)
		}
		if err := unix.Mount(d, newRoot+d, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", d, err)
		}
	}
	for _, d := range []string{"/run", FilesDir, stateDir} {
		if err := unix.Mkdir(newRoot+d, 0o755); err != nil {
			return fmt.Errorf("make %s%s: %w", newRoot, d, err)
		}
	}
	if err := unix.Chdir(newRoot); err != nil {
		return fmt.Errorf("switch the root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("switch the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("switch the root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("switch the root: %w", err)
	}
	return nil
}

// urgent are the modules without which the agent cannot speak to its host.
var urgent = []string{"virtio_ring.ko", "virtio.ko", "virtio_mmio.ko", "virtio_console.ko", "fuse.ko"}

// loadModules loads the kernel modules that the image's list names, in its
// order: the urgent ones now, the others, which take longer, with later, or now
// as well.
func loadModules(dir string, all bool) (later func(), err error) {
	list, err := modules(dir)
	if err != nil {
		return nil, err
	}
	var waiting []module
	for _, name := range list {
		// They are out of reach when the root is switched.
		fd, err := unix.Open(dir+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open module %s: %w", name, err)
		}
		m := module{name, fd}
		if !all && !slices.Contains(urgent, name) {
			waiting = append(waiting, m)
			continue
		}
		if err := m.load(); err != nil {
			return nil, err
		}
	}
	return sync.OnceFunc(func() {
		for _, m := range waiting {
			if err := m.load(); err != nil {
				complain(err)
			}
		}
	}), nil
}

// modules are the names in the image's list: none in that of a kernel that has all
// built in. It is read without package os, which would begin to poll for it.
func modules(dir string) ([]string, error) {
	name := dir + "/load"
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer unix.Close(fd)
	text := make([]byte, 4<<10)
	n, err := unix.Read(fd, text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if n == len(text) {
		return nil, fmt.Errorf("read %s: it is longer than %d bytes", name, n)
	}
	return strings.Fields(string(text[:n])), nil
}

// module is a kernel module whose file is open.
type module struct {
	name string
	fd   int
}

// load does without the sums of the symbols' types, for which the kernel goes
// through a list of all for each: that kernel and modules are of one release, the
// image's maker has seen. A kernel may insist on them.
func (m module) load() error {
	defer unix.Close(m.fd)
	err := unix.FinitModule(m.fd, "", unix.MODULE_INIT_IGNORE_MODVERSIONS)
	if err == unix.ENOEXEC {
		err = unix.FinitModule(m.fd, "", 0)
	}
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("load module %s: %w", m.name, err)
	}
	return nil
}

func loopbackUp() error {
	// Any socket does; of this family the container's start has one, too, and code
	// that ran already costs nothing more.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring up the loopback interface: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring up the loopback interface: %w", err)
	}
	return nil
}

// portWait bounds the wait for a device that the kernel finds on its own time.
const portWait = 10 * time.Second

// openPort opens the virtio-serial port of that number.
func openPort(number int) (int, error) {
	name := "/dev/vport0p" + strconv.Itoa(number)
	for end := time.Now().Add(portWait); ; {
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		// ENXIO: its name comes before the driver knows it.
		if err != unix.ENOENT && err != unix.ENXIO || time.Now().After(end) {
			return -1, fmt.Errorf("open the port to the host, %s: %w", name, err)
		}
		// The kernel tells of it nothing but a uevent. By a timer of Go's, the runtime
		// would begin to poll for descriptors, which here nothing else needs.
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil)
	}
}

// port is a virtio-serial port. Its calls block a thread: it is the one thing
// the agent waits for.
type port int

func (p port) Read(b []byte) (int, error) {
	for {
		switch n, err := unix.Read(int(p), b); {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("read from the host: %w", err)
		case n == 0:
			return 0, errHostGone
		default:
			return n, nil
		}
	}
}

func (p port) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		switch n, err := unix.Write(int(p), b[done:]); {
		case err == unix.EINTR, err == unix.EAGAIN:
		case err != nil:
			return done, fmt.Errorf("write to the host: %w", err)
		default:
			done += n
		}
	}
	return done, nil
}

// errHostGone is the end of whoever held the other end of the port.
var errHostGone = errors.New("the host has gone")
