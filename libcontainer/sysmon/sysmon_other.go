//go:build !linux

package sysmon

// Slacken does nothing: Windows has no such knob.
func Slacken() {}
