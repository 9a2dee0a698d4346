package main

import "encoding/binary"

// This file knows the forms of "PE Format" (Microsoft): the resource directory
// and the object file around it. Everything is little-endian.

const (
	typeVersion  = 16 // RT_VERSION
	typeManifest = 24 // RT_MANIFEST
	english      = 0x0409
)

// resource is one resource with name 1, in English.
type resource struct {
	kind uint32
	data []byte
}

// section lays out a .rsrc section: a tree of three levels (type, name,
// language), one entry for the data of each, the data. Its pointers to data are
// addresses in the image, so their places are returned for relocation.
func section(all []resource) (bytes []byte, relocations []uint32) {
	const directory, entry, dataEntry = 16, 8, 16
	n := uint32(len(all))
	names := directory + n*entry // where the second level begins
	leaves := names + n*2*(directory+entry)
	at := leaves + n*dataEntry // where the next data begins
	le := binary.LittleEndian
	addDirectory := func(entries uint16) {
		bytes = append(bytes, make([]byte, directory-2)...)
		bytes = le.AppendUint16(bytes, entries)
	}
	addEntry := func(id, offset uint32) { bytes = le.AppendUint32(le.AppendUint32(bytes, id), offset) }
	const below = 1 << 31 // the offset is of another directory

	addDirectory(uint16(n))
	for i, r := range all {
		addEntry(r.kind, below|(names+uint32(i)*2*(directory+entry)))
	}
	for i := range all {
		here := uint32(len(bytes))
		addDirectory(1)
		addEntry(1, below|(here+directory+entry))
		addDirectory(1)
		addEntry(english, leaves+uint32(i)*dataEntry)
	}
	for _, r := range all {
		relocations = append(relocations, uint32(len(bytes)))
		bytes = le.AppendUint32(bytes, at)
		bytes = le.AppendUint32(bytes, uint32(len(r.data)))
		bytes = append(bytes, make([]byte, 8)...) // code page, reserved
		at += uint32(len(r.data)+7) &^ 7
	}
	for _, r := range all {
		bytes = append(bytes, r.data...)
		bytes = append(bytes, make([]byte, -len(r.data)&7)...)
	}
	return bytes, relocations
}

// coff is an object file with one section and one symbol, which is the section.
func coff(m machine, section []byte, relocations []uint32) []byte {
	const header, sectionHeader, relocation = 20, 40, 10
	le := binary.LittleEndian
	data := uint32(header + sectionHeader)
	relocs := data + uint32(len(section))
	symbols := relocs + uint32(len(relocations))*relocation

	b := le.AppendUint16(nil, m.id)
	b = le.AppendUint16(b, 1) // sections
	b = le.AppendUint32(b, 0) // time
	b = le.AppendUint32(b, symbols)
	b = le.AppendUint32(b, 1) // symbols
	b = le.AppendUint16(b, 0) // size of the optional header
	b = le.AppendUint16(b, 0) // characteristics

	name := [8]byte{'.', 'r', 's', 'r', 'c'}
	b = append(b, name[:]...)
	b = le.AppendUint32(b, 0) // virtual size
	b = le.AppendUint32(b, 0) // virtual address
	b = le.AppendUint32(b, uint32(len(section)))
	b = le.AppendUint32(b, data)
	b = le.AppendUint32(b, relocs)
	b = le.AppendUint32(b, 0) // line numbers
	b = le.AppendUint16(b, uint16(len(relocations)))
	b = le.AppendUint16(b, 0)          // line numbers
	b = le.AppendUint32(b, 0x40000040) // initialised data, readable

	b = append(b, section...)
	for _, at := range relocations {
		b = le.AppendUint32(b, at)
		b = le.AppendUint32(b, 0) // the symbol
		b = le.AppendUint16(b, m.relocation)
	}
	b = append(b, name[:]...)
	b = le.AppendUint32(b, 0) // value
	b = le.AppendUint16(b, 1) // the first section
	b = le.AppendUint16(b, 0) // type
	b = append(b, 3, 0)       // IMAGE_SYM_CLASS_STATIC, no auxiliary symbols
	return le.AppendUint32(b, 4)
}
