//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/freememory"
)

const (
	crowd   = 100 // containers at once
	callers = 8   // that make them
	// crowdMemory is more than a crowd takes of what was free before.
	crowdMemory = 1 << 30
)

// many has callers make and start a crowd of containers, all at once, and looks
// whether each runs. Their deletion is not measured.
func (b *bench) many(s subject) ([]string, []sample, error) {
	ids := b.crowd(s, crowd)
	if err := freememory.Claim(crowdMemory); err != nil {
		return nil, nil, err
	}
	var sum sample
	begin := time.Now()
	err := b.each(ids, func(id string) error {
		_, err := b.call(s, "run", "--detach", "--bundle", b.lasting, id)
		return err
	})
	sum.wall = time.Since(begin)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		if err := b.runs(s, id); err != nil {
			return nil, nil, err
		}
	}
	return []string{fmt.Sprintf("%d by %d callers", crowd, callers)}, []sample{sum}, b.disperse(s, ids)
}

// list measures list over few containers and over many: the second over five
// times as many as the first.
func (b *bench) list(s subject) ([]string, []sample, error) {
	var commands []string
	var samples []sample
	var ids []string
	for _, n := range [...]int{100, 500} {
		more := b.crowd(s, n-len(ids))
		ids = append(ids, more...)
		if err := b.each(more, func(id string) error {
			_, err := b.call(s, "create", "--bundle", b.lasting, id)
			return err
		}); err != nil {
			return nil, nil, err
		}
		got, err := b.call(s, "list")
		if err != nil {
			return nil, nil, err
		}
		commands = append(commands, fmt.Sprintf("list of %d", n))
		samples = append(samples, got)
	}
	return commands, samples, b.disperse(s, ids)
}

// crowd names n containers that exist from now on, as far as cleanUp knows.
func (b *bench) crowd(s subject, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = b.newID()
		b.live[ids[i]] = s
	}
	return ids
}

// disperse deletes them.
func (b *bench) disperse(s subject, ids []string) error {
	err := b.each(ids, func(id string) error {
		_, err := b.call(s, "delete", "--force", id)
		return err
	})
	if err == nil {
		for _, id := range ids {
			delete(b.live, id)
		}
	}
	return err
}

// each has all callers work through ids and answers the first error.
func (b *bench) each(ids []string, do func(id string) error) error {
	work := make(chan string, len(ids))
	for _, id := range ids {
		work <- id
	}
	close(work)
	var failed error
	var once sync.Once
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for id := range work {
				if err := do(id); err != nil {
					once.Do(func() { failed = err })
					return
				}
			}
		})
	}
	all.Wait()
	return failed
}

// runs asks the runtime whether a container runs.
func (b *bench) runs(s subject, id string) error {
	state, err := b.state(s, id)
	if err == nil && state.Status != specs.StateRunning {
		err = fmt.Errorf("%s: %s is %s, not running", s.name, id, state.Status)
	}
	return err
}

// state asks the runtime, unmeasured.
func (b *bench) state(s subject, id string) (*specs.State, error) {
	out, err := exec.Command(s.path, "--root", s.root, "state", id).Output()
	if err != nil {
		return nil, fmt.Errorf("%s state %s: %w", s.name, id, err)
	}
	state := new(specs.State)
	if err := json.Unmarshal(out, state); err != nil {
		return nil, fmt.Errorf("%s state %s: %w: %s", s.name, id, err, out)
	}
	return state, nil
}
