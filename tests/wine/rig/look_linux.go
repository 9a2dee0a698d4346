package rig

import (
	"encoding/json"
	"strings"
	"testing"
)

// This file is what tests look at things with.

// Each runs a test for every kind of Windows container.
func (s *Site) Each(t *testing.T, test func(t *Test, kind Kind)) {
	t.Helper()
	s.Of(t, Kinds, test)
}

// Of runs a test for some kinds.
func (s *Site) Of(t *testing.T, kinds []Kind, test func(t *Test, kind Kind)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) { test(s.New(t), kind) })
	}
}

// HyperV are the kinds with a virtual machine.
var HyperV = []Kind{V1, V2}

// Lines are those of a text, without what Windows ends them with.
func Lines(text string) []string {
	return strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
}

// Last is the last line.
func Last(text string) string {
	all := Lines(text)
	return all[len(all)-1]
}

// Field is a value of a JSON document by a path of member names with dots
// between; nil where there is none.
func (t *Test) Field(document, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		t.Fatalf("%v in %q", err, document)
	}
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// Text is a part of a document as JSON, members in order.
func (t *Test) Text(v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	t.Must(err)
	return string(data)
}

// Pids are the container's processes as wrun ps has them.
func (t *Test) Pids() []int {
	t.Helper()
	var all []int
	if err := json.Unmarshal([]byte(t.OK("ps", "--format", "json", t.ID).Stdout), &all); err != nil {
		t.Fatalf("ps: %v", err)
	}
	return all
}

// Images counts the host's processes of one image.
func (t *Test) Images(image string) int {
	t.Helper()
	n := 0
	for _, p := range t.Processes() {
		if p.Image == image {
			n++
		}
	}
	return n
}

// SystemDocument is what create gave the service for the container.
func (t *Test) SystemDocument() string {
	t.Helper()
	return t.Document(t.Journal(t.ID), "HcsCreateComputeSystem")
}

// InPod makes the bundle's container the sandbox of a pod, or a container in it,
// by the annotations that containerd's CRI adds.
func (b *Bundle) InPod(sandbox, role string) {
	delete(b.Spec.Annotations, schema)
	b.Annotate("io.kubernetes.cri.container-type", role)
	b.Annotate("io.kubernetes.cri.sandbox-id", sandbox)
}

// Pod is a sandbox that runs and a second container of its pod, created, whose
// program is args.
func (t *Test) Pod(args ...string) (sandbox, member string) {
	t.Helper()
	sandbox, member = t.ID, t.ID+"-member"
	b := t.Bundle(V2, "sleep", "1000")
	b.InPod(sandbox, "sandbox")
	b.Started()
	b = t.Bundle(V2, args...)
	b.InPod(sandbox, "container")
	b.CreateAs(member)
	return sandbox, member
}
