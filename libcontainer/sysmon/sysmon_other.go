//go:build !linux

package sysmon

// Slacken does nothing: Windows has no such knob.
func Slacken() {}

// Exact calls start.
func Exact(start func() error) error { return start() }
