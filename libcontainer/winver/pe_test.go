package winver

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// testPE is a PE file of which nothing is real but the way to its version
// resource. edit changes its bytes.
type testPE struct {
	plus     bool // PE32+
	before   int  // resources of other types before the version's
	high     uint32
	low      uint32
	resource int // size of the version resource, 0: as it is
}

const (
	peAt      = 128
	sectionAt = 0x1000 // address of .rsrc
	rawAt     = 1024   // and its place in the file
)

func (p testPE) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, rawAt+2048)
	copy(b, "MZ")
	le.PutUint32(b[60:], peAt)
	copy(b[peAt:], "PE\x00\x00")
	size, magic, count := 96+16*8, uint16(0x10b), 92
	if p.plus {
		size, magic, count = 112+16*8, 0x20b, 108
	}
	le.PutUint16(b[peAt+6:], 2) // sections
	le.PutUint16(b[peAt+20:], uint16(size))
	optional := b[peAt+24:]
	le.PutUint16(optional, magic)
	le.PutUint32(optional[count:], 16)
	le.PutUint32(optional[count+4+2*8:], sectionAt)
	le.PutUint32(optional[count+4+2*8+4:], 2048)
	table := b[peAt+24+size:]
	le.PutUint32(table[12:], 0x500) // a first section without the resources
	le.PutUint32(table[16:], 0x100)
	le.PutUint32(table[40+12:], sectionAt)
	le.PutUint32(table[40+16:], 2048)
	le.PutUint32(table[40+20:], rawAt)

	tree := b[rawAt:]
	dir := func(at int, ids ...uint32) {
		le.PutUint16(tree[at+14:], uint16(len(ids)/2))
		for i := 0; i < len(ids); i += 2 {
			le.PutUint32(tree[at+16+i*4:], ids[i])
			le.PutUint32(tree[at+20+i*4:], ids[i+1])
		}
	}
	const sub = 1 << 31
	var types []uint32
	for i := range p.before {
		types = append(types, uint32(i+1), sub|0x700)
	}
	dir(0, append(types, 16, sub|0x200)...)
	dir(0x200, 1, sub|0x240)
	dir(0x240, 0x409, 0x280)
	if p.resource == 0 {
		p.resource = 40 + 52
	}
	le.PutUint32(tree[0x280:], sectionAt+0x300)
	le.PutUint32(tree[0x284:], uint32(p.resource))
	info := tree[0x300:]
	le.PutUint16(info, 40+52)
	le.PutUint16(info[2:], 52)
	for i, c := range "VS_VERSION_INFO" {
		le.PutUint16(info[6+2*i:], uint16(c))
	}
	le.PutUint32(info[40:], 0xFEEF04BD)
	le.PutUint32(info[48:], p.high)
	le.PutUint32(info[52:], p.low)
	return b
}

func ordinary() testPE { return testPE{plus: true, high: 10 << 16, low: 17763<<16 | 5458} }

const inLayer, plain = "Files/Windows/System32/ntdll.dll", "Windows/System32/ntdll.dll"

func layerOf(name string, b []byte) fs.FS { return fstest.MapFS{name: {Data: b, Mode: 0o644}} }

