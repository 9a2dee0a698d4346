// Package netlink is rtnetlink(7): messages are built, sent and read here, and
// nothing knows what one is about.
package netlink
