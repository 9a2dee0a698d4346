package main

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// This file knows VS_VERSIONINFO: a tree whose nodes are a length, the length
// of the value, whether that is text, a name and the value, each part aligned
// to four bytes, and then the children.

// versionInfo is the resource for a version of three numbers and its strings.
func versionInfo(version string, strings [][2]string) []byte {
	var table []byte
	for _, s := range strings {
		table = child(table, node(s[0], text(s[1]), true, nil))
	}
	const unicode = 1200
	translation := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, english), unicode)
	info := child(nil, node("StringFileInfo", nil, true, node(fmt.Sprintf("%04X%04X", english, unicode), nil, true, table)))
	info = child(info, node("VarFileInfo", nil, true, node("Translation", translation, false, nil)))
	return node("VS_VERSION_INFO", fixed(version), false, info)
}

// fixed is VS_FIXEDFILEINFO.
func fixed(version string) []byte {
	var major, minor, patch uint32
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		panic(err)
	}
	high, low := major<<16|minor, patch<<16
	const (
		signature = 0xfeef04bd
		structure = 1 << 16
		mask      = 0x3f
		windows   = 0x40004 // VOS_NT_WINDOWS32
		program   = 1       // VFT_APP
	)
	var b []byte
	for _, field := range [...]uint32{signature, structure, high, low, high, low, mask, 0, windows, program, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, field)
	}
	return b
}

func node(name string, value []byte, isText bool, children []byte) []byte {
	length, kind := len(value), uint16(0)
	if isText {
		length, kind = length/2, 1 // of text, in characters
	}
	b := binary.LittleEndian.AppendUint16(make([]byte, 2), uint16(length))
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = align(append(b, text(name)...))
	b = append(b, value...)
	if children != nil {
		b = append(align(b), children...)
	}
	binary.LittleEndian.PutUint16(b, uint16(len(b)))
	return b
}

// child adds a node to its elder brothers.
func child(brothers, b []byte) []byte { return append(align(brothers), b...) }

func align(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// text is UTF-16 with a zero behind it.
func text(s string) []byte {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return append(b, 0, 0)
}
