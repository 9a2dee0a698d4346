package silo

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer/rights"
)

// asksAgent tells a configuration whose filter may ask a seccomp agent.
func (in *Input) asksAgent() bool {
	s := in.linux().Seccomp
	return s != nil && s.ListenerPath != ""
}

// sendListener fetches the listener that the child got from the kernel and
// passes it to the agent: config-linux.md, "The Container Process State".
func sendListener(c *child, number int, s *specs.LinuxSeccomp, state *specs.State) error {
	fd, err := unix.PidfdGetfd(c.pidfd, number, 0)
	if err != nil {
		return fmt.Errorf("fetch the seccomp listener from the container process: %w", err)
	}
	defer unix.Close(fd)
	text, err := json.Marshal(&specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: c.pid, Metadata: s.ListenerMetadata, State: *state,
	})
	if err != nil {
		return fmt.Errorf("encode the container process state: %w", err)
	}
	if err := rights.Send(s.ListenerPath, text, fd); err != nil {
		// In runc's words, for which its suite, at least, looks.
		return fmt.Errorf("linux.seccomp.listenerPath: failed to connect with seccomp agent: %w", err)
	}
	return nil
}
