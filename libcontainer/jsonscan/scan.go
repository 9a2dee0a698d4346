// Package jsonscan reads JSON of a known shape in a single pass. It knows only
// the ordinary case: each method answers false as soon as something is out of
// order, and the caller then has encoding/json find out what, at leisure. It
// exists because encoding/json builds its tables for a type on first use, which
// costs more than half a millisecond for a whole Spec in a process that lives
// for six.
package jsonscan

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Decoder is where the reading of one text stands.
type Decoder struct {
	Text string
	At   int
	// Bare is set when a number or boolean the specification calls REQUIRED is
	// missing, or a null was read: Go's zero value hides that from the checks.
	Bare bool
	// Nul is set when a string holds \u0000.
	Nul   bool
	depth int
}

// Object reads a whole text that is one object; member takes the value behind
// each name.
func (d *Decoder) Object(member func(d *Decoder, name string) bool) bool {
	return d.Members(member) && d.Peek() == 0 && d.At == len(d.Text) && !d.Nul
}

// Members reads an object.
func (d *Decoder) Members(member func(d *Decoder, name string) bool) bool {
	if !d.Open('{') {
		return false
	}
	for first := true; ; first = false {
		name, more, ok := d.Key(first)
		if !more {
			return ok
		}
		if !ok || !member(d, name) {
			return false
		}
	}
}

// maxDepth bounds the recursion through properties nobody knows.
// encoding/json stops at 10000; what is deeper than this goes there.
const maxDepth = 200

// Peek skips white space and returns the next byte, 0 at the end.
func (d *Decoder) Peek() byte {
	for d.At < len(d.Text) {
		switch c := d.Text[d.At]; c {
		case ' ', '\n', '\t', '\r':
			d.At++
		default:
			return c
		}
	}
	return 0
}

// Open takes the character that an array or object starts with.
func (d *Decoder) Open(c byte) bool {
	if d.Peek() != c {
		return false
	}
	d.At++
	return true
}

// Next moves to the next element of an array or object that ends with end.
// more is false behind the last one.
func (d *Decoder) Next(first bool, end byte) (more, ok bool) {
	c := d.Peek()
	if c == end {
		d.At++
		return false, true
	}
	if first {
		return true, c != 0
	}
	if c != ',' {
		return false, false
	}
	d.At++
	return true, d.Peek() != end
}

// Key reads the next property's name and its colon.
func (d *Decoder) Key(first bool) (name string, more, ok bool) {
	more, ok = d.Next(first, '}')
	if !more || !ok {
		return "", false, ok
	}
	if !d.String(&name) {
		return "", false, false
	}
	return name, true, d.Open(':')
}

// List reads an array; element takes each of its values.
func (d *Decoder) List(element func(d *Decoder) bool) bool {
	if !d.Open('[') {
		return false
	}
	for first := true; ; first = false {
		more, ok := d.Next(first, ']')
		if !more {
			return ok
		}
		if !ok || !element(d) {
			return false
		}
	}
}

// Raw takes a value as it stands there.
func (d *Decoder) Raw(v *string) bool {
	d.Peek()
	start := d.At
	ok := d.Skip()
	*v = d.Text[start:d.At]
	return ok
}

// Once reports a property that was there already: glossary.md, "JSON objects
// MUST NOT include duplicate names".
func Once(seen *uint64, bit uint64) bool {
	if *seen&bit != 0 {
		return false
	}
	*seen |= bit
	return true
}

// Null takes a null, which Bare then tells of.
func (d *Decoder) Null() bool {
	if d.Peek() == 'n' && strings.HasPrefix(d.Text[d.At:], "null") {
		d.At += 4
		d.Bare = true
		return true
	}
	return false
}

// Boolean reads true or false; null leaves v alone.
func (d *Decoder) Boolean(v *bool) bool {
	switch d.Peek() {
	case 't':
		if strings.HasPrefix(d.Text[d.At:], "true") {
			d.At += 4
			*v = true
			return true
		}
	case 'f':
		if strings.HasPrefix(d.Text[d.At:], "false") {
			d.At += 5
			*v = false
			return true
		}
	case 'n':
		return d.Null()
	}
	return false
}

// integer reads what JSON calls a number and Go an integer.
func (d *Decoder) integer() (lit string, ok bool) {
	d.Peek()
	start := d.At
	d.one("-")
	digits := d.At
	if n := d.digits(); n == 0 || n > 1 && d.Text[digits] == '0' {
		return "", false
	}
	if d.At < len(d.Text) {
		if c := d.Text[d.At]; c == '.' || c == 'e' || c == 'E' {
			return "", false
		}
	}
	return d.Text[start:d.At], true
}

