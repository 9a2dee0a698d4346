package guest

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/files"
)

// FilesCommand is the operand with which the agent's program relays files.
const FilesCommand = "files"

// filesRelay is the process that carries requests for files to the host. It is a
// process of its own, for one that uses the files cannot also deliver them: the
// agent stands still in some system calls until they are answered.
type filesRelay struct {
	process *os.Process
	link    *os.File
	once    sync.Once
	err     error
}

// Descriptors of the relay's process.
const (
	relayPort = 3
	relayLink = 4
)

// startFilesRelay starts it; it asks for nothing before it is told to, because a
// VM that becomes a template has no host yet.
func startFilesRelay() (*filesRelay, error) {
	fd, err := openPort(FilesPort)
	if err != nil {
		return nil, err
	}
	port := os.NewFile(uintptr(fd), FilesPort)
	defer port.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "link")
	defer theirs.Close()
	r := &filesRelay{link: os.NewFile(uintptr(pair[0]), "link")}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r.process, err = os.StartProcess("/proc/self/exe", []string{"wrun", "agent", FilesCommand},
		&os.ProcAttr{Dir: "/", Env: os.Environ(), Files: []*os.File{null, null, null, port, theirs}})
	if err != nil {
		return nil, fmt.Errorf("start the relay of files: %w", err)
	}
	go func() {
		_, _ = r.process.Wait()
		// Every program in the VM would wait for its files for ever, or get errors.
		complain(errors.New("the relay of files has ended"))
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}()
	return r, nil
}

// mount has the host's files appear.
func (r *filesRelay) mount() error {
	r.once.Do(func() {
		answer := make([]byte, 512)
		_, r.err = r.link.Write([]byte{1})
		var n int
		if r.err == nil {
			n, r.err = r.link.Read(answer)
		}
		switch {
		case r.err != nil:
			r.err = fmt.Errorf("mount the host's files: %w", r.err)
		case string(answer[:n]) != mounted:
			r.err = errors.New(string(answer[:n]))
		}
	})
	return r.err
}

const mounted = "mounted"

// RelayFiles is the life of the relay's process.
func RelayFiles() error {
	link := os.NewFile(relayLink, "link")
	relay, err := files.Prepare(FilesDir)
	if err != nil {
		_, _ = link.WriteString(err.Error())
		return err
	}
	if _, err := link.Read(make([]byte, 1)); err != nil {
		return err
	}
	if err := relay.Start(relayPort); err != nil {
		_, _ = link.WriteString(err.Error())
		return err
	}
	if _, err := link.WriteString(mounted); err != nil {
		return err
	}
	return relay.Wait()
}
