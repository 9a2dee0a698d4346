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
