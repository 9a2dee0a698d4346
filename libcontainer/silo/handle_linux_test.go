package silo

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/jsonscan"
	"wrun/libcontainer/silo/cgroup"
)

// TestHandleIsWhatJSONWrites: the handle that was written by hand is read back
// whole, and is what encoding/json would have written.
func TestHandleIsWhatJSONWrites(t *testing.T) {
	handles := map[string]*handle{
		"empty": {Dir: "/run/wrun/x"},
		"full": {
			Dir: `/run/"odd" \\ dir/ü\n`,
			Group: &cgroup.Group{Path: "/a", Unit: "a.scope", Manager: "unix:path=/m", Invocation: "0f", Dirs: []cgroup.Dir{
				{Controllers: "cpu,cpuacct", Mount: "/sys/fs/cgroup/cpu", Path: "/b", Made: 2}, {Mount: "/m"},
			}},
			Pid: 7, Start: 1 << 60, Gate: 300, After: []string{"fcntl", "execveat"},
			Namespaces: []specs.LinuxNamespaceType{specs.PIDNamespace, specs.MountNamespace},
			OwnPids:    true, Program: "sh", HostRoot: "/rootfs", HostMount: 99,
		},
		"empty group": {Dir: "/d", Group: &cgroup.Group{Path: "/", Dirs: []cgroup.Dir{}}},
	}
	full := handles["full"]
	for _, whole := range []any{*full, *full.Group, full.Group.Dirs[0]} { // a member that is new
		v := reflect.ValueOf(whole)
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && v.Field(i).IsZero() {
				t.Errorf("%s.%s is not tested", v.Type(), f.Name)
			}
		}
	}
	for name, h := range handles {
		raw := h.encode()
		back, err := decodeHandle(raw)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, raw)
			continue
		}
		d := jsonscan.Decoder{Text: string(raw)}
		if !d.Object(new(handle).member) {
			t.Errorf("%s: reading stops at byte %d and leaves the handle to encoding/json\n%s", name, d.At, raw)
		}
		if !reflect.DeepEqual(back, h) {
			t.Errorf("%s: read back %+v, wrote %+v", name, back, h)
		}
		var ours, theirs any
		want, err := json.Marshal(h)
		if err == nil {
			err = json.Unmarshal(want, &theirs)
		}
		if err == nil {
			err = json.Unmarshal(raw, &ours)
		}
		if err != nil || !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s: %v\nours   %s\ntheirs %s", name, err, raw, want)
		}
	}
}
