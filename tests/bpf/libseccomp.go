package bpf

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

//go:embed testdata/export.c
var export []byte

// Libseccomp is a program around the library, compiled for the test.
type Libseccomp string

// FindLibseccomp skips the test where the library or a C compiler is not there.
func FindLibseccomp(t *testing.T) Libseccomp {
	dir := t.TempDir()
	source, bin := filepath.Join(dir, "export.c"), filepath.Join(dir, "export")
	if err := os.WriteFile(source, export, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gcc", "-O1", "-o", bin, source, "-lseccomp").CombinedOutput()
	if err != nil {
		t.Skipf("gcc with libseccomp-dev is not there (sh tests/setup.sh gcc libc6-dev libseccomp-dev): %v: %.200s", err, out)
	}
	return Libseccomp(bin)
}

func (l Libseccomp) run(t *testing.T, in string, args ...string) (out []byte, code int) {
	t.Helper()
	cmd := exec.Command(string(l), args...)
	cmd.Stdin = strings.NewReader(in)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 0 && cmd.ProcessState.ExitCode() != refused {
		t.Fatalf("%v: %s\n%s", err, stderr.String(), in)
	}
	return stdout.Bytes(), cmd.ProcessState.ExitCode()
}

// refused is export's exit code.
const refused = 3

// Filter is how libseccomp is asked for a program.
type Filter struct {
	Native specs.Arch // the machine that the program is for; the one this runs on if empty
	Tree   bool       // search by number, as runc asks for above 32 rules, not one by one
}

// Compile adds the rules as runc does. It answers nil where libseccomp refuses
// them.
func (l Libseccomp) Compile(t *testing.T, s *specs.LinuxSeccomp, f Filter) []Instruction {
	t.Helper()
	var in strings.Builder
	fallback := Action(s.DefaultAction, s.DefaultErrnoRet)
	fmt.Fprintf(&in, "default %x\n", fallback)
	if f.Native != "" {
		fmt.Fprintf(&in, "native %s\n", archName(f.Native))
	}
	for _, a := range s.Architectures {
		fmt.Fprintf(&in, "arch %s\n", archName(a))
	}
	if f.Tree {
		in.WriteString("tree\n")
	}
	ops := []specs.LinuxSeccompOperator{"", specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual}
	for _, c := range s.Syscalls {
		action := Action(c.Action, c.ErrnoRet)
		if action == fallback {
			continue
		}
		for _, name := range c.Names {
			for _, args := range Alternatives(c.Args) {
				fmt.Fprintf(&in, "rule %x %s %x", action, name, len(args))
				for _, a := range args {
					fmt.Fprintf(&in, " %x %x %x %x", a.Index, slices.Index(ops, a.Op), a.Value, a.ValueTwo)
				}
				in.WriteByte('\n')
			}
		}
	}
	out, code := l.run(t, in.String())
	if code == refused {
		return nil
	}
	program := make([]Instruction, len(out)/8)
	for i := range program {
		b := out[8*i:]
		program[i] = Instruction{binary.LittleEndian.Uint16(b), b[2], b[3], binary.LittleEndian.Uint32(b[4:])}
	}
	return program
}

// Numbers are what the library knows the calls of an architecture by; negative
// where it knows the call but not there, and absent where not at all.
func (l Libseccomp) Numbers(t *testing.T, a specs.Arch, names []string) map[string]int {
	t.Helper()
	out, _ := l.run(t, strings.Join(names, "\n"), "numbers", archName(a))
	lines := strings.Fields(string(out))
	if len(lines) != len(names) {
		t.Fatalf("%d numbers of %d names", len(lines), len(names))
	}
	numbers := map[string]int{}
	for i, line := range lines {
		if line == "unknown" {
			continue
		}
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		numbers[names[i]] = n
	}
	return numbers
}

func archName(a specs.Arch) string {
	return strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_"))
}

// Alternatives of which one must hold: conditions on different arguments belong
// together, two on one argument make each stand alone.
func Alternatives(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	count := map[uint]int{}
	for _, a := range args {
		if count[a.Index]++; count[a.Index] > 1 {
			var single [][]specs.LinuxSeccompArg
			for _, a := range args {
				single = append(single, []specs.LinuxSeccompArg{a})
			}
			return single
		}
	}
	return [][]specs.LinuxSeccompArg{args}
}

// Action is what a filter returns for it; 0, kill the thread, for what is not
// listed.
func Action(a specs.LinuxSeccompAction, errno *uint) uint32 {
	data := uint32(1)
	if errno != nil {
		data = uint32(*errno)
	}
	switch a {
	case specs.ActKillProcess:
		return 0x80000000
	case specs.ActTrap:
		return 0x00030000
	case specs.ActErrno:
		return 0x00050000 | data
	case specs.ActNotify:
		return 0x7fc00000
	case specs.ActTrace:
		return 0x7ff00000 | data
	case specs.ActLog:
		return 0x7ffc0000
	case specs.ActAllow:
		return 0x7fff0000
	}
	return 0
}
