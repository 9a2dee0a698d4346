// Package vm is a machine with cgroup v2 alone, for tests: QEMU with Debian's
// kernel for clouds, two processors and the host's files. It shares nothing
// with utility VMs but how the boot image is packed: what tests wrun must not
// need it to work.
package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wrun/tests/unified/order"
)

const qemu = "qemu-system-x86_64"

// WhyNot says why the machine cannot run here, "" if it can.
func WhyNot() string {
	if runtime.GOARCH != "amd64" {
		return "the machine with cgroup v2 alone is an amd64 one"
	}
	if os.Geteuid() != 0 {
		return "not root: the machine with cgroup v2 alone is shown the host's files"
	}
	for _, program := range []string{qemu, "mkfs.ext4", "ip", "apt-get"} {
		if _, err := exec.LookPath(program); err != nil {
			return "no machine with cgroup v2 alone: " + err.Error() + "; sh tests/setup.sh qemu-system-x86 iproute2 e2fsprogs"
		}
	}
	if _, err := server(); err != nil {
		return "no machine with cgroup v2 alone: " + err.Error() + " (Debian's qemu-system-common, or virtiofsd)"
	}
	return ""
}

// Run boots the machine, runs one program in it and answers its exit code. The
// program's output is copied as it comes. module is the folder of wrun's
// go.mod. When ctx ends first, or the machine ends without an answer, the error
// tells what stood on its console.
func Run(ctx context.Context, module string, o order.Order, stdout, stderr io.Writer) (code int, err error) {
	boot, err := image(module)
	if err != nil {
		return 0, fmt.Errorf("make the machine's boot image: %w", err)
	}
	dir, err := os.MkdirTemp("", "wrun-unified-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	m := &machine{dir: dir, boot: boot}
	return m.run(ctx, o, stdout, stderr)
}

type machine struct{ dir, boot string }

func (m *machine) file(name string) string { return filepath.Join(m.dir, name) }

// diskSize is what the machine can write; the file is sparse.
const diskSize = "8G"

func (m *machine) run(ctx context.Context, o order.Order, stdout, stderr io.Writer) (code int, err error) {
	mkfs := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", m.file("disk"), diskSize)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("make the machine's disk: %w: %s", err, out)
	}
	if err := os.Mkdir(m.file("root"), 0o755); err != nil {
		return 0, err
	}
	log, err := os.Create(m.file("log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	// Its end is that of the thread which starts a process with a death signal.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	files, err := startServer(m.file("root"), m.file("files"), log)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = files.Process.Kill() // it ends with QEMU, if there was one
		_ = files.Wait()
	}()

	ports, theirs, err := pairs(3)
	if err != nil {
		return 0, err
	}
	console, err := os.Create(m.file("console"))
	if err != nil {
		return 0, err
	}
	defer console.Close()
	cmd := exec.Command(qemu, m.arguments()...)
	cmd.ExtraFiles = theirs
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("start QEMU: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()

	var copies sync.WaitGroup
	for i, to := range []io.Writer{stdout, stderr} {
		copies.Go(func() { _, _ = io.Copy(to, ports[1+i]) })
	}
	answer, told := converse(ports[0], o)
	// Powering off takes no time; a machine that cannot is none any more.
	late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	ended := cmd.Wait()
	late.Stop()
	copies.Wait()
	for _, p := range ports {
		p.Close()
	}
	if told == nil && answer.Error != "" {
		told = errors.New(answer.Error)
	}
	if told == nil {
		return answer.Code, nil
	}
	said, _ := os.ReadFile(console.Name())
	shared, _ := os.ReadFile(log.Name())
	return 0, fmt.Errorf("the machine with cgroup v2 alone: %w", errors.Join(told, ctx.Err(), ended,
		fmt.Errorf("its console:\n%s\nits file server:\n%s", tail(said), tail(shared))))
}

// converse gives the order and waits for the answer, which may take as long as
// the machine lives.
func converse(control io.ReadWriter, o order.Order) (answer order.Answer, err error) {
	if err := json.NewEncoder(control).Encode(o); err != nil {
		return answer, fmt.Errorf("give the order: %w", err)
	}
	if err := json.NewDecoder(control).Decode(&answer); err != nil {
		return answer, fmt.Errorf("it gave no answer: %w", err)
	}
	return answer, nil
}

// pairs makes n connected sockets, our ends and theirs.
func pairs(n int) (ours, theirs []*os.File, err error) {
	for range n {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, nil, err
		}
		ours = append(ours, os.NewFile(uintptr(fds[0]), "port"))
		theirs = append(theirs, os.NewFile(uintptr(fds[1]), "port"))
	}
	return ours, theirs, nil
}

// arguments is QEMU's command line. Of its machines, microvm boots fastest.
func (m *machine) arguments() []string {
	args := []string{
		"-name", "wrun-unified", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
		"-M", "microvm,x-option-roms=off,isa-serial=on,rtc=on,pit=on,pic=on,memory-backend=ram",
		"-global", "virtio-mmio.force-legacy=false", // or virtiofsd refuses
		"-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-smp", "2", "-m", "2048M",
		"-object", "memory-backend-memfd,id=ram,size=2048M,share=on",
		"-kernel", filepath.Join(m.boot, "kernel"), "-initrd", filepath.Join(m.boot, "initrd"), "-append", commandLine(),
		"-serial", "stdio",
		"-chardev", "socket,id=files,path=" + m.file("files"),
		"-device", "vhost-user-fs-device,chardev=files,tag=" + order.Root,
		"-drive", "id=disk,if=none,format=raw,cache=unsafe,file=" + m.file("disk"),
		"-device", "virtio-blk-device,drive=disk",
		"-device", "virtio-serial-device,max_ports=8",
	}
	for i, name := range []string{order.Control, order.Stdout, order.Stderr} {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=%s,fd=%d", name, 3+i), "-device", fmt.Sprintf("virtserialport,chardev=%s,name=%s", name, name))
	}
	return args
}

// commandLine is the kernel's. A translated machine that measures its time stamp
// counter on a busy host may hang; it has the host's.
func commandLine() string {
	line := "quiet console=ttyS0 panic=-1 reboot=t cryptomgr.notests"
	if khz := timeStampCounter(); khz != 0 {
		line += fmt.Sprintf(" tsc_early_khz=%d lpj=%d no_timer_check tsc=reliable", khz, khz*4)
	}
	return line
}

// timeStampCounter is the host's frequency, in kHz: half its bogomips. 0 if it
// does not tell.
func timeStampCounter() uint64 {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "bogomips" {
			mips, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return uint64(mips * 500)
		}
	}
	return 0
}

func tail(text []byte) []byte {
	const most = 8 << 10
	return text[max(0, len(text)-most):]
}
