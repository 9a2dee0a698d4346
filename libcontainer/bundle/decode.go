package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/jsonscan"
)

//go:generate go run ./internal/gen -o decode_gen.go

// decode reads data into v: by the generated decoder fn when data is in order,
// else by encoding/json, with the same result. absent lists REQUIRED numbers
// and booleans that data lacks; problems is nil unless v could not be read. base
// is where v stands in a configuration ("process"), for the clauses named.
func decode[T any](base string, data []byte, v *T, fn func(*jsonscan.Decoder, *T) bool) (absent map[string]bool, problems []Problem) {
	if p := checkText(data); p != nil {
		return nil, p
	}
	d := jsonscan.Decoder{Text: string(data)}
	if d.Peek() == '{' && fn(&d, v) && d.Peek() == 0 && d.At == len(data) && !d.Nul {
		if !d.Bare {
			return nil, nil
		}
		absent, _ = explain(base, data, reflect.TypeFor[T]())
		return absent, nil
	}
	// The decoder may have filled half of v.
	*v = *new(T)
	if p := checkSyntax(data); p != nil {
		return nil, p
	}
	if absent, problems = explain(base, data, reflect.TypeFor[T]()); problems != nil {
		return nil, problems
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, []Problem{{Text: err.Error(), Clause: clauseJSON}}
	}
	return absent, nil
}

// ScanSpec reads a Spec that encoding/json has written. It answers false where
// something is out of order, and may have filled a part of s then.
func ScanSpec(d *jsonscan.Decoder, s *specs.Spec) bool { return decSpec(d, s) }

// ScanProcess is ScanSpec for a process alone.
func ScanProcess(d *jsonscan.Decoder, p *specs.Process) bool { return decProcess(d, p) }

// ScanResources is ScanSpec for linux.resources.
func ScanResources(d *jsonscan.Decoder, r *specs.LinuxResources) bool { return decLinuxResources(d, r) }

const clauseJSON = "glossary.md, JSON"

// checkText: glossary.md, "All configuration JSON MUST be encoded in UTF-8".
func checkText(data []byte) []Problem {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return []Problem{{Path: "1:1", Text: "the file starts with a byte order mark", Clause: clauseJSON, Cure: "save it as UTF-8 without BOM"}}
	}
	if utf8.Valid(data) {
		return nil
	}
	i := 0
	for {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return []Problem{{Path: position(data, i), Text: "not UTF-8: byte 0x" + strconv.FormatUint(uint64(data[i]), 16), Clause: clauseJSON, Cure: "save the file as UTF-8"}}
}

// checkSyntax names the place of the first syntax error.
func checkSyntax(data []byte) []Problem {
	var any json.RawMessage
	err := json.Unmarshal(data, &any)
	if err == nil {
		return nil
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return []Problem{{Text: "the file is empty", Clause: clauseJSON}}
	}
	var s *json.SyntaxError
	if !errors.As(err, &s) {
		return []Problem{{Text: err.Error(), Clause: clauseJSON}}
	}
	// Offset counts the bytes read, the offending one included.
	at := int(s.Offset) - 1
	if int(s.Offset) >= len(data) && s.Error() == "unexpected end of JSON input" {
		at = len(data)
	}
	return []Problem{{Path: position(data, at), Text: s.Error(), Clause: clauseJSON}}
}

// position is "line:column" of data[i], both counted from 1, columns in bytes.
func position(data []byte, i int) string {
	i = max(0, min(i, len(data)))
	line := 1 + bytes.Count(data[:i], []byte{'\n'})
	column := i - bytes.LastIndexByte(data[:i], '\n')
	return strconv.Itoa(line) + ":" + strconv.Itoa(column)
}
