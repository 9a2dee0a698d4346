package rig

import (
	"slices"
	"strings"
)

// Endpoint makes a network endpoint, as a CNI plugin would. It goes at the end of
// the test.
func (t *Test) Endpoint() string {
	t.Helper()
	return t.network("endpoint")[0]
}

// Namespace makes a network namespace with one endpoint in it.
func (t *Test) Namespace() (namespace, endpoint string) {
	t.Helper()
	ids := t.network("namespace")
	return ids[0], ids[1]
}

func (t *Test) network(what string) []string {
	t.Helper()
	r := t.Do(Call{Program: Probe, Args: []string{"network", what}})
	ids := strings.Fields(r.Stdout)
	if r.Code != 0 || len(ids) == 0 {
		t.Fatalf("make a network %s: %s", what, r)
	}
	t.own = append(t.own, ids...)
	return ids
}

// Withdraw removes an endpoint before its time.
func (t *Test) Withdraw(id string) {
	t.Helper()
	if r := t.Do(Call{Program: Probe, Args: []string{"network", "remove", id}}); r.Code != 0 {
		t.Fatalf("remove %s: %s", id, r)
	}
	t.own = slices.DeleteFunc(t.own, func(s string) bool { return s == id })
}
