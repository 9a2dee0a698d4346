// Package files carries a directory tree of the host into a utility VM: FUSE
// messages, relayed unchanged over a byte stream such as a virtio-serial port.
//
//	guest process ─ guest kernel ─ /dev/fuse ─ Mount ═ port ═ QEMU ═ socket ═ Serve ─ host file system
//
// [Mount] only copies messages, by two processes of the guest that do nothing else.
// [Serve] runs on the host, in a small process with the rights to act for every
// user of the guest, and turns each message into system calls on the tree. QEMU
// carries bytes and needs no access to any file, and the device has no state that
// would keep a VM from being saved as a template.
//
// What comes from the guest is hostile until checked. Three rules confine it:
//
//   - A message is checked as a whole against the shape of its operation before
//     anything acts on it. One that does not fit ends the connection.
//   - The guest names files only by numbers which Serve gave out, and by single
//     names below such a file. No path of the guest's is ever resolved, so
//     neither a symbolic link nor a rename under way leads out of the tree.
//   - Serve opens regular files and directories only. Pipes, sockets and devices
//     are the guest kernel's business.
//
// The guest caches names, attributes and contents for a second (see
// cacheSeconds): a change on the host is seen within about that time, and a
// program run again is not read again.
package files
