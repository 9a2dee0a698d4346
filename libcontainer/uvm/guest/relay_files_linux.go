package guest

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/files"
)

// filesRelay carries requests for files to the host.
type filesRelay struct {
	port  int
	relay *files.Relay
	once  sync.Once
	err   error
}

// prepareFiles asks for nothing yet: a VM that becomes a template has no host.
func prepareFiles() (*filesRelay, error) {
	port, err := openPort(FilesPort)
	if err != nil {
		return nil, err
	}
	relay, err := files.Prepare(FilesDir)
	if err != nil {
		return nil, err
	}
	return &filesRelay{port: port, relay: relay}, nil
}

// mount has the host's files appear.
func (r *filesRelay) mount() error {
	r.once.Do(func() {
		if r.err = r.relay.Start(r.port); r.err != nil {
			return
		}
		go func() {
			// Every program in the VM would get errors instead of its files.
			complain(fmt.Errorf("the relay of files has ended: %v", r.relay.Wait()))
			_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
		}()
	})
	return r.err
}
