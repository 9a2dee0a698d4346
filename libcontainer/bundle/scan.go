package bundle

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decoder reads the JSON of one file in a single pass. It knows only the
// ordinary case: each method answers false as soon as something is out of
// order, and explain (explain.go) then finds out what, at leisure. It exists
// because encoding/json builds its tables for the whole Spec on first use,
// which costs more than half a millisecond in a process that lives for six.
type decoder struct {
	s string
	i int
	// bare is set when a number or boolean the specification calls REQUIRED is
	// missing, or a null was read: Go's zero value hides that from the checks.
	bare bool
	// nul is set when a string holds \u0000.
	nul   bool
	depth int
}

// maxDepth bounds the recursion through properties nobody knows.
// encoding/json stops at 10000; what is deeper than this goes there.
const maxDepth = 200

// peek skips white space and returns the next byte, 0 at the end.
func (d *decoder) peek() byte {
	for d.i < len(d.s) {
		switch c := d.s[d.i]; c {
		case ' ', '\n', '\t', '\r':
			d.i++
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) open(c byte) bool {
	if d.peek() != c {
		return false
	}
	d.i++
	return true
}

// next moves to the next element of an array or object that ends with end.
// more is false behind the last one.
func (d *decoder) next(first bool, end byte) (more, ok bool) {
	c := d.peek()
	if c == end {
		d.i++
		return false, true
	}
	if first {
		return true, c != 0
	}
	if c != ',' {
		return false, false
	}
	d.i++
	return true, d.peek() != end
}

// key reads the next property's name and its colon.
func (d *decoder) key(first bool) (name string, more, ok bool) {
	more, ok = d.next(first, '}')
	if !more || !ok {
		return "", false, ok
	}
	if !d.text(&name) {
		return "", false, false
	}
	return name, true, d.open(':')
}

// once reports a property that was there already: glossary.md, "JSON objects
// MUST NOT include duplicate names".
func once(seen *uint64, bit uint64) bool {
	if *seen&bit != 0 {
		return false
	}
	*seen |= bit
	return true
}

func (d *decoder) null() bool {
	if d.peek() == 'n' && strings.HasPrefix(d.s[d.i:], "null") {
		d.i += 4
		d.bare = true
		return true
	}
	return false
}

func (d *decoder) boolean(v *bool) bool {
	switch d.peek() {
	case 't':
		if strings.HasPrefix(d.s[d.i:], "true") {
			d.i += 4
			*v = true
			return true
		}
	case 'f':
		if strings.HasPrefix(d.s[d.i:], "false") {
			d.i += 5
			*v = false
			return true
		}
	case 'n':
		return d.null()
	}
	return false
}

// integer reads what JSON calls a number and Go an integer.
func (d *decoder) integer() (lit string, ok bool) {
	c := d.peek()
	start := d.i
	if c == '-' {
		d.i++
	}
	digits := d.i
	for d.i < len(d.s) && '0' <= d.s[d.i] && d.s[d.i] <= '9' {
		d.i++
	}
	switch n := d.i - digits; {
	case n == 0, n > 1 && d.s[digits] == '0':
		return "", false
	}
	if d.i < len(d.s) {
		if c := d.s[d.i]; c == '.' || c == 'e' || c == 'E' {
			return "", false
		}
	}
	return d.s[start:d.i], true
}

func signed[T ~int | ~int8 | ~int16 | ~int32 | ~int64](d *decoder, v *T, bits int) bool {
	if d.null() {
		return true
	}
	lit, ok := d.integer()
	if !ok {
		return false
	}
	n, err := strconv.ParseInt(lit, 10, bits)
	*v = T(n)
	return err == nil
}

func unsigned[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](d *decoder, v *T, bits int) bool {
	if d.null() {
		return true
	}
	lit, ok := d.integer()
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(lit, 10, bits)
	*v = T(n)
	return err == nil
}

// str reads a string; null leaves v alone.
func str[T ~string](d *decoder, v *T) bool {
	if d.peek() == 'n' {
		return d.null()
	}
	var s string
	if !d.text(&s) {
		return false
	}
	*v = T(s)
	return true
}

// text reads a string literal. What has no escapes shares the file's memory.
func (d *decoder) text(v *string) bool {
	if d.peek() != '"' {
		return false
	}
	d.i++
	for j := d.i; j < len(d.s); j++ {
		switch c := d.s[j]; {
		case c == '"':
			*v = d.s[d.i:j]
			d.i = j + 1
			return true
		case c == '\\':
			return d.escaped(v, j)
		case c < ' ':
			return false
		}
	}
	return false
}

// escaped goes on with text at the first backslash, d.s[j].
func (d *decoder) escaped(v *string, j int) bool {
	b := make([]byte, 0, j-d.i+32)
	b = append(b, d.s[d.i:j]...)
	for j < len(d.s) {
		c := d.s[j]
		switch {
		case c == '"':
			*v = string(b)
			d.i = j + 1
			return true
		case c < ' ':
			return false
		case c != '\\':
			b = append(b, c)
			j++
			continue
		}
		if j+1 >= len(d.s) {
			return false
		}
		j += 2
		switch e := d.s[j-1]; e {
		case '"', '\\', '/':
			b = append(b, e)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := hex4(d.s, j)
			if !ok {
				return false
			}
			j += 4
			if utf16.IsSurrogate(r) {
				// A lone half becomes U+FFFD, as in encoding/json.
				pair := rune(utf8.RuneError)
				if strings.HasPrefix(d.s[j:], `\u`) {
					if low, ok := hex4(d.s, j+2); ok {
						pair = utf16.DecodeRune(r, low)
					}
				}
				if pair != utf8.RuneError {
					j += 6
				}
				r = pair
			}
			d.nul = d.nul || r == 0
			b = utf8.AppendRune(b, r)
		default:
			return false
		}
	}
	return false
}

func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// ignore passes over the value of a property that is none of known. config.md,
// Extensibility: runtimes "MUST NOT generate an error if they encounter an
// unknown property". A name that differs from a known one in case only is left
// to encoding/json, which takes it: "hwConfig" of config-vm.md is "hwconfig" in
// the Go bindings and only works this way.
func (d *decoder) ignore(name string, known ...string) bool {
	for _, k := range known {
		if strings.EqualFold(name, k) {
			return false
		}
	}
	return d.skip()
}

func (d *decoder) skip() bool {
	d.depth++
	defer func() { d.depth-- }()
	if d.depth > maxDepth {
		return false
	}
	switch c := d.peek(); c {
	case '{':
		d.i++
		for first := true; ; first = false {
			_, more, ok := d.key(first)
			if !more {
				return ok
			}
			if !ok || !d.skip() {
				return false
			}
		}
	case '[':
		d.i++
		for first := true; ; first = false {
			more, ok := d.next(first, ']')
			if !more {
				return ok
			}
			if !ok || !d.skip() {
				return false
			}
		}
	case '"':
		var s string
		nul := d.nul
		ok := d.text(&s)
		d.nul = nul
		return ok
	case 't', 'f':
		var b bool
		return d.boolean(&b)
	case 'n':
		bare := d.bare
		ok := d.null()
		d.bare = bare
		return ok
	default:
		return d.number()
	}
}

// number passes over any JSON number.
func (d *decoder) number() bool {
	start := d.i
	for d.i < len(d.s) && strings.IndexByte("+-.eE0123456789", d.s[d.i]) >= 0 {
		d.i++
	}
	return json.Valid([]byte(d.s[start:d.i]))
}

// anything reads a value whose shape is nobody's business (credentialSpec).
func (d *decoder) anything(v *any) bool {
	d.peek()
	start := d.i
	return d.skip() && json.Unmarshal([]byte(d.s[start:d.i]), v) == nil
}
