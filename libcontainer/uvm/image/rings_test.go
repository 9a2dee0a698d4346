package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// maker is a module whose function at offset 8 has the name and begins with code.
func maker(name string, at uint64, code []byte, relocated bool) []byte {
	le := binary.LittleEndian
	var relocations, symbols bytes.Buffer
	if relocated {
		_ = binary.Write(&relocations, le, elf.Rela64{Off: at + 1, Info: elf.R_INFO(1, uint32(elf.R_X86_64_PLT32))})
	}
	for _, s := range []elf.Sym64{{}, {Name: 1}, {Name: 12, Shndx: 1, Value: at}} {
		_ = binary.Write(&symbols, le, s)
	}
	text := progbits(16)
	text.Flags = uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR)
	return relocatable([]elf.Section64{text,
		{Type: uint32(elf.SHT_RELA), Link: 3, Info: 1, Entsize: 24, Addralign: 8},
		{Type: uint32(elf.SHT_SYMTAB), Link: 4, Info: 1, Entsize: 24, Addralign: 8}, {Type: uint32(elf.SHT_STRTAB), Addralign: 1}},
		[]string{".text", ".rela.text", ".symtab", ".strtab"},
		[][]byte{append(bytes.Repeat([]byte{0x90}, int(at)), code...), relocations.Bytes(), symbols.Bytes(), []byte("\x00__fentry__\x00" + name + "\x00")})
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
		got, err := slim(maker(c.name, 8, c.code, c.relocated))
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
