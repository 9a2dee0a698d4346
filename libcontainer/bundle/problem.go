package bundle

import (
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Path   string // where: "linux.namespaces[2].type", "3:14" (line:column) for bad JSON, "" for the whole file
	Value  string // the offending value as JSON, shortened; "" when something is missing
	Text   string // what is wrong with it
	Clause string // where the specification says so: "config.md, Mounts"
	Cure   string // what to write instead; may be empty
}

// String is one line: path = value: text; cure (clause).
func (p Problem) String() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path)
		if p.Value != "" {
			b.WriteString(" = ")
			b.WriteString(p.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Cure != "" {
		b.WriteString("; ")
		b.WriteString(p.Cure)
	}
	if p.Clause != "" {
		b.WriteString(" (")
		b.WriteString(p.Clause)
		b.WriteString(")")
	}
	return b.String()
}

// Error holds all problems of one file.
type Error struct {
	File     string // what was read: a path, or "process", "resources"
	Problems []Problem
}

// listed bounds what Error prints: a hostile file may have a million problems.
const listed = 50

// Error is one line for one problem; otherwise a line that counts them and one
// line for each.
func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return e.File + ": " + e.Problems[0].String()
	}
	var b strings.Builder
	b.WriteString(e.File + ": " + strconv.Itoa(len(e.Problems)) + " problems")
	for i, p := range e.Problems {
		if i == listed {
			b.WriteString("\n  and " + strconv.Itoa(len(e.Problems)-listed) + " more")
			break
		}
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// shown bounds a value in a message, in bytes.
const shown = 80

func shorten(s string) string {
	if len(s) <= shown {
		return s
	}
	cut := shown
	for cut > 0 && s[cut]&0xc0 == 0x80 { // not within a character
		cut--
	}
	return s[:cut] + "…"
}

// quote is a string value as it stands in a message: always on one line.
func quote[T ~string](s T) string { return shorten(strconv.Quote(string(s))) }

func join(path, key string) string {
	switch {
	case path == "":
		return key
	case key == "":
		return path
	}
	return path + "." + key
}

// index is the path of an array's element, or with key of a property of it.
func index(path string, i int, key string) string {
	s := path + "[" + strconv.Itoa(i) + "]"
	if key != "" {
		s += "." + key
	}
	return s
}

// entry is the path of a map's value: linux.sysctl["net.ipv4.ip_forward"].
func entry(path, key string) string { return path + "[" + quote(key) + "]" }

// section says which part of the specification a path belongs to.
func section(path string) string {
	top, rest, _ := strings.Cut(path, ".")
	top, _, _ = strings.Cut(top, "[")
	next, _, _ := strings.Cut(rest, ".")
	next, _, _ = strings.Cut(next, "[")
	switch top {
	case "linux", "windows", "vm", "solaris", "zos", "freebsd":
		if next == "" {
			return "config-" + top + ".md"
		}
		return "config-" + top + ".md, " + next
	case "":
		return "config.md"
	}
	return "config.md, " + top
}