// Signed reads a number into an integer of so many bits; null leaves v alone.
func Signed[T ~int | ~int8 | ~int16 | ~int32 | ~int64](d *Decoder, v *T, bits int) bool {
	if d.Null() {
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

// Unsigned is Signed for numbers without a sign.
func Unsigned[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](d *Decoder, v *T, bits int) bool {
	if d.Null() {
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

// Str reads a string; null leaves v alone.
func Str[T ~string](d *Decoder, v *T) bool {
	if d.Peek() == 'n' {
		return d.Null()
	}
	var s string
	if !d.String(&s) {
		return false
	}
	*v = T(s)
	return true
}

// String reads a string literal. What has no escapes shares the file's memory.
func (d *Decoder) String(v *string) bool {
	if d.Peek() != '"' {
		return false
	}
	d.At++
	for j := d.At; j < len(d.Text); j++ {
		switch c := d.Text[j]; {
		case c == '"':
			*v = d.Text[d.At:j]
			d.At = j + 1
			return true
		case c == '\\':
			return d.escaped(v, j)
		case c < ' ':
			return false
		}
	}
	return false
}

// escaped goes on with text at the first backslash, d.Text[j].
func (d *Decoder) escaped(v *string, j int) bool {
	b := make([]byte, 0, j-d.At+32)
	b = append(b, d.Text[d.At:j]...)
	for j < len(d.Text) {
		c := d.Text[j]
		switch {
		case c == '"':
			*v = string(b)
			d.At = j + 1
			return true
		case c < ' ':
			return false
		case c != '\\':
			b = append(b, c)
			j++
			continue
		}
		if j+1 >= len(d.Text) {
			return false
		}
		j += 2
		switch e := d.Text[j-1]; e {
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
			r, ok := hex4(d.Text, j)
			if !ok {
				return false
			}
			j += 4
			if utf16.IsSurrogate(r) {
				// A lone half becomes U+FFFD, as in encoding/json.
				pair := rune(utf8.RuneError)
				if strings.HasPrefix(d.Text[j:], `\u`) {
					if low, ok := hex4(d.Text, j+2); ok {
						pair = utf16.DecodeRune(r, low)
					}
				}
				if pair != utf8.RuneError {
					j += 6
				}
				r = pair
			}
			d.Nul = d.Nul || r == 0
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

// Ignore passes over the value of a property that is none of known. config.md,
// Extensibility: runtimes "MUST NOT generate an error if they encounter an
// unknown property". A name that differs from a known one in case only is left
// to encoding/json, which takes it: "hwConfig" of config-vm.md is "hwconfig" in
// the Go bindings and only works this way.
func (d *Decoder) Ignore(name string, known ...string) bool {
	for _, k := range known {
		if strings.EqualFold(name, k) {
			return false
		}
	}
	return d.Skip()
}

// Skip passes over a value.
func (d *Decoder) Skip() bool {
	d.depth++
	defer func() { d.depth-- }()
	if d.depth > maxDepth {
		return false
	}
	switch c := d.Peek(); c {
	case '{':
		d.At++
		for first := true; ; first = false {
			_, more, ok := d.Key(first)
			if !more {
				return ok
			}
			if !ok || !d.Skip() {
				return false
			}
		}
	case '[':
		d.At++
		for first := true; ; first = false {
			more, ok := d.Next(first, ']')
			if !more {
				return ok
			}
			if !ok || !d.Skip() {
				return false
			}
		}
	case '"':
		var s string
		nul := d.Nul
		ok := d.String(&s)
		d.Nul = nul
		return ok
	case 't', 'f':
		var b bool
		return d.Boolean(&b)
	case 'n':
		bare := d.Bare
		ok := d.Null()
		d.Bare = bare
		return ok
	default:
		return d.number()
	}
}

// number passes over any JSON number.
func (d *Decoder) number() bool {
	d.one("-")
	whole := d.At
	if n := d.digits(); n == 0 || n > 1 && d.Text[whole] == '0' {
		return false
	}
	if d.one(".") && d.digits() == 0 {
		return false
	}
	if !d.one("eE") {
		return true
	}
	d.one("+-")
	return d.digits() > 0
}

// one takes a character if it is one of those.
func (d *Decoder) one(of string) bool {
	if d.At < len(d.Text) && strings.IndexByte(of, d.Text[d.At]) >= 0 {
		d.At++
		return true
	}
	return false
}

// digits passes over them and answers how many there were.
func (d *Decoder) digits() int {
	start := d.At
	for d.At < len(d.Text) && '0' <= d.Text[d.At] && d.Text[d.At] <= '9' {
		d.At++
	}
	return d.At - start
}

// Anything reads a value whose shape is nobody's business (credentialSpec).
func (d *Decoder) Anything(v *any) bool {
	var raw string
	return d.Raw(&raw) && json.Unmarshal([]byte(raw), v) == nil
}
