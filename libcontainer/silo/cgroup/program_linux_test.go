package cgroup

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestStraight: the verifier of this kernel looks at each instruction once. Where it
// finds ways to go, a list of some length takes it milliseconds.
func TestStraight(t *testing.T) {
	for n, list := range deviceLists {
		rules, err := deviceRules(list)
		if err != nil {
			t.Fatal(err)
		}
		program := deviceProgram(rules)
		const statistics = 4 // BPF_LOG_STATS
		license, said := [1]byte{}, make([]byte, 4<<10)
		attr := loadAttr{
			kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(program)), expectedAttach: unix.BPF_CGROUP_DEVICE,
			program: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license))),
			logLevel: statistics, logSize: uint32(len(said)), log: uint64(uintptr(unsafe.Pointer(&said[0]))),
		}
		fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
		runtime.KeepAlive(program)
		runtime.KeepAlive(&license)
		runtime.KeepAlive(said)
		if err == unix.EPERM {
			t.Skip("needs the right to load programs")
		}
		if err != nil {
			t.Fatalf("list %d: %v: %s", n, err, said)
		}
		unix.Close(fd)
		if want := fmt.Sprintf("processed %d insns ", len(program)); !bytes.Contains(said, []byte(want)) {
			t.Errorf("list %d: %q has no %q", n, unix.ByteSliceToString(said), want)
		}
	}
}
