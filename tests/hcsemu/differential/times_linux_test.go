package differential

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"wrun/tests/wine/rig"
)

// TestTimes lives one silo after the other, wrun's and runhcs's in turns, and
// prints the medians of each command's wall time under Wine.
func TestTimes(t *testing.T) {
	x := machine(t)
	if *times == 0 {
		t.Skip("only with -times")
	}
	commands := []string{"create", "state", "start", "ps", "exec", "list", "kill", "delete"}
	took := map[string]map[string][]time.Duration{"wrun": {}, "runhcs": {}}
	for round := range *times + 1 { // the first warms up
		for _, program := range []string{"wrun", "runhcs"} {
			b := x.Bundle(rig.Silo, "sleep", "1000")
			dir := b.Save()
			id := fmt.Sprintf("r%d-%s", round, program)
			for _, command := range commands {
				args := map[string][]string{
					"create": {"create", "--bundle", dir, id}, "list": {"list"}, "kill": {"kill", id, "KILL"},
					"delete": {"delete", "--force", id}, "exec": {"exec", id, "true"},
				}[command]
				if args == nil {
					args = []string{command, id}
				}
				call := x.Command(args...)
				if program == "runhcs" {
					call = rig.Call{Program: runhcs, Args: args}
				}
				r := x.Do(call)
				if r.Code != 0 {
					x.Fatalf("%s %s: %s", program, strings.Join(args, " "), r)
				}
				if round > 0 {
					took[program][command] = append(took[program][command], r.Took)
				}
				if command == "kill" {
					time.Sleep(200 * time.Millisecond) // the resident process ends meanwhile
				}
			}
		}
	}
	fmt.Printf("%d rounds, medians in ms, the shortest in parentheses\n\n| command | wrun | runhcs | ratio |\n|---|---|---|---|\n", *times)
	for _, command := range commands {
		ours, theirs := median(took["wrun"][command]), median(took["runhcs"][command])
		ratio := float64(ours) / float64(theirs)
		fmt.Printf("| %s | %.0f (%.0f) | %.0f (%.0f) | %.2f |\n", command,
			ms(ours), ms(took["wrun"][command][0]), ms(theirs), ms(took["runhcs"][command][0]), ratio)
		if ratio > 0.8 {
			t.Errorf("%s takes %.2f of runhcs's time, want at most 0.8", command, ratio)
		}
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
