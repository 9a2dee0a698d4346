// Package systemd tests wrun under --systemd-cgroup with a real systemd, which
// the tests start as the first process of a pid namespace.
package systemd
