package main

import "testing"

// TestTable: a line that is wrong in one column, or was not measured there, fails the
// experiment.
func TestTable(t *testing.T) {
	for name, tt := range map[string]struct {
		measure func(e *experiment)
		bad     bool
	}{
		"all well":     {func(e *experiment) { e.prove(silo, "x", true, "so"); e.prove(vm, "x", true, "so") }, false},
		"bad silo":     {func(e *experiment) { e.prove(silo, "x", false, "so"); e.prove(vm, "x", true, "so") }, true},
		"bad VM":       {func(e *experiment) { e.prove(silo, "x", true, "so"); e.prove(vm, "x", false, "so") }, true},
		"not measured": {func(e *experiment) { e.prove(silo, "x", true, "so") }, true},
		"nothing":      {func(*experiment) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := new(experiment)
			tt.measure(e)
			if err := e.table(); (err != nil) != tt.bad {
				t.Errorf("%v", err)
			}
		})
	}
}
