package procstat

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	fields := " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21"
	for _, c := range []struct {
		stat  string
		ticks uint64
		alive bool
		bad   bool
	}{
		{"12 (sh) S" + fields, 4711, true, false},
		{"12 (a) Z (b) R" + fields, 4711, true, false},
		{"12 () S) Z" + fields, 4711, false, false},
		{"12 (x\n) X" + fields, 4711, false, false},
		{"12 (x) x" + fields, 4711, false, false},
		{"12 (x) D" + fields + "\n", 4711, true, false},
		{"", 0, false, true},
		{"12 (x) S 1 2", 0, false, true},
		{"12 (x) S" + strings.Replace(fields, "4711", "-1", 1), 0, false, true},
	} {
		ticks, alive, err := Parse([]byte(c.stat))
		if (err != nil) != c.bad || ticks != c.ticks || alive != c.alive {
			t.Errorf("%q: %d %v %v", c.stat, ticks, alive, err)
		}
	}
}
