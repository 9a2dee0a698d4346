package main

import (
	"bytes"
	"debug/pe"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestCommitted: the files that `go build` takes in are what this package
// writes (go generate ./internal/winres).
func TestCommitted(t *testing.T) {
	for _, m := range machines() {
		got, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, object(m)) {
			t.Errorf("%s is not what winres writes: go generate ./internal/winres", m.file)
		}
	}
}

// TestVersionIsMains: the resource speaks of the same version as --version.
func TestVersionIsMains(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("..", "..", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`version = "([0-9.]+)`).FindSubmatch(source)
	if found == nil || string(found[1]) != fileVersion {
		t.Errorf("main.go has version %s, the resource %s", found, fileVersion)
	}
}

func TestManifest(t *testing.T) {
	var m struct {
		XMLName   xml.Name `xml:"urn:schemas-microsoft-com:asm.v1 assembly"`
		Supported struct {
			ID string `xml:"Id,attr"`
		} `xml:"urn:schemas-microsoft-com:compatibility.v1 compatibility>application>supportedOS"`
		LongPaths string `xml:"application>windowsSettings>longPathAware"`
		Level     struct {
			Level string `xml:"level,attr"`
		} `xml:"urn:schemas-microsoft-com:asm.v3 trustInfo>security>requestedPrivileges>requestedExecutionLevel"`
	}
	if err := xml.Unmarshal([]byte(manifest), &m); err != nil {
		t.Fatal(err)
	}
	if m.Supported.ID != "{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}" || m.LongPaths != "true" || m.Level.Level != "asInvoker" {
		t.Errorf("%+v", m)
	}
}

// TestObject reads the files back with the standard library.
func TestObject(t *testing.T) {
	for _, m := range machines() {
		f, err := pe.NewFile(bytes.NewReader(object(m)))
		if err != nil {
			t.Fatalf("%s: %v", m.file, err)
		}
		s := f.Section(".rsrc")
		if f.Machine != m.id || s == nil || len(f.Sections) != 1 || len(s.Relocs) != 2 || len(f.Symbols) != 1 || f.Symbols[0].SectionNumber != 1 {
			t.Fatalf("%s: %+v", m.file, f)
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][]byte{versionInfo(fileVersion, strings()), []byte(manifest)} {
			r := s.Relocs[i]
			if r.Type != m.relocation || r.SymbolTableIndex != 0 {
				t.Errorf("relocation %+v", r)
			}
			entry := data[r.VirtualAddress:]
			at, size := le32(entry), le32(entry[4:])
			if !bytes.Equal(data[at:at+size], want) {
				t.Errorf("%s: resource %d is not at %d", m.file, i, at)
			}
		}
	}
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// TestWindres has binutils' own reader of resources look.
func TestWindres(t *testing.T) {
	windres, err := exec.LookPath("x86_64-w64-mingw32-windres")
	if err != nil {
		t.Skip("no second opinion: ", err)
	}
	file := filepath.Join(t.TempDir(), "r.o")
	if err := os.WriteFile(file, object(machines()[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(windres, "-J", "coff", "-O", "rc", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		`VERSIONINFO`, `FILEVERSION\s+0,\s*1,\s*0,\s*0`, `PRODUCTVERSION\s+0,\s*1,\s*0,\s*0`, `BLOCK "040904B0"`,
		`VALUE "OriginalFilename", "wrun\.exe`, `VALUE "Translation", 0x409, (1200|0x4b0)`, `LANGUAGE 9, 1`, `\b1 24\b`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %s in what windres reads:\n%s", want, strconv.Quote(string(out)))
		}
	}
}
