// Package wine runs Windows bundles on Linux, with Wine as their Windows.
//
// A wineserver is a silo in Windows' own terms: a registry, an object namespace
// and process ids of its own. So a Windows Spec becomes a Linux Spec with Wine in
// it (this half of the package, pure, on any OS), and a host that exists, silo or
// utility VM, runs that. What it needs on the machine is prepared by the _linux.go
// half: a template of drive C: and registry that all containers share, the
// scratch that takes a container's writes, and the overlay of both.
package wine
