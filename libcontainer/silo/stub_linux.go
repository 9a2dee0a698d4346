package silo

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// The exec stub is the last thing of wrun's that a container sees: a program
// of a few dozen instructions in a sealed, unnamed file. The child executes
// it, and it executes the user program.
//
// Why: a child that called execve(2) directly would still have the wrun binary
// as /proc/self/exe while the kernel looks the program up. An image whose
// program is "#!/proc/self/exe" would then run wrun inside the container, hold
// it open and overwrite it on the host (CVE-2019-5736). Behind the stub
// /proc/self/exe is the stub, which nobody can write to. Other runtimes copy
// or remount their whole binary and execute it again for this; the stub costs
// one execve of a page.
//
// The stub's stack: argc, the program's path, the program's argv, NULL, envp.
// It makes the report descriptor close-on-exec. Where there is none, a script's
// "#!/proc/self/exe" has called the stub, which ends: it would execute itself
// for ever. It loads the seccomp filter if there is one (the last call but
// execve, so a filter needs to allow nothing that wrun itself would need),
// executes, and on failure writes one record (codeStub, errno) to the report
// descriptor.

const (
	stubBase   = 0x400000 // where it is mapped, well above vm.mmap_min_addr
	stubHeader = 64 + 56  // ELF header, one program header
)

// makeStub writes the stub into a sealed memfd. report is the descriptor
// number that error records go to; filter may be empty.
func makeStub(report int, filter []byte, flags uint32) (fd int, err error) {
	words := stubHeader + len(stubText)
	fprog := (words + 12 + 7) &^ 7 // struct sock_fprog: a count, padding, a pointer
	image := make([]byte, fprog+16+len(filter))
	elfHeader(image)
	le := binary.LittleEndian
	copy(image[stubHeader:], stubText[:])
	le.PutUint32(image[words:], uint32(report))
	if len(filter) > 0 {
		le.PutUint32(image[words+4:], flags)
		le.PutUint32(image[words+8:], uint32(stubBase+fprog))
		le.PutUint16(image[fprog:], uint16(len(filter)/8))
		le.PutUint64(image[fprog+8:], uint64(stubBase+fprog+16))
		copy(image[fprog+16:], filter)
	}

	fd, err = unix.MemfdCreate("wrun-exec", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|mfdExec)
	if err == unix.EINVAL { // a kernel before 6.3 does not know MFD_EXEC
		fd, err = unix.MemfdCreate("wrun-exec", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, fmt.Errorf("create the exec stub's memory file: %w", err)
	}
	if _, err := unix.Write(fd, image); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("write the exec stub: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("seal the exec stub: %w", err)
	}
	return fd, nil
}

const mfdExec = 0x10

// elfHeader writes the headers of a static executable of one read-execute
// segment that is the whole file.
func elfHeader(image []byte) {
	le := binary.LittleEndian
	copy(image, "\x7fELF\x02\x01\x01")
	le.PutUint16(image[16:], 2) // ET_EXEC
	le.PutUint16(image[18:], stubMachine)
	le.PutUint32(image[20:], 1)
	le.PutUint64(image[24:], stubBase+stubHeader) // entry
	le.PutUint64(image[32:], 64)                  // program headers
	le.PutUint16(image[52:], 64)
	le.PutUint16(image[54:], 56)
	le.PutUint16(image[56:], 1)
	ph := image[64:]
	le.PutUint32(ph, 1)     // PT_LOAD
	le.PutUint32(ph[4:], 5) // readable, executable
	le.PutUint64(ph[16:], stubBase)
	le.PutUint64(ph[24:], stubBase)
	le.PutUint64(ph[32:], uint64(len(image)))
	le.PutUint64(ph[40:], uint64(len(image)))
	le.PutUint64(ph[48:], 0x1000)
}
