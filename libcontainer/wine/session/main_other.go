//go:build !linux

package main

import "os"

// The session is a Linux program; here it compiles, and that is all.
func main() { os.Exit(1) }
