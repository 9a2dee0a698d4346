//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sort"
)

// expectations is expected.json: what each test shows for wrun, and why where
// that is not clean.
type expectations struct {
	MinimumClean int                    `json:"minimumClean"` // of all tests, on any machine that has the limits named below
	Tests        map[string]expectation `json:"tests"`
	Peers        map[string]peer        `json:"peers"`
	Sanity       []string               `json:"sanity"` // quick tests whose verdict differs between runtimes
}

type expectation struct {
	OK      int  `json:"ok"`
	NotOK   int  `json:"notOK,omitempty"`
	Exit    int  `json:"exit,omitempty"`
	Errored bool `json:"errored,omitempty"` // diagnostic "error" in a silent test

	Kind  string `json:"kind,omitempty"`  // "suite bug", "older clause" or "machine limit"; absent: clean
	Limit string `json:"limit,omitempty"` // the machine limit, as probed; without it the test must be clean
	Cause string `json:"cause,omitempty"`
	Needs string `json:"needs,omitempty"` // machine limit under which the test is not run at all

	Race string `json:"race,omitempty"` // why the suite's test shows now this, now that: tried again alone, and clean is no difference

	Silent   bool   `json:"silent,omitempty"`   // makes no assertion: exit code and diagnostics only
	Void     string `json:"void,omitempty"`     // what passes without proving anything
	BackedBy string `json:"backedBy,omitempty"` // wrun's own test that asserts it
}

// peer is what a known build of a peer shows: the proof that the harness counts right.
type peer struct {
	Version  string   `json:"version"` // first line of --version
	NotClean []string `json:"notClean"`
	Unsteady []string `json:"unsteady,omitempty"` // clean or not from run to run
	Why      string   `json:"why,omitempty"`      // they are unsteady
}

var kinds = []string{"suite bug", "older clause", "machine limit"}

func readExpectations(path string) (expectations, error) {
	var want expectations
	data, err := os.ReadFile(path)
	if err != nil {
		return want, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&want); err != nil {
		return want, fmt.Errorf("read %s: %w", path, err)
	}
	for name, e := range want.Tests {
		unclean := e.NotOK > 0 || e.Exit != 0 || e.Errored
		if unclean != (e.Kind != "") || (e.Kind != "" && (!slices.Contains(kinds, e.Kind) || e.Cause == "")) {
			return want, fmt.Errorf("%s: %s: a test is listed as not clean with kind and cause, or is clean without", path, name)
		}
		if (e.Kind == "machine limit") != (e.Limit != "") {
			return want, fmt.Errorf("%s: %s: a machine limit names what is probed", path, name)
		}
	}
	return want, nil
}

func (want expectations) sanity(test string) bool { return slices.Contains(want.Sanity, test) }

// needless answers the machine limit for which a test is not run.
func (want expectations) needless(test string, m machine) string {
	if needs := want.Tests[test].Needs; m.Limits[needs] {
		return needs
	}
	return ""
}

// excused answers whether this machine makes the listed failure inevitable.
func (e expectation) excused(m machine) bool {
	return e.Kind != "" && (e.Limit == "" || m.Limits[e.Limit])
}

// differs answers how one result differs from its entry, for the worse or for
// the better: a list that is not tightened when wrun improves would hide the
// next step back.
func (e expectation) differs(r result, m machine) string {
	switch excused := e.excused(m); {
	case r.Skipped != "":
		return ""
	case r.clean(e.Silent) && excused && e.Race == "":
		return fmt.Sprintf("clean (%s), better than listed: take it off the list", r)
	case r.clean(e.Silent) && e.Kind == "" && r.OK != e.OK:
		return fmt.Sprintf("clean with %d ok, listed with %d", r.OK, e.OK)
	case r.clean(e.Silent) && !excused && len(r.Left) > 0:
		return fmt.Sprintf("clean, but left processes: %q", r.Left)
	case r.clean(e.Silent):
		return ""
	case !excused:
		return fmt.Sprintf("not clean: %s", r)
	case r.OK != e.OK || r.NotOK != e.NotOK || r.Exit != e.Exit || r.Errored != e.Errored && e.Silent || r.TimedOut:
		return fmt.Sprintf("%s, listed with %d ok, %d not ok, exit %d", r, e.OK, e.NotOK, e.Exit)
	}
	return ""
}

// compare answers every difference between wrun's results and the list.
func (want expectations) compare(got map[string]result, m machine) []string {
	var differences []string
	clean, skipped := 0, 0
	for _, test := range names(want.Tests) {
		e := want.Tests[test]
		r, ran := got[test]
		if !ran {
			differences = append(differences, test+": listed, but the suite has no such test")
			continue
		}
		if r.Skipped != "" {
			skipped++
		} else if r.clean(e.Silent) {
			clean++
		}
		if d := e.differs(r, m); d != "" {
			differences = append(differences, test+": "+d)
		}
	}
	for _, test := range names(got) {
		if _, listed := want.Tests[test]; !listed {
			differences = append(differences, test+": the suite's test is not listed")
		}
	}
	if clean+skipped < want.MinimumClean {
		differences = append(differences, fmt.Sprintf("%d clean, %d skipped: less than %d together", clean, skipped, want.MinimumClean))
	}
	return differences
}

// comparePeer answers where a known build of a peer shows other verdicts than
// it did when the harness was proven. Other builds have nothing to compare.
func (want expectations) comparePeer(s subject, got map[string]result, m machine) []string {
	known, listed := want.Peers[s.Name]
	if !listed || known.Version != s.Version {
		return nil
	}
	var differences []string
	for _, test := range names(got) {
		r := got[test]
		if limit := want.Tests[test].Limit; slices.Contains(known.Unsteady, test) || limit != "" && !m.Limits[limit] {
			continue // it was proven where the limit holds
		}
		if clean := r.clean(want.Tests[test].Silent); r.Skipped == "" && clean == slices.Contains(known.NotClean, test) {
			differences = append(differences, fmt.Sprintf("%s: %s: %s (clean: %t) is not what this build showed when the harness was proven", s.Version, test, r, clean))
		}
	}
	return differences
}

func names[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for name := range m {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
