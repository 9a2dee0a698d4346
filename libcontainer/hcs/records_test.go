package hcs

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"wrun/libcontainer/hcsdoc"
)

func TestHandle(t *testing.T) {
	h := &handle{
		Dir: `C:\ProgramData\wrun\c1`, System: "c1", API: apiV2, OS: "windows",
		VM:   &machine{System: "pod@vm", Dir: `C:\ProgramData\wrun\pod`, Attached: []attachment{{What: "share", Undo: json.RawMessage(`{"a":1}`), Key: "k", Grant: `C:\x`}}},
		Net:  &network{Namespace: "ns", Made: true, Endpoints: []string{"e1"}},
		Disk: &storage{Scratch: `C:\scratch`},
		Gate: &monitor{Pid: 7, Created: 133, Pipe: `\\.\pipe\x`},
	}
	got, err := decodeHandle(h.encode())
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "null", "[]", "{", `{"dir":"d","api":"v2"}`, `{"system":"s","api":"v2"}`, `{"dir":"d","system":"s","api":"v3"}`, `{"dir":1,"system":"s","api":"v1"}`} {
		if h, err := decodeHandle([]byte(bad)); err == nil {
			t.Errorf("decodeHandle(%s) = %+v", bad, h)
		}
	}
	for _, c := range []struct {
		h    handle
		want hcsdoc.Kind
	}{
		{handle{Silo: true, API: apiV2}, hcsdoc.KindSilo}, {handle{API: apiV1}, hcsdoc.KindSingle}, {handle{API: apiV2}, hcsdoc.KindHosted},
	} {
		if got := c.h.kind(); got != c.want {
			t.Errorf("%+v is %s, want %s", c.h, got, c.want)
		}
	}
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	var e ending
	if found, err := readRecord(dir, exitFile, &e); found || err != nil {
		t.Errorf("no record: %v, %v", found, err)
	}
	want := ending{Code: 0xC000013A, Why: "because"}
	if err := writeRecord(dir, exitFile, want); err != nil {
		t.Fatal(err)
	}
	if found, err := readRecord(dir, exitFile, &e); !found || err != nil || e != want {
		t.Errorf("%v, %v, %+v", found, err, e)
	}
	if err := os.WriteFile(filepath.Join(dir, initFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A record that the machine's end damaged keeps nobody from deleting.
	if _, started, err := readInit(dir); started || err != nil {
		t.Errorf("a damaged record of the program: %v, %v", started, err)
	}
	if err := os.WriteFile(filepath.Join(dir, exitFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if end, over, err := readEnding(dir); !over || end.Why == "" || err != nil {
		t.Errorf("a damaged record of the end: %+v, %v, %v", end, over, err)
	}
	var p program
	if found, err := readRecord(dir, initFile, &p); found || err == nil || !strings.Contains(err.Error(), initFile) {
		t.Errorf("a damaged record: %v, %v", found, err)
	}
	if err := writeRecord(filepath.Join(dir, "gone"), exitFile, want); err == nil {
		t.Error("a record in no directory was written")
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*.new"))
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Two containers of one VM: each has places of its own, and what they share
// goes with the last of them.
func TestLedger(t *testing.T) {
	l := new(ledger)
	if free := l.free(1); len(free) != places-1 || free[0] != 1 {
		t.Errorf("free at first: %v", free)
	}
	one := 1 // a place
	if l.knows("a") {
		t.Error("knows a, which has taken nothing")
	}
	l.take("a", []int{1, 2})
	if !l.knows("a") || l.knows("b") {
		t.Error("a is known by its places, and nobody else is")
	}
	l.use("a", "disk:x").Place = &one
	if !l.alone("a", "disk:x") || l.alone("b", "disk:x") || l.alone("a", "disk:y") {
		t.Error("a alone has disk:x")
	}
	l.use("b", "disk:x")
	if !l.knows("b") || l.alone("a", "disk:x") || l.alone("b", "disk:x") {
		t.Error("a and b have disk:x")
	}
	l.take("b", []int{3})
	if u := l.use("b", "disk:x"); len(u.By) != 2 || u.Place != &one || u.Done {
		t.Errorf("after its second user disk:x is %+v", u)
	}
	if d := l.disks(); d["disk:x"] != 1 || len(d) != 1 {
		t.Errorf("disks %v", d)
	}
	if l.leave("a", "disk:x") {
		t.Error("a left last, and b is there")
	}
	l.release("a")
	if free := l.free(1); free[0] != 2 || free[1] != 4 {
		t.Errorf("free while b shares a's disk: %v", free[:3])
	}
	if !l.leave("b", "disk:x") {
		t.Error("b did not leave last")
	}
	l.release("b")
	if len(l.Places) != 0 || len(l.Shared) != 0 {
		t.Errorf("in the end: %+v", l)
	}
	if l.leave("b", "never") {
		t.Error("what nobody used was left last")
	}
}

func TestUsage(t *testing.T) {
	var s statistics
	s.Processor.TotalRuntime100ns, s.Memory.MemoryUsageCommitBytes, s.Storage.WriteSizeBytes = 3, 4096, 7
	data, err := json.Marshal(s.usage())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"total":300`, `"usage":4096`, `"writeBytes":7`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s lacks %s", data, want)
		}
	}
}

func TestJoin(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	if err := join(nil, one, nil, two); err.Error() != "one; two" || !errors.Is(err, one) || !errors.Is(err, two) {
		t.Errorf("%v", err)
	}
	if err := join(nil, join(one, two), nil); err.Error() != "one; two" || !errors.Is(err, two) {
		t.Errorf("%v", err)
	}
	if err := join(nil, nil); err != nil {
		t.Errorf("%v of nothing", err)
	}
}
