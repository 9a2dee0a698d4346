package silo

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"wrun/libcontainer/jsonscan"
)

// How a Plan gets from the machine that compiled it to the one where its child
// walks it: as JSON of few forms, because whoever reads it may be a guest whose
// instructions are translated, each at the price of its first execution. A step is
//
//	["call", reason, save, skip, want, rescues, errno, skip, …, argument, …]
//
// where the reason is an index into the list of all, each there once. An Int is a
// number, an Argv a list of its slot and its words, and any other argument a
// string whose first character tells what it is.
const (
	tagStr    = 's'
	tagFlags  = 'x'
	tagSlot   = '$'
	tagFile   = 'f'
	tagBytes  = 'b'
	tagHow    = 'h'
	tagFilter = 'p'
	tagSend   = 'm'
	tagRecv   = 'r'
	tagAttr   = 'a'
)

// append writes the members of p, each behind a comma. Its warnings stay: they
// are for who had it compiled.
func (p *Plan) append(b []byte) []byte {
	var whys []string
	index := map[string]int{}
	for _, list := range [][]Step{p.Steps, p.Errands} {
		for i := range list {
			if _, ok := index[list[i].Why]; !ok {
				index[list[i].Why] = len(whys)
				whys = append(whys, list[i].Why)
			}
		}
	}
	b = appendNumber(b, "clone", p.CloneFlags)
	b = appendText(b, "pids", string(p.Pids))
	if p.Visible {
		b = append(appendName(b, "visible"), "true"...)
	}
	b = appendNumber(b, "slots", uint64(p.Slots))
	b = appendList(b, "whys", whys)
	b = appendSteps(b, "steps", p.Steps, index)
	return appendSteps(b, "errands", p.Errands, index)
}

func appendSteps(b []byte, name string, steps []Step, whys map[string]int) []byte {
	if len(steps) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i := range steps {
		if i > 0 {
			b = append(b, ',')
		}
		b = steps[i].append(b, whys[steps[i].Why])
	}
	return append(b, ']')
}

func (s *Step) append(b []byte, why int) []byte {
	b = appendString(append(b, '['), s.Call)
	for _, n := range [...]int{why, int(s.Save), s.Skip, s.Want, len(s.Rescue)} {
		b = strconv.AppendInt(append(b, ','), int64(n), 10)
	}
	for _, r := range s.Rescue {
		b = strconv.AppendUint(append(b, ','), uint64(r.Errno), 10)
		b = strconv.AppendInt(append(b, ','), int64(r.Skip), 10)
	}
	for _, a := range s.Args {
		b = appendArg(append(b, ','), a)
	}
	return append(b, ']')
}

func appendArg(b []byte, a Arg) []byte {
	switch a := a.(type) {
	case Int:
		return strconv.AppendInt(b, int64(a), 10)
	case Str:
		return appendString(b, string(tagStr)+string(a))
	case Flags:
		return appendTagged(b, tagFlags, uint64(a))
	case Slot:
		return append(strconv.AppendInt(append(b, '"', tagSlot), int64(a), 10), '"')
	case File:
		return appendString(b, string(tagFile)+string(a))
	case Bytes:
		return append(hex.AppendEncode(append(b, '"', tagBytes), a), '"')
	case How:
		return appendTagged(b, tagHow, a.Flags, a.Mode, a.Resolve)
	case Argv:
		b = strconv.AppendInt(append(b, '['), int64(a.Program), 10)
		for _, w := range a.Words {
			b = appendString(append(b, ','), w)
		}
		return append(b, ']')
	case Filter:
		return append(hex.AppendEncode(append(b, '"', tagFilter), a.Program), '"')
	case SendFD:
		return append(strconv.AppendInt(append(b, '"', tagSend), int64(a.Descriptor), 10), '"')
	case RecvFD:
		return append(b, '"', tagRecv, '"')
	case MountAttr:
		return appendString(b, string(tagAttr)+strconv.FormatUint(a.Set, 16)+","+string(a.Userns))
	}
	panic(fmt.Sprintf("an argument of type %T", a)) // Arg says which there are
}

// appendTagged writes numbers in hexadecimal.
func appendTagged(b []byte, tag byte, numbers ...uint64) []byte {
	b = append(b, '"', tag)
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, n, 16)
	}
	return append(b, '"')
}

