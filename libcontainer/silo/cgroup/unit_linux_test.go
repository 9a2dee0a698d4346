package cgroup

import "testing"

// TestSlicesAreSystemds: of what does not exist, wrun takes on the removal of
// the scope alone where systemd makes the slice, of both elsewhere.
func TestSlicesAreSystemds(t *testing.T) {
	g, _, err := real(t).Scope("wruntest.slice:wrun:test", "id", nil, true, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range g.Dirs {
		d := &g.Dirs[i]
		want := 2
		if d.managed() {
			want = 1
		}
		if d.Made != want {
			t.Errorf("%q: %d directories are to be removed, want %d", d.Controllers, d.Made, want)
		}
	}
	if d, ok := g.find(""); ok && !d.managed() {
		t.Error("v2 is not systemd's")
	}
	if d, ok := g.find("freezer"); ok && d.managed() {
		t.Error("systemd does not know v1's freezer")
	}
}
