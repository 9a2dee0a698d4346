// Package hcsemu holds the tests of the emulated Host Compute Service as a
// whole: stub DLLs, service and virtual machines under Wine. README.md says how
// it is built and used.
package hcsemu
