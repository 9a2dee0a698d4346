// Package hcs runs Windows containers, and Linux containers in utility VMs, on
// a Windows machine through its Host Compute Service.
//
// What a container is to the service says hcsdoc, which is pure; this package
// gathers what the documents need, orders the side effects, writes down each
// before it happens (handle.go), and keeps one small process per container,
// the monitor, that relays the standard streams and remembers the exit code.
// Any later wrun finds the container by its name in the service; nothing but
// the streams depends on the monitor.
package hcs
