// Package memfd makes files without a name, which nobody who is killed leaves
// behind (memfd_create(2)).
package memfd