func TestImageVersion(t *testing.T) {
	want := Version{10, 0, 17763, 5458}
	old := testPE{high: 10 << 16, low: 14393<<16 | 1}
	many := ordinary()
	many.before = 9
	for _, c := range []struct {
		name  string
		layer fs.FS
		want  Version
	}{
		{"a layer of Windows", layerOf(inLayer, ordinary().bytes()), want},
		{"a plain tree", layerOf(plain, ordinary().bytes()), want},
		{"32 bits", layerOf(inLayer, old.bytes()), Version{10, 0, 14393, 1}},
		{"other resources first", layerOf(inLayer, many.bytes()), want},
		{"both, the layer's wins", fstest.MapFS{inLayer: {Data: ordinary().bytes()}, plain: {Data: old.bytes()}}, want},
		{"no Windows", fstest.MapFS{"etc/passwd": {}}, Version{}},
		{"nothing", fstest.MapFS{}, Version{}},
	} {
		got, err := ImageVersion(c.layer)
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

// TestOnDisk: the same through a real file system, where a folder may stand in
// the file's place.
func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, filepath.FromSlash(inLayer))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, ordinary().bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, err := ImageVersion(os.DirFS(dir)); err != nil || v.Build != 17763 {
		t.Errorf("%v, %v", v, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if v, err := ImageVersion(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder in its place: %v, %v", v, err)
	}
}

// TestBrokenImages: an error that says what is wrong with which file.
func TestBrokenImages(t *testing.T) {
	le := binary.LittleEndian
	const optional, tree = peAt + 24, rawAt
	for _, c := range []struct {
		name string
		edit func([]byte) []byte
		want string
	}{
		{"empty", func([]byte) []byte { return nil }, "not a complete PE file"},
		{"text", func([]byte) []byte { return bytes.Repeat([]byte("x"), 100) }, "begin with MZ"},
		{"no PE signature", func(b []byte) []byte { b[peAt] = 0; return b }, "no PE signature"},
		{"header beyond the end", func(b []byte) []byte { le.PutUint32(b[60:], rawAt+2040); return b }, "are missing"},
		{"cut off", func(b []byte) []byte { return b[:rawAt+0x300] }, "are missing"},
		{"many sections", func(b []byte) []byte { le.PutUint16(b[peAt+6:], 9999); return b }, "9999 sections"},
		{"unknown optional header", func(b []byte) []byte { b[optional] = 7; return b }, "unknown optional header"},
		{"no optional header", func(b []byte) []byte { le.PutUint16(b[peAt+20:], 0); return b }, "no version resource"},
		{"no resources", func(b []byte) []byte { le.PutUint32(b[optional+112+16:], 0); return b }, "no version resource"},
		{"few directories", func(b []byte) []byte { le.PutUint32(b[optional+108:], 2); return b }, "no version resource"},
		{"resources in no section", func(b []byte) []byte { le.PutUint32(b[optional+112+16:], 0x9000); return b }, "no section has the address"},
		{"no version among them", func(b []byte) []byte { le.PutUint32(b[tree+16:], 15); return b }, "no version resource"},
		{"no entries", func(b []byte) []byte { le.PutUint16(b[tree+14:], 0); return b }, "no version resource"},
		{"many entries", func(b []byte) []byte { le.PutUint16(b[tree+12:], 65535); return b }, "entries"},
		{"a leaf too high", func(b []byte) []byte { le.PutUint32(b[tree+20:], 0x200); return b }, "no version resource"},
		{"a tree too deep", func(b []byte) []byte { le.PutUint32(b[tree+0x240+20:], 1<<31); return b }, "no version resource"},
		{"a huge resource", func(b []byte) []byte { le.PutUint32(b[tree+0x284:], 1<<30); return b }, "1073741824 bytes"},
		{"a short resource", func(b []byte) []byte { le.PutUint32(b[tree+0x284:], 50); return b }, "no version resource"},
		{"another signature", func(b []byte) []byte { b[tree+0x300+40]++; return b }, "no version resource"},
	} {
		v, err := ImageVersion(layerOf(inLayer, c.edit(ordinary().bytes())))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), inLayer) {
			t.Errorf("%s: %v, %v; want an error about %s with %q", c.name, v, err, inLayer, c.want)
		}
	}
}

// FuzzVersion: whatever the file says, no panic and no large read.
func FuzzVersion(f *testing.F) {
	f.Add(ordinary().bytes())
	f.Add(testPE{high: 6<<16 | 3, low: 9600 << 16, before: 3}.bytes())
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &counted{r: bytes.NewReader(b)}
		v, err := peVersion(r)
		if err != nil && v != (Version{}) {
			t.Errorf("both %v and %v", v, err)
		}
		if r.largest > maxResource {
			t.Errorf("a read of %d bytes", r.largest)
		}
		if r.calls > 20 {
			t.Errorf("%d reads", r.calls)
		}
	})
}

type counted struct {
	r              *bytes.Reader
	calls, largest int
}

func (c *counted) ReadAt(b []byte, off int64) (int, error) {
	c.calls++
	c.largest = max(c.largest, len(b))
	return c.r.ReadAt(b, off)
}