// member reads what append has written; false: there is no member of that name,
// or it is something else.
func (p *Plan) member(d *jsonscan.Decoder, whys *[]string, name string) bool {
	switch name {
	case "clone":
		return jsonscan.Unsigned(d, &p.CloneFlags, 64)
	case "pids":
		return jsonscan.Str(d, &p.Pids)
	case "visible":
		return d.Boolean(&p.Visible)
	case "slots":
		return jsonscan.Signed(d, &p.Slots, strconv.IntSize)
	case "whys":
		*whys = []string{}
		return d.List(func(d *jsonscan.Decoder) bool {
			*whys = append(*whys, "")
			return d.String(&(*whys)[len(*whys)-1])
		})
	case "steps":
		return scanSteps(d, &p.Steps, *whys)
	case "errands":
		return scanSteps(d, &p.Errands, *whys)
	}
	return false
}

func scanSteps(d *jsonscan.Decoder, steps *[]Step, whys []string) bool {
	list := make([]Step, 0, 128)
	ok := d.List(func(d *jsonscan.Decoder) bool {
		list = append(list, Step{})
		return list[len(list)-1].scan(d, whys)
	})
	*steps = list
	return ok
}

// scan reads one step.
func (s *Step) scan(d *jsonscan.Decoder, whys []string) bool {
	const head = 6 // the call and five numbers
	var number [head - 1]int
	at, rescue := 0, 0
	ok := d.List(func(d *jsonscan.Decoder) bool {
		at++
		switch {
		case at == 1:
			return d.String(&s.Call)
		case at <= head:
			return jsonscan.Signed(d, &number[at-2], strconv.IntSize)
		case rescue < 2*number[head-2]:
			rescue++
			if rescue%2 == 1 {
				s.Rescue = append(s.Rescue, Rescue{})
				return jsonscan.Unsigned(d, &s.Rescue[len(s.Rescue)-1].Errno, 16)
			}
			return jsonscan.Signed(d, &s.Rescue[len(s.Rescue)-1].Skip, strconv.IntSize)
		}
		if s.Args == nil {
			s.Args = make([]Arg, 0, 6)
		}
		a, ok := scanArg(d)
		s.Args = append(s.Args, a)
		return ok
	})
	if !ok || at < head || rescue < 2*number[head-2] || number[0] < 0 || number[0] >= len(whys) {
		return false
	}
	s.Why, s.Save, s.Skip, s.Want = whys[number[0]], Slot(number[1]), number[2], number[3]
	return true
}

func scanArg(d *jsonscan.Decoder) (Arg, bool) {
	switch d.Peek() {
	case '"':
		var s string
		if !d.String(&s) || s == "" {
			return nil, false
		}
		return tagged(s[0], s[1:])
	case '[':
		var a Argv
		first := true
		ok := d.List(func(d *jsonscan.Decoder) bool {
			if first {
				first = false
				return jsonscan.Signed(d, &a.Program, strconv.IntSize)
			}
			a.Words = append(a.Words, "")
			return d.String(&a.Words[len(a.Words)-1])
		})
		return a, ok && !first
	}
	var n Int
	return n, jsonscan.Signed(d, &n, 64)
}

func tagged(tag byte, s string) (Arg, bool) {
	switch tag {
	case tagStr:
		return Str(s), true
	case tagFlags:
		n, err := strconv.ParseUint(s, 16, 64)
		return Flags(n), err == nil
	case tagSlot:
		n, err := strconv.ParseInt(s, 10, strconv.IntSize)
		return Slot(n), err == nil
	case tagFile:
		return File(s), true
	case tagBytes:
		data, err := hex.DecodeString(s)
		return Bytes(data), err == nil
	case tagHow:
		var n [3]uint64
		for i := range n {
			part, rest, _ := strings.Cut(s, ",")
			var err error
			if n[i], err = strconv.ParseUint(part, 16, 64); err != nil {
				return nil, false
			}
			s = rest
		}
		return How{n[0], n[1], n[2]}, s == ""
	case tagFilter:
		data, err := hex.DecodeString(s)
		return Filter{data}, err == nil && len(data) > 0
	case tagSend:
		n, err := strconv.ParseInt(s, 10, strconv.IntSize)
		return SendFD{Slot(n)}, err == nil
	case tagRecv:
		return RecvFD{}, s == ""
	case tagAttr:
		set, users, _ := strings.Cut(s, ",")
		n, err := strconv.ParseUint(set, 16, 64)
		return MountAttr{n, File(users)}, err == nil
	}
	return nil, false
}

// The members that are left out are those that are zero.

func appendText(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(appendName(b, name), s)
}

func appendNumber(b []byte, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(appendName(b, name), n, 10)
}

func appendList[S ~string](b []byte, name string, list []S) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, string(s))
	}
	return append(b, ']')
}

func appendName(b []byte, name string) []byte {
	return append(append(append(b, ',', '"'), name...), '"', ':')
}

// appendString quotes s; encoding/json does it where something needs escaping.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string
				panic(err)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
