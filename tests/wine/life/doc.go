// Package life drives the real wrun.exe on Linux: under Wine, against an
// emulated Host Compute Service (tests/hcsemu), every command in a process of
// its own, as an engine on Windows does. tests/wine/rig is the machine.
//
// Each test is a description of what wrun does on Windows, for each kind of
// container that does it: a silo, a container in a VM of its own that HCS
// manages (v1), and one hosted in a utility VM (v2). After each test nothing of
// it may be left on the machine; the rig looks.
//
// The service is emulated: what is shown here is what wrun asks of it and makes
// of its answers, not what Windows does.
package life
