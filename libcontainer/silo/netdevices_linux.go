package silo

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"wrun/libcontainer/silo/netdev"
)

// netDevices moves devices of the host into the container's network namespace,
// once.
func (b *birth) netDevices(pid int) error {
	list := b.in.linux().NetDevices
	if len(list) == 0 || b.moved {
		return nil
	}
	b.moved = true
	ns, err := openNamespace(pid, "net")
	if err != nil {
		return err
	}
	b.opened = append(b.opened, ns) // for the way back
	for _, name := range slices.Sorted(maps.Keys(list)) {
		d, err := netdev.Move(ns, name, list[name].Name)
		if err != nil {
			return fmt.Errorf("linux.netDevices: %w", err)
		}
		b.devices = append(b.devices, d)
	}
	return nil
}

// returnDevices takes them back from a container that comes to nothing: with its
// namespace the kernel would destroy those that are not hardware.
func (b *birth) returnDevices() (err error) {
	for _, d := range slices.Backward(b.devices) {
		err = errors.Join(err, d.Return())
	}
	b.devices = nil
	return err
}
