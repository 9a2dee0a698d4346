package libcontainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/jsonscan"
)

// factsVersion is the format of state.json. A wrun that finds another one
// leaves the container alone: it may run, and only its maker can undo it.
const factsVersion = 1

// facts are what was decided and done about one container: the content of
// state.json. Everything that can change by itself is observed instead.
type facts struct {
	Version     int               `json:"version"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Isolation   Isolation         `json:"isolation"`
	Created     time.Time         `json:"created"`
	Boot        string            `json:"boot"`      // the machine's boot id; everything a host made ends with its boot
	NoProcess   bool              `json:"noProcess"` // config.json has no process: start is an error
	Hooks       bool              `json:"hooks"`     // config.json has hooks for after create
	Complete    bool              `json:"complete"`  // create got to its end
	Annotations map[string]string `json:"annotations"`
	Handle      Handle            `json:"handle"` // never empty: facts are first saved when the host announces itself
}

// errDamaged marks a state.json that no wrun wrote whole.
var errDamaged = errors.New("state file is damaged")

// append encodes f behind b. By hand, because create saves several times and
// the first use of encoding/json's encoder costs more than all of them.
func (f *facts) append(b []byte) []byte {
	b = append(b, `{"version":`...)
	b = strconv.AppendInt(b, int64(f.Version), 10)
	b = appendString(append(b, `,"id":`...), f.ID)
	b = appendString(append(b, `,"bundle":`...), f.Bundle)
	b = appendString(append(b, `,"rootfs":`...), f.Rootfs)
	b = appendString(append(b, `,"isolation":{"kind":`...), string(f.Isolation.Kind))
	b = appendString(append(b, `,"os":`...), f.Isolation.OS)
	b = appendString(append(b, `,"host":`...), f.Isolation.Host)
	b = appendString(append(b, `,"reason":`...), f.Isolation.Reason)
	b = f.appendCreated(append(b, '}'))
	b = appendString(append(b, `,"boot":`...), f.Boot)
	b = strconv.AppendBool(append(b, `,"noProcess":`...), f.NoProcess)
	b = strconv.AppendBool(append(b, `,"hooks":`...), f.Hooks)
	b = strconv.AppendBool(append(b, `,"complete":`...), f.Complete)
	if len(f.Annotations) > 0 {
		b = append(b, `,"annotations":`...)
		sep := byte('{')
		for k, v := range f.Annotations {
			b = appendString(append(b, sep), k)
			b = appendString(append(b, ':'), v)
			sep = ','
		}
		b = append(b, '}')
	}
	if len(f.Handle) > 0 {
		b = append(append(b, `,"handle":`...), f.Handle...)
	}
	return append(b, "}\n"...)
}

func (f *facts) appendCreated(b []byte) []byte {
	b = append(b, `,"created":"`...)
	return append(f.Created.AppendFormat(b, time.RFC3339Nano), '"')
}

// wrote says whether data is a saved state of this very container and not of a
// later one of the same id. No string inside can pass for the member: its
// quotes would be escaped.
func (f *facts) wrote(data []byte) bool {
	return bytes.Contains(data, f.appendCreated(nil))
}

// appendString encodes s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as in encoding/json.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// parseFacts decodes the state file of container id. Its errors are errDamaged
// or tell of a foreign version.
func parseFacts(data []byte, id string) (*facts, error) {
	f, err := decodeFacts(data)
	if err != nil {
		// A foreign format may differ in anything but its version.
		var v struct {
			Version int `json:"version"`
		}
		if json.Unmarshal(data, &v) == nil && v.Version != factsVersion && v.Version != 0 {
			return nil, foreign(v.Version)
		}
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	switch {
	case f.Version == 0:
		return nil, fmt.Errorf("%w: no version", errDamaged)
	case f.Version != factsVersion:
		return nil, foreign(f.Version)
	case f.ID != id:
		return nil, fmt.Errorf("%w: it is about container %q", errDamaged, f.ID)
	case len(f.Handle) == 0 || string(f.Handle) == "null":
		return nil, fmt.Errorf("%w: no handle", errDamaged)
	}
	return f, nil
}

// decodeFacts reads what append wrote, and by encoding/json what anybody else did.
func decodeFacts(data []byte) (*facts, error) {
	f := new(facts)
	d := jsonscan.Decoder{Text: string(data)}
	if d.Object(f.member) && !d.Bare && utf8.ValidString(d.Text) {
		return f, nil
	}
	f = new(facts)
	return f, json.Unmarshal(data, f)
}

func (f *facts) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "version":
		return jsonscan.Signed(d, &f.Version, strconv.IntSize)
	case "id":
		return d.String(&f.ID)
	case "bundle":
		return d.String(&f.Bundle)
	case "rootfs":
		return d.String(&f.Rootfs)
	case "isolation":
		return d.Members(f.Isolation.member)
	case "created":
		var text string
		ok := d.String(&text)
		return ok && f.Created.UnmarshalText([]byte(text)) == nil
	case "boot":
		return d.String(&f.Boot)
	case "noProcess":
		return d.Boolean(&f.NoProcess)
	case "hooks":
		return d.Boolean(&f.Hooks)
	case "complete":
		return d.Boolean(&f.Complete)
	case "annotations":
		f.Annotations = map[string]string{}
		return d.Members(func(d *jsonscan.Decoder, name string) bool {
			var value string
			ok := d.String(&value)
			f.Annotations[name] = value
			return ok
		})
	case "handle":
		var raw string
		ok := d.Raw(&raw)
		f.Handle = Handle(raw)
		return ok
	}
	return false
}

func (i *Isolation) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "kind":
		return jsonscan.Str(d, &i.Kind)
	case "os":
		return d.String(&i.OS)
	case "host":
		return d.String(&i.Host)
	case "reason":
		return d.String(&i.Reason)
	}
	return false
}

func foreign(version int) error {
	err := fmt.Errorf("state file has format %d, this wrun knows format %d", version, factsVersion)
	return WithHint(err, "use the wrun that created the container")
}

// state renders f as the OCI state.
func (f *facts) state(status specs.ContainerState, pid int) *specs.State {
	s := &specs.State{
		Version:     specs.Version,
		ID:          f.ID,
		Status:      status,
		Pid:         pid,
		Bundle:      f.Bundle,
		Annotations: make(map[string]string, len(f.Annotations)+2),
	}
	for k, v := range f.Annotations {
		s.Annotations[k] = v
	}
	if f.Isolation.Kind != "" {
		s.Annotations[AnnotationIsolation] = string(f.Isolation.Kind)
		s.Annotations[AnnotationHost] = f.Isolation.Host
	}
	return s
}
