package hcs

import (
	"slices"
	"strings"
)

// resources is what was added to a running system, so that adding twice and
// removing what is not there fail, and tests see what was left. Guarded by the
// service's mutex.
type resources struct {
	memoryMB    uint64
	plan9, pmem bool                         // the VM has the device
	held        map[string]map[string]string // kind, key in lower case, key
}

func newResources() resources { return resources{held: map[string]map[string]string{}} }

func (r *resources) has(kind, key string) bool {
	_, has := r.held[kind][strings.ToLower(key)]
	return has
}

func (r *resources) add(kind, key string) {
	if r.held[kind] == nil {
		r.held[kind] = map[string]string{}
	}
	r.held[kind][strings.ToLower(key)] = key
}

func (r *resources) hasShare(name string) bool { return r.has("vsmb share", name) }

// take adds what must not be there.
func (r *resources) take(kind, key string) error {
	if r.has(kind, key) {
		return fail(alreadyExists, "%s %s is there already", kind, key)
	}
	r.add(kind, key)
	return nil
}

// release removes what must be there.
func (r *resources) release(kind, key string) error {
	if !r.has(kind, key) {
		return fail(notFound, "there is no %s %s", kind, key)
	}
	delete(r.held[kind], strings.ToLower(key))
	return nil
}

// list answers "kind key" of all, sorted.
func (r *resources) list() []string {
	var all []string
	for kind, keys := range r.held {
		for _, key := range keys {
			all = append(all, kind+" "+key)
		}
	}
	slices.Sort(all)
	return all
}
