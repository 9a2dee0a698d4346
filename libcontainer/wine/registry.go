package wine

import (
	"bytes"
	"fmt"
	"strings"
)

// This file is pure: it edits a registry as Wine keeps it in a file, so that a
// container's version, user and services need no program of Wine's to be run.

// value is one value of a key; data is written as Wine writes it.
type value struct{ key, name, data string }

func text(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func number(n uint32) string { return fmt.Sprintf("dword:%08x", n) }

// edit sets values in the text of a .reg file of a prefix. A key is a header line
// with a time behind it, its values follow until the next header.
func edit(registry []byte, values []value) []byte {
	for _, v := range values {
		registry = set(registry, v)
	}
	return registry
}

func set(registry []byte, v value) []byte {
	line := []byte(text(v.name) + "=" + v.data + "\n")
	head, end := section(registry, v.key)
	if head < 0 {
		more := "\n[" + strings.ReplaceAll(v.key, `\`, `\\`) + "] 1\n"
		return append(append(bytes.Clone(registry), more...), line...)
	}
	at, size := end, 0
	for from := head; from < end; {
		n := lineEnd(registry, from)
		if prefix := text(v.name) + "="; n-from >= len(prefix) && strings.EqualFold(string(registry[from:from+len(prefix)]), prefix) {
			at, size = from, n-from
			break
		}
		from = n
	}
	out := make([]byte, 0, len(registry)+len(line))
	out = append(out, registry[:at]...)
	out = append(out, line...)
	return append(out, registry[at+size:]...)
}

// section is where the values of a key begin and where they end, -1 for no such key.
func section(registry []byte, key string) (begin, end int) {
	head := "[" + strings.ReplaceAll(key, `\`, `\\`) + "]"
	for from := 0; from < len(registry); {
		n := lineEnd(registry, from)
		if n-from > len(head) && registry[from] == '[' && strings.EqualFold(string(registry[from:from+len(head)]), head) {
			begin = n
			end = begin
			for end < len(registry) && registry[end] != '\n' && registry[end] != '[' {
				end = lineEnd(registry, end)
			}
			return begin, end
		}
		from = n
	}
	return -1, -1
}

// lineEnd is behind the newline of the line that begins at from; a line that
// ends with a backslash goes on.
func lineEnd(registry []byte, from int) int {
	for {
		n := bytes.IndexByte(registry[from:], '\n')
		if n < 0 {
			return len(registry)
		}
		from += n + 1
		if n == 0 || registry[from-2] != '\\' {
			return from
		}
	}
}
