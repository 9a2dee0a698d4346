package bundle

import "strings"

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Path   string // where: "linux.namespaces[2].type"; "" for the whole file
	Value  string // the offending value as JSON, "" when something is missing
	Text   string // what is wrong with it
	Clause string // where the specification says so: "config.md, Mounts"
	Cure   string // what to write instead; may be empty
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Path)
	if p.Value != "" {
		b.WriteString(" = ")
		b.WriteString(p.Value)
	}
	b.WriteString(": ")
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

// Error is one line for one problem; otherwise a line that counts them and one
// line for each.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	b.WriteString(": ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(p.String())
	}
	return b.String()
}
