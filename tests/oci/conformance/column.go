//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

// column is one runtime's part of the table.
type column struct {
	Subject subject
	Results map[string]result
	Took    time.Duration
}

// gate is the test that must be clean before any other's word is worth
// something: some pass because the runtime cannot start anything.
const gate = "default"

// slow lists the tests that wait for many seconds; started first, they do not
// prolong the whole.
var slow = []string{"delete", "kill", "pidfile", "linux_cgroups_cpus", "linux_cgroups_network", "hooks"}

func (w work) runColumn(s subject, tests []string, want expectations, m machine) (column, error) {
	began := time.Now()
	first, _, diagnostics, err := runConfined(s, w.Suite, m, gate, w.Timeout)
	if err != nil {
		return column{}, err
	}
	if bytes.Contains(diagnostics, []byte("unknown version")) {
		s.Lowered = true
		if first, _, diagnostics, err = runConfined(s, w.Suite, m, gate, w.Timeout); err != nil {
			return column{}, err
		}
	}
	if !first.clean(false) {
		return column{}, fmt.Errorf("%s: the suite's %q test is not clean (%d ok, %d not ok, exit %d), so no other test means anything:\n%s",
			s.Name, gate, first.OK, first.NotOK, first.Exit, diagnostics)
	}
	c := column{Subject: s, Results: map[string]result{}}

	queue := make(chan string)
	var lock sync.Mutex
	var errs []error
	var workers sync.WaitGroup
	for range max(w.Jobs, 1) {
		workers.Go(func() {
			for test := range queue {
				r := result{Test: test}
				var tap, diagnostics []byte
				var err error
				if limit := want.needless(test, m); limit != "" {
					r.Skipped = limit
				} else {
					r, tap, diagnostics, err = runConfined(s, w.Suite, m, test, w.Timeout)
				}
				if err == nil && w.Out != "" {
					err = keep(filepath.Join(w.Out, s.Name), test, tap, diagnostics)
				}
				lock.Lock()
				c.Results[test] = r
				errs = append(errs, err)
				lock.Unlock()
			}
		})
	}
	for _, test := range slowFirst(tests) {
		queue <- test
	}
	close(queue)
	workers.Wait()
	if s.Name == "wrun" {
		errs = append(errs, w.retry(&c, want, m))
	}
	c.Took = time.Since(began)
	return c, errors.Join(errs...)
}

// retry runs the tests with a known race again, alone, where they differ from
// the list; the table says so.
func (w work) retry(c *column, want expectations, m machine) error {
	const tries = 3
	for _, test := range names(c.Results) {
		e := want.Tests[test]
		for n := 2; n <= tries && e.Race != "" && e.differs(c.Results[test], m) != ""; n++ {
			r, _, _, err := runConfined(c.Subject, w.Suite, m, test, w.Timeout)
			if err != nil {
				return err
			}
			r.Tries = n
			c.Results[test] = r
		}
	}
	return nil
}

func slowFirst(tests []string) []string {
	rank := map[string]int{}
	for i, test := range slow {
		rank[test] = i - len(slow)
	}
	ordered := append([]string(nil), tests...)
	sort.SliceStable(ordered, func(i, j int) bool { return rank[ordered[i]] < rank[ordered[j]] })
	return ordered
}

func keep(dir, test string, tap, diagnostics []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, test+".tap"), tap, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, test+".err"), diagnostics, 0o644)
}
