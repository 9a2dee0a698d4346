// Package rig runs Windows programs on Linux, under Wine, against an emulated
// Host Compute Service: the machine on which the Windows build of wrun is
// tested end to end.
//
// It owns the Wine prefixes (prefix), building what runs in them (build),
// calling it (call), the emulator's life (emulator) and journal (journal), and
// bundles for Windows (bundle). It knows nothing of what wrun should do.
//
// What a test sees is the Windows machine: paths are C:\…, the registry says
// which Windows it is, processes have Windows pids. Nothing of this ever ran on
// a real Windows: the emulated service answers as hcsshim's source and
// Microsoft's documentation let expect.
package rig
