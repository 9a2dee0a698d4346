package bundle

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"wrun/libcontainer/jsonscan"
)

// explain walks valid JSON along a Go type and tells everything that the type
// cannot hold: values of another type or out of range, names that appear twice,
// strings with a NUL. encoding/json would stop at the first. It also lists the
// REQUIRED numbers and booleans that are missing. Only read on the way to an
// error message or an unusual file, so it may be slow.
func explain(base string, data []byte, t reflect.Type) (absent map[string]bool, problems []Problem) {
	d := &jsonscan.Decoder{Text: string(data)}
	e := &explainer{base: base, absent: map[string]bool{}}
	e.value("", tree(d), t)
	return e.absent, e.problems
}

// node is one JSON value: literal text, and what is in it.
type node struct {
	text string
	keys []string
	kids []*node
}

// tree reads any value; the syntax was checked before.
func tree(d *jsonscan.Decoder) *node {
	c := d.Peek()
	start := d.At
	n := &node{}
	switch c {
	case '{':
		d.At++
		for first := true; ; first = false {
			k, more, ok := d.Key(first)
			if !more || !ok {
				break
			}
			n.keys = append(n.keys, k)
			n.kids = append(n.kids, tree(d))
		}
	case '[':
		d.At++
		for first := true; ; first = false {
			more, ok := d.Next(first, ']')
			if !more || !ok {
				break
			}
			n.kids = append(n.kids, tree(d))
		}
	default:
		d.Skip()
	}
	n.text = d.Text[start:d.At]
	return n
}

// kind names the JSON type.
func (n *node) kind() string {
	switch {
	case n.text == "":
		return "nothing"
	case n.text[0] == '{':
		return "object"
	case n.text[0] == '[':
		return "array"
	case n.text[0] == '"':
		return "string"
	case n.text[0] == 't', n.text[0] == 'f':
		return "boolean"
	case n.text[0] == 'n':
		return "null"
	}
	return "number"
}

// show is the value for a message, on one line.
func (n *node) show() string {
	switch n.kind() {
	case "object":
		return "{…}"
	case "array":
		return "[…]"
	}
	return shorten(n.text)
}

type explainer struct {
	base     string
	absent   map[string]bool
	problems []Problem
}

func (e *explainer) wrong(path string, n *node, text string) {
	e.problems = append(e.problems, Problem{Path: path, Value: n.show(), Text: text, Clause: section(join(e.base, path))})
}

func (e *explainer) value(path string, n *node, t reflect.Type) {
	if n.kind() == "null" {
		return // encoding/json leaves the field alone, and so does everybody
	}
	switch t.Kind() {
	case reflect.Pointer:
		e.value(path, n, t.Elem())
	case reflect.Interface: // credentialSpec: anything goes
	case reflect.Struct:
		if n.kind() != "object" {
			e.wrong(path, n, "is "+article(n.kind())+", expected an object")
			return
		}
		e.object(path, n, t)
	case reflect.Map:
		if n.kind() != "object" {
			e.wrong(path, n, "is "+article(n.kind())+", expected an object")
			return
		}
		seen := map[string]bool{}
		for i, k := range n.keys {
			if seen[k] {
				e.twice(path, k)
			}
			seen[k] = true
			if strings.IndexByte(k, 0) >= 0 && path != "annotations" {
				e.wrong(entry(path, k), n.kids[i], "the name holds a NUL byte, which no system call can pass")
			}
			e.value(entry(path, k), n.kids[i], t.Elem())
		}
	case reflect.Slice:
		if n.kind() != "array" {
			e.wrong(path, n, "is "+article(n.kind())+", expected an array of "+strings.TrimPrefix(strings.TrimPrefix(expected(t.Elem()), "an "), "a ")+"s")
			return
		}
		for i, kid := range n.kids {
			e.value(index(path, i, ""), kid, t.Elem())
		}
	case reflect.String:
		var s string
		if json.Unmarshal([]byte(n.text), &s) != nil {
			e.wrong(path, n, "is "+article(n.kind())+", expected "+expected(t))
			return
		}
		if strings.IndexByte(s, 0) >= 0 && !strings.HasPrefix(path, "annotations") {
			e.wrong(path, n, "holds a NUL byte, which no system call can pass")
		}
	default:
		if json.Unmarshal([]byte(n.text), reflect.New(t).Interface()) == nil {
			return
		}
		if n.kind() == "number" && t.Kind() != reflect.Bool {
			e.wrong(path, n, "is no "+strings.TrimPrefix(expected(t), "an "))
			return
		}
		e.wrong(path, n, "is "+article(n.kind())+", expected "+expected(t))
	}
}

func (e *explainer) object(path string, n *node, t reflect.Type) {
	fields := reflect.VisibleFields(t)
	seen := make([]bool, len(fields))
	for i, k := range n.keys {
		at := lookup(fields, k)
		if at < 0 {
			continue
		}
		if seen[at] {
			e.twice(path, k)
		}
		seen[at] = true
		if n.kids[i].kind() == "null" {
			seen[at] = false
		}
		e.value(join(path, k), n.kids[i], fields[at].Type)
	}
	for i, f := range fields {
		key, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !seen[i] && key != "" && !strings.Contains(opts, "omitempty") && f.Type.Kind() != reflect.String {
			e.absent[join(path, key)] = true
		}
	}
}

// lookup finds the field that encoding/json would fill: the exact name, else
// one that differs in case only.
func lookup(fields []reflect.StructField, key string) int {
	folded := -1
	for i, f := range fields {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "":
		case name == key:
			return i
		case folded < 0 && strings.EqualFold(name, key):
			folded = i
		}
	}
	return folded
}

func (e *explainer) twice(path, key string) {
	e.problems = append(e.problems, Problem{Path: join(path, key), Text: "appears twice in its object", Clause: clauseJSON, Cure: "keep one"})
}

// expected describes a Go type in JSON's terms, with its article.
func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return expected(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16, reflect.Int8:
		bits := t.Bits()
		return "an integer from -" + strconv.FormatUint(1<<(bits-1), 10) + " to " + strconv.FormatUint(1<<(bits-1)-1, 10)
	default:
		return "an integer from 0 to " + strconv.FormatUint(1<<t.Bits()-1, 10)
	}
}

func article(kind string) string {
	switch kind {
	case "object", "array":
		return "an " + kind
	case "nothing":
		return kind
	}
	return "a " + kind
}
