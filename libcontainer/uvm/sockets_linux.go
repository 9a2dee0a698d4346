package uvm

import (
	"fmt"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/sockets"
	"wrun/libcontainer/uvm/wire"
)

// This file is what the monitor does about the sockets among a container's mounts:
// files of them are of no use in the VM, whose kernel knows none of the servers.

// mostSockets bounds those of all containers in a VM: each can have a call under
// way, and the calls have their bound, too.
const mostSockets = 128

// pinned is what a container mounts of them.
type pinned struct {
	*sockets.Pinned
	list []wire.Socket // for the guest
}

// pin takes the sockets out of a container's shares, and returns the rest.
func (m *monitor) pin(id string, shares []Share) (files []Share, warnings []string, err error) {
	p := pinned{Pinned: sockets.Pin()}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	for _, s := range shares {
		var st unix.Stat_t
		if unix.Stat(s.Source, &st) != nil { // whoever mounts it says why
			st.Mode = 0
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO:
			warnings = append(warnings, fmt.Sprintf("mounts: %s is a fifo, which in a utility VM does not reach the host: only processes in the VM can use it with each other", s.Source))
		case unix.S_IFSOCK:
			socket, err := p.Add(s.Name, s.Source)
			if err != nil {
				return nil, nil, fmt.Errorf("share with the utility VM: %w", err)
			}
			p.list = append(p.list, socket)
			continue
		}
		files = append(files, s)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := len(p.list)
	for _, other := range m.pinned {
		all += len(other.list)
	}
	if all > mostSockets {
		return nil, nil, fmt.Errorf("mounts: the utility VM would have %d sockets of the host, and can have %d", all, mostSockets)
	}
	if len(p.list) > 0 {
		if m.pinned == nil {
			m.pinned = map[string]pinned{}
		}
		m.pinned[id] = p
	}
	return files, warnings, nil
}

// withSockets adds a container's to what the agent is asked for. It mounts those of
// its own in their place, which no start that was worked out here knows.
func (m *monitor) withSockets(c *wire.Create) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Sockets = m.pinned[c.ID].list; len(c.Sockets) > 0 {
		c.Start = nil
	}
}

// dial answers the guest, which may say anything.
func (m *monitor) dial(d wire.Dial) error {
	m.mu.Lock()
	p, ok := m.pinned[d.ID]
	m.mu.Unlock()
	if !ok {
		return fmt.Errorf("container %q mounts no socket", d.ID)
	}
	return p.Dial(m.vm.conn, d)
}

// drain has what a container wrote last reach its servers.
func (m *monitor) drain(id string) {
	m.mu.Lock()
	p, ok := m.pinned[id]
	m.mu.Unlock()
	if ok {
		p.Drain(sockets.LastWords)
	}
}

// unpin ends the connections of a container that has left the VM.
func (m *monitor) unpin(id string) {
	m.mu.Lock()
	p, ok := m.pinned[id]
	delete(m.pinned, id)
	m.mu.Unlock()
	if ok {
		p.Close()
	}
}
