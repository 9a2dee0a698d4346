package wine

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"wrun/libcontainer"
)

const registry = "WINE REGISTRY Version 2\n;; All keys relative to \\\\Machine\n\n#arch=win64\n\n" +
	"[Software\\\\A] 100\n#time=1d\n\"One\"=\"1\"\n\"Two\"=hex:00,01,\\\n  02\n\n[Software\\\\A\\\\B] 100\n\"One\"=\"b\"\n"

// TestEdit: a value is set where its key is, or with its key at the end, and nothing
// else is touched.
func TestEdit(t *testing.T) {
	for _, tt := range []struct {
		v         value
		old, made string
	}{
		{value{`Software\A`, "One", text("new")}, `"One"="1"`, `"One"="new"`},
		{value{`software\a`, "one", number(17)}, `"One"="1"`, `"one"=dword:00000011`},
		{value{`Software\A`, "Two", text(`C:\x "y"`)}, "\"Two\"=hex:00,01,\\\n  02", `"Two"="C:\\x \"y\""`},
		{value{`Software\A\B`, "One", text("")}, `"One"="b"`, `"One"=""`},
		{value{`Software\A`, "Three", number(0)}, "  02\n", "  02\n\"Three\"=dword:00000000\n"},
		{value{`Software\C`, "X", text("y")}, "\"One\"=\"b\"\n", "\"One\"=\"b\"\n\n[Software\\\\C] 1\n\"X\"=\"y\"\n"},
	} {
		want := strings.Replace(registry, tt.old, tt.made, 1)
		if got := string(edit([]byte(registry), []value{tt.v})); got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", tt.v, got, want)
		}
	}
	once := edit([]byte(registry), defaultVersion.values())
	if twice := edit(once, defaultVersion.values()); !bytes.Equal(once, twice) {
		t.Error("what is set already is set in another way")
	}
}

func FuzzEdit(f *testing.F) {
	f.Add([]byte(registry), `Software\A`, "One")
	f.Add([]byte("["), "", "")
	f.Add([]byte("[\\"), `\`, `"`)
	f.Fuzz(func(_ *testing.T, data []byte, key, name string) {
		edit(data, []value{{key, name, text("x")}})
	})
}

func TestHand(t *testing.T) {
	in := `"A"="C:\\users\\ContainerAdministrator\\Temp"` + "\n" + `"B"="C:\\users\\ContainerAdministrators"` + "\n"
	want := `"A"="C:\\users\\ContainerUser\\Temp"` + "\n" + `"B"="C:\\users\\ContainerAdministrators"` + "\n"
	if got := string(hand([]byte(in), Administrator, Ordinary)); got != want {
		t.Errorf("%s", got)
	}
	if got := string(hand([]byte(want), Ordinary, Administrator)); got != in {
		t.Errorf("and back: %s", got)
	}
}

// TestReport: the last whole line with the nonce counts, whatever else a container
// wrote there.
func TestReport(t *testing.T) {
	for text, want := range map[string]report{
		"":                                       {},
		"n started 5 0\n":                        {"started", 5},
		"n started 5 0\nn exited":                {"started", 5},
		"n started 5 0\nn exited 3221225786 5\n": {"exited", 3221225786},
		"m exited 1 0\nn started 5 0\nm exited 1 0\n":  {"started", 5},
		"n exited 4294967296 0\n":                      {},
		"n exited -1 0\nn failed 2 0\n\x00\xff\n n\nn": {"failed", 2},
	} {
		if got := parseReport([]byte(text), "n"); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	out := "8 0 133497792000000000 10 20 4096 first.exe\r\nnonsense\r\n12 8 0 0 0 0 a b.exe\n9 8 x 0 0 0 c\n"
	table := parseTable(out, 12)
	if len(table) != 2 || table[0].Pid != 12 || table[0].Image != "a b.exe" || !table[0].Created.IsZero() {
		t.Fatalf("%+v", table)
	}
	want := libcontainer.ProcessInfo{Pid: 8, Image: "first.exe", Created: time.Date(2024, 1, 15, 8, 0, 0, 0, time.UTC),
		Kernel: time.Microsecond, User: 2 * time.Microsecond, Memory: 4096}
	if table[1] != want {
		t.Errorf("%+v, want %+v", table[1], want)
	}
}

// TestMachine: the program's machine is read off its header, and no file is too
// strange for that.
func TestMachine(t *testing.T) {
	pe := func(machine uint16) []byte {
		b := make([]byte, 200)
		copy(b, "MZ")
		binary.LittleEndian.PutUint32(b[60:], 100)
		copy(b[100:], "PE\x00\x00")
		binary.LittleEndian.PutUint16(b[104:], machine)
		return b
	}
	for machine, want := range map[uint16]string{0x8664: "", 0x14c: "32-bit x86", 0x1c4: "32-bit ARM", 0xaa64: "ARM64", 0x200: "machine type 0x200"} {
		m, err := machineOf(bytes.NewReader(pe(machine)))
		if err != nil || m != machine {
			t.Errorf("%#x: %#x, %v", machine, m, err)
			continue
		}
		err = checkMachine("x.exe", m)
		if want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%#x: %v, want %s", machine, err, want)
		}
	}
	for _, data := range [][]byte{nil, []byte("MZ"), pe(1)[:103], []byte("#!/bin/sh"), append(pe(1)[:60], 0xff, 0xff, 0xff, 0xff)} {
		if _, err := machineOf(bytes.NewReader(data)); err == nil {
			t.Errorf("%q is a program", data)
		}
	}
}

func TestProgramOf(t *testing.T) {
	for line, want := range map[string]string{
		`C:\a.exe b`: `C:\a.exe`, ` "C:\a b.exe" c`: `C:\a b.exe`, "cmd\t/c": "cmd", `"x`: "x", "": "",
	} {
		if got := programOf(line, []string{""}); got != want && line != "" {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got := programOf("", []string{`C:\a b.exe`, "c"}); got != `C:\a b.exe` {
		t.Errorf("of args: %q", got)
	}
	var paths []string
	for _, p := range searched("tool", `C:\work`) {
		paths = append(paths, strings.Join(p, "/"))
	}
	want := "work/tool windows/system32/tool windows/tool work/tool.exe windows/system32/tool.exe windows/tool.exe"
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if p := searched(`\\server\x.exe`, `C:\`); p != nil {
		t.Errorf("another machine's: %q", p)
	}
}

func TestWindowsError(t *testing.T) {
	for _, n := range []uint32{2, 3} {
		if err := windowsError(n); !strings.Contains(err.Error(), "executable file not found") || libcontainer.Hint(err) == "" {
			t.Errorf("%d: %v", n, err)
		}
	}
	if err := windowsError(9999); !strings.Contains(err.Error(), "Windows error 9999") {
		t.Error(err)
	}
}
