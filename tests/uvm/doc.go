// Package uvm tests wrun's Hyper-V isolation on Linux: bundles with
// windows.hyperv in a utility VM of QEMU, with the real program, a process of
// its own for each command, and a look at the machine after each test.
package uvm
