package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/bundle"
	"wrun/libcontainer/jsonscan"
)

// The messages of a container's start are read and written without
// encoding/json, which builds tables for each type it meets: in a VM under
// translation that took a tenth of the time from the kernel's first process to
// the container's. What is not as this file has it is left to encoding/json.

// Decode reads the content of a call or an answer.
func Decode(in json.RawMessage, v any) error {
	if fast(in, v) {
		return nil
	}
	return json.Unmarshal(in, v)
}

// fast leaves v untouched where it answers false.
func fast(in json.RawMessage, v any) bool {
	d := jsonscan.Decoder{Text: string(in)}
	switch v := v.(type) {
	case *call:
		return scan(&d, v, (*call).member)
	case *Hello:
		return scan(&d, v, (*Hello).member)
	case *Network:
		return scan(&d, v, (*Network).member)
	case *Create:
		return scan(&d, v, (*Create).member)
	case *Exec:
		return scan(&d, v, (*Exec).member)
	case *Target:
		return scan(&d, v, (*Target).member)
	}
	return false
}

func scan[T any](d *jsonscan.Decoder, v *T, member func(*T, *jsonscan.Decoder, string) bool) bool {
	var read T
	ok := d.Object(func(d *jsonscan.Decoder, name string) bool { return member(&read, d, name) }) && utf8.ValidString(d.Text)
	if ok {
		*v = read
	}
	return ok
}

func (c *call) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "op":
		return d.String(&c.Op)
	case "in":
		var raw string
		ok := d.Raw(&raw)
		c.In = json.RawMessage(raw)
		return ok
	}
	return false
}

func (h *Hello) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "version":
		return jsonscan.Signed(d, &h.Version, strconv.IntSize)
	case "time":
		return jsonscan.Signed(d, &h.Time, 64)
	case "entropy":
		h.Entropy = []uint64{}
		return d.List(func(d *jsonscan.Decoder) bool {
			h.Entropy = append(h.Entropy, 0)
			return jsonscan.Unsigned(d, &h.Entropy[len(h.Entropy)-1], 64)
		})
	case "files":
		return d.Boolean(&h.Files)
	}
	return false
}

// member knows the VM without cards only.
func (n *Network) member(d *jsonscan.Decoder, name string) bool {
	return name == "interfaces" && d.Null()
}

func (c *Create) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "id":
		return d.String(&c.ID)
	case "spec":
		var raw string
		ok := d.Raw(&raw)
		c.Spec = json.RawMessage(raw)
		return ok
	case "start":
		var raw string
		ok := d.Raw(&raw)
		c.Start = json.RawMessage(raw)
		return ok
	case "streams":
		return d.Members(c.Streams.member)
	case "sandbox":
		return d.String(&c.Sandbox)
	case "noNewKeyring":
		return d.Boolean(&c.NoNewKeyring)
	}
	return false
}

// ReadSpec is the Spec of a Create.
func (c *Create) ReadSpec() (*specs.Spec, error) {
	s := new(specs.Spec)
	if scanSpec(c.Spec, s) {
		return s, nil
	}
	*s = specs.Spec{}
	if err := json.Unmarshal(c.Spec, s); err != nil {
		return nil, fmt.Errorf("read the container's Spec: %w", err)
	}
	return s, nil
}

// scanSpec may have filled a part of s where it answers false.
func scanSpec(text json.RawMessage, s *specs.Spec) bool {
	d := jsonscan.Decoder{Text: string(text)}
	return bundle.ScanSpec(&d, s) && d.Peek() == 0 && d.At == len(d.Text) && !d.Nul && utf8.ValidString(d.Text)
}

func (e *Exec) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "id":
		return d.String(&e.ID)
	case "container":
		return d.String(&e.Container)
	case "process":
		if e.Process != nil {
			return false
		}
		e.Process = new(specs.Process)
		return bundle.ScanProcess(d, e.Process)
	case "streams":
		return d.Members(e.Streams.member)
	}
	return false
}

func (t *Target) member(d *jsonscan.Decoder, name string) bool {
	return name == "id" && d.String(&t.ID)
}

func (s *Streams) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "in":
		return jsonscan.Unsigned(d, &s.In, 32)
	case "out":
		return jsonscan.Unsigned(d, &s.Out, 32)
	case "err":
		return jsonscan.Unsigned(d, &s.Err, 32)
	}
	return false
}

// encode writes what goes over the pipe.
func encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case call:
		return v.append(make([]byte, 0, len(v.In)+64)), nil
	case answer:
		if v.Err == nil {
			return v.append(make([]byte, 0, len(v.Out)+16)), nil
		}
	case Created:
		if len(v.Warnings) == 0 {
			return append(strconv.AppendInt([]byte(`{"pid":`), int64(v.Pid), 10), '}'), nil
		}
	case Exit:
		return append(strconv.AppendInt([]byte(`{"code":`), int64(v.Code), 10), '}'), nil
	}
	return json.Marshal(v)
}

// append writes a call. Ops are this package's, and In is JSON.
func (c call) append(b []byte) []byte {
	b = append(append(append(b, `{"op":"`...), c.Op...), '"')
	if len(c.In) > 0 {
		b = append(append(b, `,"in":`...), c.In...)
	}
	return append(b, '}')
}

func (a answer) append(b []byte) []byte {
	if len(a.Out) == 0 {
		return append(b, "{}"...)
	}
	return append(append(append(b, `{"out":`...), a.Out...), '}')
}
