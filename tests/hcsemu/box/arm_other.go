//go:build !windows

package main

import "errors"

// arm: box is for Windows; elsewhere only its tests run.
func arm(string, func()) error { return errors.New("trap: only on Windows") }
