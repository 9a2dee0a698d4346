package image

import (
	"bytes"
	"debug/elf"
	"slices"
	"testing"
)

// maker is a module whose function at offset 8 has the name and is of code.
func maker(name string, code []byte, relocated bool) []byte {
	var relocations []elf.Rela64
	if relocated {
		relocations = []elf.Rela64{{Off: 9, Info: elf.R_INFO(1, uint32(elf.R_X86_64_PLT32))}}
	}
	return linkable(slices.Concat(bytes.Repeat([]byte{0x90}, 8), code), relocations,
		[]elf.Sym64{{}, {Name: 1}, {Name: 12, Shndx: 1, Value: 8}}, "\x00__fentry__\x00"+name+"\x00")
}

// TestRings: the function that makes rings begins with setting their size, where
// there is room for it; nothing else does.
func TestRings(t *testing.T) {
	enter := []byte{0xe8, 0, 0, 0, 0, 0xc3}
	sized := []byte{0xbe, 0, 1, 0, 0, 0xc3} // mov $256, %esi; ret
	for _, c := range []struct {
		what, name string
		code, want []byte
		relocated  bool
	}{
		{"it", ringMaker, enter, sized, true},
		{"another function", "vring_del_virtqueue", enter, append(nop[:], 0xc3), true},
		{"one that calls something else", ringMaker, enter, enter, false},
		{"one that ends at once", ringMaker, []byte{0xc3}, []byte{0xc3}, false},
	} {
		got, err := slim(maker(c.name, c.code, c.relocated))
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := f.Sections[1].Data(); err != nil || !bytes.Equal(text[8:], c.want) || !bytes.Equal(text[:8], bytes.Repeat([]byte{0x90}, 8)) {
			t.Errorf("%s: the code is % x, want % x (%v)", c.what, text, c.want, err)
		}
	}
}
