package uvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/network"
)

// This file ties the container's network namespace to the VM: the monitor lives
// in it, and what somebody has put there appears in the VM.

// connect makes a card of the VM for each interface, and returns the taps.
func (m *monitor) connect() (taps []int, err error) {
	if m.cards, err = network.Scan(); err != nil {
		return nil, fmt.Errorf("look at the container's network: %w", err)
	}
	for n, i := range m.cards {
		fd, err := network.Connect(i, n)
		if err != nil {
			closeAll(taps)
			return nil, fmt.Errorf("connect interface %s with the utility VM: %w", i.Name, err)
		}
		taps = append(taps, fd)
	}
	m.Machine.Cards = nil
	for n := range m.cards {
		m.Machine.Cards = append(m.Machine.Cards, network.DeviceMAC(n).String())
	}
	return taps, nil
}

// inNetwork runs do on a thread that is in the network namespace at path, in the
// caller's own for "".
func inNetwork(path string, do func() error) error {
	if path == "" {
		return do()
	}
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("linux.namespaces: open the network namespace: %w", err)
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("linux.namespaces: join the network namespace %s: %w", path, err)
			return
		}
		done <- do()
	}()
	return <-done
}

// namespaceID is what the kernel tells a namespace by.
func namespaceID(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("linux.namespaces: look at the network namespace %s: %w", path, err)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}

// disconnect takes from the interfaces of a namespace that lives on what tied
// them to the VM.
func (h *handle) disconnect() error {
	if h.Network == "" {
		return nil // it has gone with the monitor
	}
	if is, err := namespaceID(h.Network); err != nil || is != h.NetworkID {
		return nil //nolint:nilerr // it is gone, and the path leads nowhere or to somebody else's
	}
	err := inNetwork(h.Network, func() error {
		cards, err := network.Scan()
		for _, c := range cards {
			err = errors.Join(err, network.Disconnect(c))
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) { // it went meanwhile
		return nil
	}
	if err != nil {
		return fmt.Errorf("disconnect the container's network: %w", err)
	}
	return nil
}
