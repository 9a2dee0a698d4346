package wire

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// messages are as those of an ordinary start.
func messages() []any {
	process := &specs.Process{
		Args: []string{"sh", "-c", "echo \"ü\\n\""}, Env: []string{"PATH=/bin"}, Cwd: "/",
		User: specs.User{UID: 7, AdditionalGids: []uint32{8}}, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
	}
	return []any{
		&call{Op: OpHello, In: json.RawMessage(`{"version":1}`)},
		&Hello{Version: Version, Time: 1 << 60, Entropy: []uint64{0, 1, 1<<64 - 1}, Files: true},
		&Network{},
		&Create{
			ID: "c1", Streams: Streams{In: 2, Out: 4, Err: 6}, Sandbox: "s", NoNewKeyring: true,
			Spec:  json.RawMessage(`{"ociVersion":"1.0.0"}`),
			Start: json.RawMessage(`{"steps":[["umask",0,0,0,0,0,-1]]}`),
		},
		&Exec{ID: "e1", Container: "c1", Process: process, Streams: Streams{Out: 4}},
		&Target{ID: "c1"},
	}
}

// TestDecode: an ordinary message is read without encoding/json, and as it
// would have read it.
func TestDecode(t *testing.T) {
	for _, want := range messages() {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		if !fast(text, got) {
			t.Errorf("left to encoding/json: %s", text)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// TestReadSpec: an ordinary Spec is read without encoding/json, any other by it.
func TestReadSpec(t *testing.T) {
	limit := int64(1 << 30)
	want := &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "rootfs", Readonly: true}, Hostname: "h",
		Process: &specs.Process{
			Args: []string{"sh", "-c", "echo \"ü\\n\""}, Env: []string{"PATH=/bin"}, Cwd: "/",
			User: specs.User{UID: 7, AdditionalGids: []uint32{8}}, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
		},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid"}}},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}},
			Resources:  &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
		},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := new(specs.Spec); !scanSpec(text, got) || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	odd := &Create{Spec: json.RawMessage(`{"hostname":"a","hostname":"b"}`)}
	if got, err := odd.ReadSpec(); scanSpec(odd.Spec, new(specs.Spec)) || err != nil || got.Hostname != "b" {
		t.Errorf("what is left to encoding/json: %+v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", "{} {}", `{"hostname":1}`} {
		if got, err := (&Create{Spec: json.RawMessage(bad)}).ReadSpec(); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

// TestEncode: what is written by hand is what encoding/json reads.
func TestEncode(t *testing.T) {
	for _, want := range []any{
		call{Op: OpCreate, In: json.RawMessage(`{"a":1}`)},
		call{Op: OpSync},
		answer{}, answer{Out: json.RawMessage(`[1]`)}, answer{Err: &Error{Text: "t", Code: 3}},
		Created{Pid: 3}, Created{Pid: 3, Warnings: []string{"w"}},
		Exit{137},
	} {
		text, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(want))
		if err := json.Unmarshal(text, got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), want) {
			t.Errorf("%s is %+v, %v, not %+v", text, got.Elem(), err, want)
		}
	}
}

// FuzzDecode: what is read without encoding/json is what it would have read.
func FuzzDecode(f *testing.F) {
	for i, m := range messages() {
		text, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, string(text))
	}
	f.Fuzz(func(t *testing.T, kind int, text string) {
		all := messages()
		of := reflect.TypeOf(all[uint(kind)%uint(len(all))]).Elem()
		got, want := reflect.New(of).Interface(), reflect.New(of).Interface()
		if !fast(json.RawMessage(text), got) {
			return
		}
		if err := json.Unmarshal([]byte(text), want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}
