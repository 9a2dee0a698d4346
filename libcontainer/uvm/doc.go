// Package uvm is Hyper-V isolation on Linux: a utility VM of QEMU for each
// container, in which wrun's own agent makes the container with the code of the
// silo.
//
// The VM belongs to a monitor, one process per container: the first of a pid
// namespace that has QEMU and the file server in it, so that nothing of them
// outlives it. Every command finds the monitor by a socket in the container's
// state directory.
package uvm
