// Package bpf is what the tests of seccomp filters share: a machine for their
// programs, and libseccomp, to compare with.
package bpf
