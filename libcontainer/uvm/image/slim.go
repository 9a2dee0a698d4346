package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// needless are sections of a module that cost the VM time to load, under
// translation more than all else in it, and that it works without: how to walk
// the stack, which makes a crash's trace exact; types for programs of eBPF; where
// functions begin, for a tracer that puts itself there; which jumps to thunks a
// kernel that is in no need of them turns into plain ones, each decoded anew; which
// calls by way of a trampoline it makes direct ones, each through page tables of
// their own, six switches of them; where locks are, for a kernel that changes them
// for one processor, as it is told not to; and notes that only show up in /sys/module.
var needless = []string{".orc_unwind", ".orc_unwind_ip", ".BTF", "__mcount_loc", ".return_sites", ".retpoline_sites",
	".static_call_sites", ".smp_locks", ".note.gnu.build-id", ".note.Linux", ".note.gnu.property"}

// isNeedless knows a needless section and its relocations.
func isNeedless(section string) bool {
	return slices.Contains(needless, strings.TrimPrefix(section, ".rela")) //nolint:misspell // it is ELF's word
}

// slim is the module without its needless sections, silent to the tracer, with
// shorter rings, and without its signature, which the kernel would check, and which
// would not fit any more: the image is trusted as a whole. Sections keep their
// numbers, by which symbols and relocations name them; one that is left out is
// empty and of no type.
func slim(module []byte) ([]byte, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || f.Type != elf.ET_REL {
		return nil, fmt.Errorf("it is %v, %v, %v and not a module for x86-64", f.Class, f.Data, f.Type)
	}
	var header elf.Header64
	order := binary.LittleEndian
	if err := binary.Read(bytes.NewReader(module), order, &header); err != nil {
		return nil, err
	}
	sections := make([]elf.Section64, header.Shnum)
	// debug/elf has found each table to be inside the file.
	if err := binary.Read(bytes.NewReader(module[header.Shoff:]), order, sections); err != nil {
		return nil, err
	}
	module = bytes.Clone(module)
	relocations, err := silence(module, f)
	if err != nil {
		return nil, err
	}
	if err := shorten(module, f); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Write(make([]byte, header.Ehsize))
	for i := range sections {
		s := &sections[i]
		switch {
		case isNeedless(f.Sections[i].Name):
			*s = elf.Section64{Name: s.Name}
		case elf.SectionType(s.Type) == elf.SHT_NULL:
		default:
			align(&out, s.Addralign)
			if size, ok := relocations[i]; ok {
				s.Size = size
			}
			content, err := contents(module, f.Sections[i])
			if err != nil {
				return nil, err
			}
			s.Off = uint64(out.Len())
			out.Write(content[:min(s.Size, uint64(len(content)))])
		}
	}
	align(&out, 8)
	header.Shoff = uint64(out.Len())
	header.Phoff, header.Phnum = 0, 0 // which a module has no use for
	if err := binary.Write(&out, order, sections); err != nil {
		return nil, err
	}
	var first bytes.Buffer
	if err := binary.Write(&first, order, header); err != nil {
		return nil, err
	}
	copy(out.Bytes(), first.Bytes())
	return out.Bytes(), nil
}

func align(b *bytes.Buffer, to uint64) {
	for to > 1 && uint64(b.Len())%to != 0 {
		b.WriteByte(0)
	}
}
