package image

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// tracer is what each function of a module calls first. The kernel makes it a
// nop where it knows of the call (__mcount_loc, which slim leaves out): else all
// functions go there and back, and fall into two blocks when they are translated.
const tracer = "__fentry__"

// nop is what the kernel itself writes over a call, which begins with call.
var nop = [...]byte{0x0f, 0x1f, 0x44, 0x00, 0x00}

const call = 0xe8

// silence makes nops of the calls of the tracer, in place, and moves the
// relocations that are left to the front of their sections, of which it answers
// the new sizes by number.
func silence(module []byte, f *elf.File) (map[int]uint64, error) {
	left := map[int]uint64{}
	symbols, err := f.Symbols()
	if err != nil {
		return left, nil //nolint:nilerr // without any, nothing is called
	}
	for i, s := range f.Sections {
		if s.Type != elf.SHT_RELA || int(s.Info) >= len(f.Sections) || f.Sections[s.Info].Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		text, err := contents(module, f.Sections[s.Info])
		if err != nil {
			return nil, err
		}
		entries, err := contents(module, s)
		if err != nil {
			return nil, err
		}
		const size = 24 // of a relocation with its addend
		kept := entries[:0]
		for ; len(entries) >= size; entries = entries[size:] {
			if e := entries[:size]; isTracer(e, symbols, text) {
				copy(text[binary.LittleEndian.Uint64(e)-1:], nop[:])
			} else {
				kept = append(kept, e...)
			}
		}
		left[i] = uint64(len(kept))
	}
	return left, nil
}

// isTracer says whether a relocation is of a call of the tracer in text.
func isTracer(entry []byte, symbols []elf.Symbol, text []byte) bool {
	at, info := binary.LittleEndian.Uint64(entry), binary.LittleEndian.Uint64(entry[8:])
	n := uint64(elf.R_SYM64(info))
	return n > 0 && n <= uint64(len(symbols)) && symbols[n-1].Name == tracer &&
		at > 0 && at < uint64(len(text)) && uint64(len(text))-at >= 4 && text[at-1] == call
}

// contents is a section's part of the file.
func contents(module []byte, s *elf.Section) ([]byte, error) {
	if s.Type == elf.SHT_NOBITS {
		return nil, nil
	}
	if end := s.Offset + s.FileSize; end < s.Offset || end > uint64(len(module)) {
		return nil, fmt.Errorf("section %s lies beyond the end", s.Name)
	}
	return module[s.Offset : s.Offset+s.FileSize], nil
}
