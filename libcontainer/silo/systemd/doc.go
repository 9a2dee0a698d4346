// Package systemd asks the machine's systemd for scopes, which are cgroups with
// a name that it knows. It speaks D-Bus by way of godbus and knows nothing of
// containers.
package systemd
