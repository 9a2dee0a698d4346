package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
	"testing"
)

// relocatable is an object file with these sections, the names of its sections
// being the last.
func relocatable(sections []elf.Section64, names []string, contents [][]byte) []byte {
	table := []byte{0}
	for i, name := range names {
		sections[i].Name = uint32(len(table))
		table = append(append(table, name...), 0)
	}
	strtab := elf.Section64{Name: uint32(len(table)), Type: uint32(elf.SHT_STRTAB)}
	table = append(table, ".shstrtab\x00"...)
	all := append(append([]elf.Section64{{}}, sections...), strtab)
	contents = append(append([][]byte{nil}, contents...), table)
	const header = 64
	var data bytes.Buffer
	for i := range all {
		all[i].Off = uint64(header + data.Len())
		if all[i].Size == 0 {
			all[i].Size = uint64(len(contents[i]))
		}
		data.Write(contents[i])
	}
	var out bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: header, Shentsize: 64,
		Shoff: uint64(header + data.Len()), Shnum: uint16(len(all)), Shstrndx: uint16(len(all) - 1)}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	for _, v := range []any{h, data.Bytes(), all} {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return out.Bytes()
}

func progbits(align uint64) elf.Section64 {
	return elf.Section64{Type: uint32(elf.SHT_PROGBITS), Addralign: align}
}

func TestSlim(t *testing.T) {
	names := []string{".text", ".orc_unwind", ".orc_unwind_ip", ".rela.orc_unwind_ip", ".data", ".bss", ".BTF", ".symtab"}
	contents := [][]byte{[]byte("text"), []byte("unwind"), []byte("ip"), make([]byte, 48), []byte("data"), nil, []byte("types"), make([]byte, 48)}
	sections := []elf.Section64{progbits(16), progbits(2), progbits(4),
		{Type: uint32(elf.SHT_RELA), Link: 8, Info: 3, Entsize: 24, Addralign: 8}, progbits(32),
		{Type: uint32(elf.SHT_NOBITS), Size: 4096, Addralign: 64}, progbits(1),
		{Type: uint32(elf.SHT_SYMTAB), Link: 9, Info: 1, Entsize: 24, Addralign: 8}}
	module := relocatable(sections, names, contents)
	signed := append(bytes.Clone(module), "signature~Module signature appended~\n"...)
	got, err := slim(signed)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(got, []byte("signature")) || bytes.Contains(got, []byte("types")) || len(got) >= len(module) {
		t.Errorf("%d bytes of %d are left", len(got), len(module))
	}
	f, err := elf.NewFile(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		s, was := f.Sections[i+1], sections[i]
		if slices.Contains([]string{".orc_unwind", ".orc_unwind_ip", ".rela.orc_unwind_ip", ".BTF"}, name) {
			if s.Type != elf.SHT_NULL || s.Size != 0 || s.Flags != 0 {
				t.Errorf("%s is left: %+v", name, s.SectionHeader)
			}
			continue
		}
		if s.Name != name || s.Type != elf.SectionType(was.Type) || s.Link != was.Link || s.Info != was.Info || s.Offset%s.Addralign != 0 {
			t.Errorf("%s became %+v", name, s.SectionHeader)
		}
		if s.Type == elf.SHT_NOBITS {
			if s.Size != 4096 {
				t.Errorf("%s has %d bytes", name, s.Size)
			}
		} else if data, err := s.Data(); err != nil || !bytes.Equal(data, contents[i]) {
			t.Errorf("%s holds %q, %v", name, data, err)
		}
	}
	if again, err := slim(got); err != nil || !bytes.Equal(again, got) {
		t.Errorf("twice is not as once: %v", err)
	}
}

func TestSlimRefuses(t *testing.T) {
	program := testInit()
	program[16] = byte(elf.ET_EXEC)
	beyond := relocatable([]elf.Section64{{Type: uint32(elf.SHT_PROGBITS), Size: 1 << 40}}, []string{".text"}, [][]byte{[]byte("x")})
	for what, module := range map[string][]byte{"nothing": nil, "text": []byte("no module"), "a program": program, "one cut short": beyond} {
		if got, err := slim(module); err == nil {
			t.Errorf("%s: %d bytes", what, len(got))
		}
	}
}

// linkable is an object file of code with its relocations and symbols, whose names
// are in the table names.
func linkable(code []byte, relocations []elf.Rela64, symbols []elf.Sym64, names string) []byte {
	var r, s bytes.Buffer
	for buffer, entries := range map[*bytes.Buffer]any{&r: relocations, &s: symbols} {
		if err := binary.Write(buffer, binary.LittleEndian, entries); err != nil {
			panic(err)
		}
	}
	text := progbits(16)
	text.Flags = uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR)
	return relocatable([]elf.Section64{text,
		{Type: uint32(elf.SHT_RELA), Link: 3, Info: 1, Entsize: 24, Addralign: 8},
		{Type: uint32(elf.SHT_SYMTAB), Link: 4, Info: 1, Entsize: 24, Addralign: 8}, {Type: uint32(elf.SHT_STRTAB), Addralign: 1}},
		[]string{".text", ".rela.text", ".symtab", ".strtab"}, [][]byte{code, r.Bytes(), s.Bytes(), []byte(names)})
}

// TestSilence: a call of the tracer becomes a nop and its relocation goes; others
// stay as they are.
func TestSilence(t *testing.T) {
	le := binary.LittleEndian
	relocations := []elf.Rela64{
		{Off: 1, Info: elf.R_INFO(1, uint32(elf.R_X86_64_PLT32))},  // call __fentry__
		{Off: 6, Info: elf.R_INFO(2, uint32(elf.R_X86_64_PLT32))},  // call other
		{Off: 11, Info: elf.R_INFO(1, uint32(elf.R_X86_64_PLT32))}, // jmp __fentry__, which is no call
		{Off: 16, Info: elf.R_INFO(1, uint32(elf.R_X86_64_PLT32))}, // call __fentry__
		{Off: 18, Info: elf.R_INFO(1, uint32(elf.R_X86_64_PLT32))}, // reaches beyond the end
	}
	code := []byte{0xe8, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0, 0xe8, 0xe8, 0, 0, 0}
	got, err := slim(linkable(code, relocations, []elf.Sym64{{}, {Name: 1}, {Name: 12}}, "\x00__fentry__\x00other\x00"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(nop[:], code[5:15], nop[:])
	if text, err := f.Sections[1].Data(); err != nil || !bytes.Equal(text, want) {
		t.Errorf("the code is % x, want % x (%v)", text, want, err)
	}
	entries, err := f.Sections[2].Data()
	if err != nil || len(entries) != 3*24 {
		t.Fatalf("%d bytes of relocations are left, want three (%v)", len(entries), err)
	}
	for i, off := range []uint64{6, 11, 18} {
		if at := le.Uint64(entries[i*24:]); at != off {
			t.Errorf("relocation %d is at %d, want %d", i, at, off)
		}
	}
}
