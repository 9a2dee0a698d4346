// Package sockets carries connections to unix sockets of the host out of a
// utility VM. In the guest something listens at a socket of its own for each one
// that a container mounts, and has the host connect for each connection that it
// accepts; the bytes go over a stream of package wire. The guest says for which
// mount, the host knows where that is: no path comes out of the VM.
//
// Only streams are carried: no descriptors (SCM_RIGHTS), no messages with bounds
// (SOCK_DGRAM, SOCK_SEQPACKET).
package sockets

import "time"

// MostConnections is how many a container can have at once. Those beyond wait in
// the guest, as with a server that is slow to accept.
const MostConnections = 128

// LastWords bounds on each side the way to the host of what a container that has
// ended has sent.
const LastWords = 2 * time.Second

// dialWait bounds the host's part of a connection's making: until one of
// MostConnections has ended and the server on the host has accepted.
const dialWait = 10 * time.Second
