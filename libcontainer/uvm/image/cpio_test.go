package image

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens")

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("%s differs (-update writes it):\n%s", name, got)
	}
}

// archived is what a reader finds in an archive.
type archived struct {
	Name   string
	Data   []byte
	fields [13]uint64 // of the header, in its order
}

func (a archived) line() string {
	const ino, mode, links, major, minor = 0, 1, 4, 9, 10
	return fmt.Sprintf("%2d %06o links %d, device %d:%d, %d bytes, %s",
		a.fields[ino], a.fields[mode], a.fields[links], a.fields[major], a.fields[minor], len(a.Data), a.Name)
}

// readCPIO reads an archive as the kernel does.
func readCPIO(t *testing.T, archive []byte) []archived {
	t.Helper()
	if len(archive)%512 != 0 {
		t.Errorf("the archive has %d bytes, no multiple of 512", len(archive))
	}
	var all []archived
	for at := 0; ; {
		const header = 110
		if len(archive) < at+header || string(archive[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		var a archived
		for i := range a.fields {
			field := string(archive[at+6+8*i : at+14+8*i])
			n, err := strconv.ParseUint(field, 16, 32)
			if err != nil || strings.ToUpper(field) != field {
				t.Fatalf("field %d at %d is %q", i, at, field)
			}
			a.fields[i] = n
		}
		const size, nameSize = 6, 11
		name := archive[at+header:][:a.fields[nameSize]]
		a.Name = strings.TrimSuffix(string(name), "\x00")
		at = (at + header + len(name) + 3) &^ 3
		a.Data = archive[at:][:a.fields[size]]
		at = (at + len(a.Data) + 3) &^ 3
		if a.Name == "TRAILER!!!" {
			if rest := bytes.Trim(archive[at:], "\x00"); len(rest) > 0 {
				t.Errorf("after the trailer: %q", rest)
			}
			return all
		}
		for i, field := range map[string]int{"uid": 2, "gid": 3, "mtime": 5, "check": 12} {
			if a.fields[field] != 0 {
				t.Errorf("%s: %s is %d", a.Name, i, a.fields[field])
			}
		}
		all = append(all, a)
	}
}

func TestWriteCPIO(t *testing.T) {
	var archive bytes.Buffer
	err := WriteCPIO(&archive, []Entry{
		{Name: "dev/sda", Mode: fs.ModeDevice | 0o660, Major: 8, Minor: 0},
		{Name: "dev/console", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, Major: 5, Minor: 1},
		{Name: "dev", Mode: fs.ModeDir | 0o755},
		{Name: "dev-fifo", Mode: fs.ModeNamedPipe | 0o644},
		{Name: "sh", Mode: fs.ModeSymlink | 0o777, Data: []byte("dev/sda")},
		{Name: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Name: "ab", Mode: fs.ModeSetuid | fs.ModeSetgid | 0o755, Data: []byte("12345")},
		{Name: ".", Mode: fs.ModeDir | 0o755},
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, a := range readCPIO(t, archive.Bytes()) {
		lines = append(lines, a.line())
	}
	padding := len(archive.Bytes()) - len(bytes.TrimRight(archive.Bytes(), "\x00"))
	checkGolden(t, "testdata/cpio.golden", strings.Join(lines, "\n")+"\n\n"+
		hex.Dump(archive.Bytes()[:archive.Len()-padding])+fmt.Sprintf("%d zeros\n", padding))
}

func TestWriteCPIORefuses(t *testing.T) {
	dir := Entry{Name: "a", Mode: fs.ModeDir | 0o755}
	for _, tt := range []struct {
		entries []Entry
		want    string
	}{
		{[]Entry{{Name: "/a"}}, `archiving "/a": the name is not a clean path from the root`},
		{[]Entry{dir, {Name: "a/../b"}}, `archiving "a/../b": the name is not a clean path from the root`},
		{[]Entry{{Name: ""}}, `archiving "": the name is not a clean path from the root`},
		{[]Entry{dir, dir}, "archiving a: the name stands twice"},
		{[]Entry{{Name: "b/c"}, dir}, "archiving b/c: b is no directory of the archive"},
		{[]Entry{{Name: "a"}, {Name: "a/b"}}, "archiving a/b: a is no directory of the archive"},
		{[]Entry{{Name: "s", Mode: fs.ModeSocket}}, "archiving s: mode S--------- is of no kind that the archive can hold"},
	} {
		if err := WriteCPIO(&bytes.Buffer{}, tt.entries); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// fullDisk takes so many bytes.
type fullDisk struct{ left int }

var errFull = errors.New("disk full")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteCPIOTellsOfAFullDisk(t *testing.T) {
	entries := []Entry{{Name: "a", Data: []byte("data")}}
	var whole bytes.Buffer
	if err := WriteCPIO(&whole, entries); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		if err := WriteCPIO(&fullDisk{n}, entries); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}
