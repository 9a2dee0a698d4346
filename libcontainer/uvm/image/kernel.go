package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNoPVH is in the error about a kernel that QEMU cannot start directly.
var ErrNoPVH = errors.New("the kernel has no PVH entry point (build it with CONFIG_PVH=y)")

// pvhNote is XEN_ELFNOTE_PHYS32_ENTRY, the note with the address where a
// hypervisor enters the kernel in 32-bit mode. QEMU starts an ELF kernel only
// through it.
const pvhNote = 18

// The fields of the setup header of a bzImage that say where the kernel
// proper is: the kernel's Documentation/arch/x86/boot.rst.
const (
	setupSectorsAt  = 0x1f1 // byte: 512-byte sectors of real-mode code after the first; 0 means 4
	headerMagicAt   = 0x202 // "HdrS"
	protocolAt      = 0x206 // uint16; the payload's fields came with 2.08
	payloadOffsetAt = 0x248 // uint32, from the end of the real-mode code
	payloadLengthAt = 0x24c // uint32
	headerEnd       = 0x250
)

// Vmlinux is the ELF kernel within a bzImage. A VM boots 0.3 s faster with it
// than with the bzImage, which would unpack itself under emulation. A file
// that is an ELF kernel already is returned as it is. The result is for x86-64
// and has a PVH entry point; ErrNoPVH if it has none. A nil decompress is
// Tools.
func Vmlinux(kernel []byte, decompress Decompress) ([]byte, error) {
	vmlinux := kernel
	if !bytes.HasPrefix(kernel, []byte(elf.ELFMAG)) {
		payload, err := payloadOf(kernel)
		if err != nil {
			return nil, fmt.Errorf("reading the kernel: %w", err)
		}
		if vmlinux, err = unpackPayload(payload, decompress); err != nil {
			return nil, fmt.Errorf("unpacking the kernel: %w", err)
		}
	}
	if err := checkVmlinux(vmlinux); err != nil {
		return nil, fmt.Errorf("checking the kernel: %w", err)
	}
	return vmlinux, nil
}

// payloadOf is the compressed kernel in a bzImage.
func payloadOf(image []byte) ([]byte, error) {
	if len(image) < headerEnd || string(image[headerMagicAt:headerMagicAt+4]) != "HdrS" {
		return nil, errors.New("it is neither an ELF file nor a bzImage for x86")
	}
	if v := binary.LittleEndian.Uint16(image[protocolAt:]); v < 0x208 {
		return nil, fmt.Errorf("its boot protocol %d.%02d is older than 2.08 and does not say where the kernel is", v>>8, v&0xff)
	}
	sectors := uint64(image[setupSectorsAt])
	if sectors == 0 {
		sectors = 4
	}
	from := (1+sectors)*512 + uint64(binary.LittleEndian.Uint32(image[payloadOffsetAt:]))
	size := uint64(binary.LittleEndian.Uint32(image[payloadLengthAt:]))
	if size < 4 || from+size > uint64(len(image)) {
		return nil, fmt.Errorf("its header says %d bytes at %d, the file has %d", size, from, len(image))
	}
	return image[from : from+size], nil
}

// unpackPayload checks the size, too: the last four bytes of a payload are the
// size of what is in it. gzip has it there by itself, for all others the
// kernel's build adds it.
func unpackPayload(payload []byte, decompress Decompress) ([]byte, error) {
	format := formatOf(payload)
	if format == "" {
		return nil, fmt.Errorf("it is packed in a way that begins with %x: wrun knows gzip, lz4, xz and zstd", payload[:4])
	}
	data := payload
	if format != "gzip" {
		data = payload[:len(payload)-4]
	}
	vmlinux, err := unpack(format, data, decompress)
	if err != nil {
		return nil, err
	}
	if want := binary.LittleEndian.Uint32(payload[len(payload)-4:]); uint64(want) != uint64(len(vmlinux)) {
		return nil, fmt.Errorf("decompressing %s: got %d bytes, want %d", format, len(vmlinux), want)
	}
	return vmlinux, nil
}

func checkVmlinux(vmlinux []byte) error {
	f, err := elf.NewFile(bytes.NewReader(vmlinux))
	if err != nil {
		return fmt.Errorf("reading it as ELF: %w", err)
	}
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 {
		return fmt.Errorf("it is for %v, not for x86-64", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err != nil {
			return fmt.Errorf("reading its notes: %w", err)
		}
		if hasNote(notes, "Xen\x00", pvhNote) {
			return nil
		}
	}
	return ErrNoPVH
}

// hasNote looks for a note by its owner and type. A note is the sizes of the
// owner's name and of the description, the type, and these two, each padded
// to four bytes.
func hasNote(notes []byte, owner string, kind uint32) bool {
	padded := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(notes) >= 12 {
		name, desc := binary.LittleEndian.Uint32(notes), binary.LittleEndian.Uint32(notes[4:])
		is := binary.LittleEndian.Uint32(notes[8:])
		notes = notes[12:]
		size := padded(name) + padded(desc)
		if uint64(len(notes)) < size {
			return false
		}
		if is == kind && string(notes[:name]) == owner {
			return true
		}
		notes = notes[size:]
	}
	return false
}

// release is the kernel's release as uname and its modules have it, from its
// banner "Linux version 6.1.0-56-cloud-amd64 (…".
func release(vmlinux []byte) (string, error) {
	const banner = "Linux version "
	for rest := vmlinux; ; {
		_, after, found := bytes.Cut(rest, []byte(banner))
		if !found {
			return "", fmt.Errorf("looking for the kernel's release: no %q in it", banner)
		}
		// The format string of /proc/version is the other place with these words.
		if word, _, ok := bytes.Cut(after[:min(len(after), 100)], []byte(" ")); ok && len(word) > 0 && '0' <= word[0] && word[0] <= '9' {
			return string(word), nil
		}
		rest = after
	}
}
