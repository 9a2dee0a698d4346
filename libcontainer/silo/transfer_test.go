package silo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/silo/seccomp"
)

// checkCarried: what a guest reads is what its host has worked out, but for the
// warnings, which the host has given.
func checkCarried(t *testing.T, r *Prepared) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadPrepared(text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	want, plan := *r, *r.Plan
	want.Plan, plan.Warnings = &plan, nil
	if reflect.DeepEqual(got, &want) {
		return
	}
	for i := range min(len(got.Plan.Steps), len(plan.Steps)) {
		if !reflect.DeepEqual(got.Plan.Steps[i], plan.Steps[i]) {
			t.Errorf("step %d: got %#v, want %#v", i, got.Plan.Steps[i], plan.Steps[i])
		}
	}
	t.Errorf("%s\ngot  %+v\nwant %+v", text, got, want)
}

// TestCarried: all there is to a start gets to the guest. TestPlans and
// TestOtherPlans have each of their plans carried.
func TestCarried(t *testing.T) {
	score, limit := -5, int64(1<<30)
	checkCarried(t, &Prepared{
		Plan: &Plan{CloneFlags: 1 << 63, Pids: "init", Visible: true, Slots: 3,
			Steps: []Step{
				{Call: "x", Why: "because of \"<ü>\"\n", Save: 2, Skip: 3, Want: -1, Rescue: []Rescue{{65535, 1}, {0, 2}},
					Args: []Arg{Int(-1 << 63), Str("a\\b\x7f"), Flags(1<<64 - 1), Slot(3), File("sync"), Bytes{0, 255}}},
				{Call: "y", Args: []Arg{How{1 << 63, 2, 3}, Argv{Words: []string{"", "w"}, Program: 2}, Argv{}, Filter{[]byte{1, 2, 3, 4, 5, 6, 7, 8}}, SendFD{1}, RecvFD{}}},
				{Call: "z", Args: []Arg{MountAttr{1 << 20, "users"}, Str("")}},
			},
			Errands: []Step{{Call: "e", Why: "w"}},
		},
		Direct: true, Namespaces: cloneNewPID | cloneNewNS, Program: "sh", Cwd: "/", OOMScoreAdj: &score,
		NoNewPrivileges: true, NoNewKeyring: true,
		Filter:    &seccomp.Filter{Program: []seccomp.Instruction{{Code: 0x1234, Jt: 5, Jf: 6, K: 0x789abcde}}, Flags: 7},
		Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
	})
}

// TestNotCarried: what is no start of a container is none, and not half of one.
func TestNotCarried(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{"x":1}`, `{} {}`, `{"clone":-1}`, `{"visible":1}`, `{"whys":[1]}`, `{"slots":"1"}`, `{"direct":"true"}`,
		`{"filterFlags":1}`, `{"filter":"p"}`, `{"filter":"pzz"}`, `{"filter":1}`, `{"resources":[]}`, `{"oomScoreAdj":"1"}`,
		`{"steps":[["x",0,0,0,0,0]]}`, // no reason of that index
	} {
		checkNotCarried(t, text)
	}
	for _, step := range []string{
		``, `"x"`, `"x",0,0,0,0`, `1,0,0,0,0,0`, `"x",-1,0,0,0,0`, `"x",1,0,0,0,0`, `"x",0,0,0,0,1`, `"x",0,0,0,0,1,1`, `"x",0,0,0,0,1,65536,0`,
		`"x",0,0,0,0,0,""`, `"x",0,0,0,0,0,"?"`, `"x",0,0,0,0,0,"x-1"`, `"x",0,0,0,0,0,"$x"`, `"x",0,0,0,0,0,"b0"`, `"x",0,0,0,0,0,"h1,2"`,
		`"x",0,0,0,0,0,"h1,2,3,4"`, `"x",0,0,0,0,0,"p"`, `"x",0,0,0,0,0,"m"`, `"x",0,0,0,0,0,"r1"`, `"x",0,0,0,0,0,"ag,f"`,
		`"x",0,0,0,0,0,[]`, `"x",0,0,0,0,0,["w"]`, `"x",0,0,0,0,0,[0,1]`, `"x",0,0,0,0,0,{}`, `"x",0,0,0,0,0,1.5`,
	} {
		checkNotCarried(t, `{"whys":[""],"steps":[[`+step+`]]}`)
	}
	if _, err := ReadPrepared([]byte(`{"whys":[""],"steps":[["x",0,0,0,0,0,1]]}`)); err != nil {
		t.Errorf("the least there is: %v", err)
	}
}

func checkNotCarried(t *testing.T, text string) {
	t.Helper()
	if _, err := ReadPrepared([]byte(text)); err == nil || !strings.Contains(err.Error(), "no prepared start") {
		t.Errorf("%s: %v", text, err)
	}
}

// TestPreparedInput: what a guest makes of a prepared start asks for the same
// namespaces, limits and end of its first process as the Input it comes from.
func TestPreparedInput(t *testing.T) {
	score := 7
	in := ordinary()
	in.Guest, in.Direct, in.NoNewKeyring, in.Filter = true, true, true, filterOf(t)
	in.Spec.Process.OOMScoreAdj = &score
	p, err := Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	got := prepared(in, p).input("c1")
	for _, n := range namespaceOrder {
		kind := specs.LinuxNamespaceType(n.kind)
		if got.isNew(kind) != in.isNew(kind) || got.hasNamespace(kind) != in.hasNamespace(kind) {
			t.Errorf("namespace %s", kind)
		}
	}
	if got.Spec.Linux.CgroupsPath != "/c1" || !reflect.DeepEqual(got.Spec.Linux.Resources, in.Spec.Linux.Resources) {
		t.Errorf("cgroup %+v", got.Spec.Linux)
	}
	if q := got.Spec.Process; q.Args[0] != "sh" || q.Cwd != "/" || *q.OOMScoreAdj != 7 || !q.NoNewPrivileges {
		t.Errorf("process %+v", q)
	}
	if got.bare() || !got.Direct || !got.NoNewKeyring || !got.canWait() || got.groupOwner() != 0 {
		t.Errorf("input %+v", got)
	}
}
