// Package silo holds process isolation to its promises from outside: every
// test makes containers with the real wrun binary and looks at them from
// inside the container and from the host. Its tests need Linux, root and
// Debian's busybox-static, and skip with the reason elsewhere.
package silo
