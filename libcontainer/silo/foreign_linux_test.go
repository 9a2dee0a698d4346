package silo

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForeignStub executes arm64's stub by emulation, on a machine of another
// kind. The code is read out of its source: build constraints hide it here.
func TestForeignStub(t *testing.T) {
	emulator := ""
	for _, name := range []string{"qemu-aarch64", "qemu-aarch64-static"} {
		if p, err := exec.LookPath(name); err == nil {
			emulator = p
		}
	}
	if emulator == "" {
		t.Skip("no qemu-aarch64 (Debian's qemu-user)")
	}
	code := bytesOf(t, "stub_linux_arm64.go")
	words := stubHeader + len(code)
	image := make([]byte, words+12)
	elfHeader(image)
	binary.LittleEndian.PutUint16(image[18:], 183) // EM_AARCH64
	copy(image[stubHeader:], code)
	binary.LittleEndian.PutUint32(image[words:], reportAt)
	stub := filepath.Join(t.TempDir(), "stub")
	if err := os.WriteFile(stub, image, 0o755); err != nil {
		t.Fatal(err)
	}
	// The emulator executes the host's programs, so a shell can be the program.
	// -0 is not argv[0] here but the program's path: the stub's own convention.
	run := func(argv ...string) (string, []uint32, error) {
		return execStub(t, emulator, append([]string{emulator, "-0", argv[0], stub}, argv[1:]...)...)
	}
	out, record, err := run("/bin/sh", "zero", "-c", `[ -e /proc/$$/fd/3 ] || echo "$0|$A|closed"`, "one")
	if err != nil || record != nil || strings.TrimSpace(out) != "one|b|closed" {
		t.Errorf("%q, record %v, %v", out, record, err)
	}
	_, record, err = run("/no/such", "x")
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != childFailed ||
		len(record) != 2 || record[0] != codeStub || unix.Errno(record[1]) != unix.ENOENT {
		t.Errorf("record %v, %v", record, err)
	}
}

// bytesOf reads the hexadecimal bytes of stubText in a Go file.
func bytesOf(t *testing.T, file string) []byte {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := bytes.Cut(source, []byte("stubText = [...]byte{"))
	if !found {
		t.Fatalf("%s has no stubText", file)
	}
	var code []byte
	for line := range strings.Lines(string(table)) {
		line, _, _ = strings.Cut(line, "//")
		for word := range strings.SplitSeq(line, ",") {
			if word = strings.TrimSpace(word); len(word) == 4 && strings.HasPrefix(word, "0x") {
				var b byte
				for _, c := range word[2:] {
					b = b<<4 | byte(strings.IndexRune("0123456789abcdef", c))
				}
				code = append(code, b)
			}
		}
	}
	return code
}
