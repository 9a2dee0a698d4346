package differential

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	got, err := compare("x", `{"A":1,"B":{"C":[true,{"D":"d"}]},"E":{}}`, `{"A":1.0,"B":{"C":[true,{}]},"F":[]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []difference{
		{"x", "A", "1", "1.0"}, {"x", "B.C[1]", "", "{}"}, {"x", "B.C[1].D", `"d"`, ""}, {"x", "E", "{}", ""}, {"x", "F", "", "[]"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("difference %d: got %v, want %v", i, got[i], want[i])
		}
	}
	if _, err := compare("x", "{", "{}"); err == nil {
		t.Error("half a document compares")
	}
	if got, err := compare("x", `{"A":[1,2]}`, `{"A":[1,2]}`); err != nil || len(got) != 0 {
		t.Errorf("equal documents: %v %v", got, err)
	}
}

func TestNeutral(t *testing.T) {
	const one = `{"Path":"\\\\?\\Volume{4b2d9f64-7b1e-4a57-9d5d-0f1c6a5f9a11}\\","L":"C:\\t\\t7\\bundle2\\layers\\base","S":"t7-wrun@vm","N":"ABC"}`
	const other = `{"Path":"\\\\?\\Volume{00000000-7b1e-4a57-9d5d-0f1c6a5f9a11}\\","L":"C:\\t\\t9\\bundle1\\layers\\base","S":"t7-runhcs@vm","N":"xyz"}`
	a, b := neutral(one, map[string]string{"abc": "NAMESPACE"}), neutral(other, map[string]string{"XYZ": "NAMESPACE"})
	if a != b || !strings.Contains(a, `"BUNDLE\\layers\\base"`) || !strings.Contains(a, `"ID@vm"`) {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestTable(t *testing.T) {
	var all table
	d := difference{"system", "Owner", `"wrun"`, ""}
	all.add("plain", []difference{d})
	all.add("hostname", []difference{d})
	if got := all.String(2); !strings.Contains(got, "| system | Owner | `\"wrun\"` | – | all |") {
		t.Error(got)
	}
}
