// Command init is the first process of the machine of tests/unified. It makes
// of a kernel that has just started what a distribution would: modules, file
// systems, cgroup v2 with all its controllers and nothing of v1. Then it runs
// one program, tells how that ended and powers off.
//
// The files are the host's, seen through an overlay: what is written stays
// here.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wrun/tests/unified/order"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	unix.Sync()
	// Without a power button, a reset is what ends QEMU (-no-reboot).
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

func serve() error {
	if err := early(); err != nil {
		return err
	}
	control, err := port(order.Control)
	if err != nil {
		return err
	}
	var o order.Order
	if err := json.NewDecoder(control).Decode(&o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	for _, e := range o.Env { // for the programs that this one runs
		if name, value, _ := strings.Cut(e, "="); name == "PATH" {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
	}
	var answer order.Answer
	if err := late(); err != nil {
		answer.Error = err.Error()
	} else if answer.Code, err = run(o); err != nil {
		answer.Error = err.Error()
	}
	return json.NewEncoder(control).Encode(answer)
}

type mount struct{ kind, at, options string }

func mountAll(list []mount) error {
	for _, m := range list {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		source := m.kind
		switch m.kind {
		case "virtiofs":
			source = order.Root
		case "ext4":
			source = "/dev/vda"
		}
		if err := unix.Mount(source, m.at, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err)
		}
	}
	return nil
}

// early is what the machine needs to hear its order.
func early() error {
	if err := mountAll([]mount{{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", "mode=0755"}}); err != nil {
		return err
	}
	const modules = "/lib/modules"
	list, err := os.ReadFile(filepath.Join(modules, "load"))
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		f, err := os.Open(filepath.Join(modules, name))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load module %s: %w", name, err)
		}
	}
	return nil
}

const root = "/newroot"

// late makes the root of the host's files and the machine's own disk, and what
// a distribution mounts below it.
func late() error {
	disk := root + order.Scratch
	err := mountAll([]mount{{"virtiofs", "/host", "ro"}, {"ext4", "/disk", ""}})
	for _, d := range []string{"/disk/upper", "/disk/work", "/disk/tmp"} {
		err = errors.Join(err, os.MkdirAll(d, 0o755))
	}
	if err != nil {
		return err
	}
	if err := mountAll([]mount{{"overlay", root, "lowerdir=/host,upperdir=/disk/upper,workdir=/disk/work"}}); err != nil {
		return err
	}
	if err := unix.Mount("/disk/tmp", disk, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the disk at %s: %w", order.Scratch, err)
	}
	if err := os.Chmod(disk, 0o1777); err != nil {
		return err
	}
	for _, d := range []string{"/proc", "/sys", "/dev"} {
		if err := unix.Mount(d, root+d, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", d, err)
		}
	}
	if err := switchRoot(); err != nil {
		return err
	}
	if err := mountAll([]mount{
		{"devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666"},
		{"tmpfs", "/dev/shm", "mode=1777"},
		{"mqueue", "/dev/mqueue", ""},
		{"tmpfs", "/run", "mode=0755"},
		{"cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot"}, // as systemd does
	}); err != nil {
		return err
	}
	if err := links(); err != nil {
		return err
	}
	if err := controllers(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("unified")); err != nil {
		return err
	}
	open := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &open); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// switchRoot is what switch_root(8) does.
func switchRoot() error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("switch the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("switch the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "") // as systemd does
}

func links() error {
	for name, target := range map[string]string{"fd": "self/fd", "stdin": "self/fd/0", "stdout": "self/fd/1", "stderr": "self/fd/2"} {
		if err := os.Symlink("/proc/"+target, "/dev/"+name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// session is the cgroup of the program: like a session of systemd's, below one
// that may have other children, and not the root.
const session = "/sys/fs/cgroup/tests/session"

// controllers hands all of the root's controllers down, as systemd does, and
// moves this process where it does not stand in the way.
func controllers() error {
	const top = "/sys/fs/cgroup/"
	list, err := os.ReadFile(top + "cgroup.controllers")
	if err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(list)) {
		if err := os.WriteFile(top+"cgroup.subtree_control", []byte("+"+c), 0); err != nil {
			return fmt.Errorf("hand down controller %s: %w", c, err)
		}
	}
	if err := os.MkdirAll(session, 0o755); err != nil {
		return err
	}
	return os.WriteFile(session+"/cgroup.procs", []byte("0"), 0)
}

// run runs the program and buries every orphan until it has ended.
func run(o order.Order) (int, error) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("bring up the loopback interface: %w: %s", err, out)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	var copies sync.WaitGroup
	files := []uintptr{null.Fd()}
	var ends []*os.File
	for _, name := range []string{order.Stdout, order.Stderr} {
		to, err := port(name)
		if err != nil {
			return 0, err
		}
		// A pipe: what a program does with its output, a port does not allow.
		read, write, err := os.Pipe()
		if err != nil {
			return 0, err
		}
		files, ends = append(files, write.Fd()), append(ends, write)
		copies.Go(func() { _, _ = io.Copy(to, read) })
	}
	program := o.Argv[0]
	if !strings.Contains(program, "/") {
		if program, err = exec.LookPath(program); err != nil {
			return 0, err
		}
	}
	pid, err := syscall.ForkExec(program, o.Argv, &syscall.ProcAttr{Dir: o.Dir, Env: o.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}})
	for _, f := range ends {
		f.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("start %s in %s: %w", program, o.Dir, err)
	}
	var status syscall.WaitStatus
	for ended := 0; ended != pid; {
		if ended, err = syscall.Wait4(-1, &status, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return 0, fmt.Errorf("wait for %s: %w", program, err)
		}
	}
	_ = syscall.Kill(-1, syscall.SIGKILL) // what holds the pipes open
	copies.Wait()
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// port opens the serial port of that name, of which the kernel tells nothing
// but a uevent.
func port(name string) (*os.File, error) {
	const class = "/sys/class/virtio-ports"
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		entries, _ := os.ReadDir(class) // not there before the driver is
		for _, e := range entries {
			if is, err := os.ReadFile(filepath.Join(class, e.Name(), "name")); err == nil && strings.TrimSpace(string(is)) == name {
				fd, err := unix.Open("/dev/"+e.Name(), unix.O_RDWR|unix.O_CLOEXEC, 0)
				if err != nil {
					return nil, fmt.Errorf("open port %s: %w", name, err)
				}
				return os.NewFile(uintptr(fd), name), nil
			}
		}
	}
	return nil, fmt.Errorf("this machine has no port %s", name)
}
