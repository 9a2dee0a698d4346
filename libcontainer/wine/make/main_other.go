//go:build !linux

package main

import "os"

// What it builds is for Linux, and so is the compiler that it knows.
func main() { os.Exit(1) }
