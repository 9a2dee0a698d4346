//go:build !linux

// Package vm is a machine with cgroup v2 alone, for tests on Linux.
package vm

// WhyNot says why the machine cannot run here.
func WhyNot() string { return "the machine with cgroup v2 alone is Linux' own" }
