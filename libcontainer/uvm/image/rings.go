package image

import (
	"debug/elf"
	"encoding/binary"
)

// ringSize is how many buffers a ring of a virtio device has; QEMU gives its
// network cards on PCI as many. On virtio-mmio it offers 1024 (VIRTQUEUE_MAX_SIZE)
// to each device and cannot be told otherwise, the kernel takes what is offered,
// and the driver of the ports fills each of its rings with pages: 12 MiB of every
// VM's memory, and 8 ms of a boot that is translated. (There is no PCI in the image:
// there a device's ring may be shorter than this.)
const ringSize = 256

// ringMaker is the kernel's function that makes a ring; how large is its second
// argument.
const ringMaker = "vring_create_virtqueue"

// shorten has a module make rings of ringSize, if it is the one that makes them:
// where the function called the tracer there is room for the instruction that sets
// its second argument. It comes after silence.
func shorten(module []byte, f *elf.File) error {
	symbols, err := f.Symbols()
	if err != nil {
		return nil //nolint:nilerr // without any, nothing is named
	}
	for _, s := range symbols {
		if s.Name != ringMaker || int(s.Section) >= len(f.Sections) || s.Section == elf.SHN_UNDEF {
			continue
		}
		text, err := contents(module, f.Sections[s.Section])
		if err != nil {
			return err
		}
		if n := uint64(len(text)); s.Value > n || n-s.Value < uint64(len(nop)) || [len(nop)]byte(text[s.Value:]) != nop {
			return nil // a kernel without the tracer
		}
		const moveToESI = 0xbe
		text[s.Value] = moveToESI
		binary.LittleEndian.PutUint32(text[s.Value+1:], ringSize)
	}
	return nil
}
