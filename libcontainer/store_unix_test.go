//go:build unix

package libcontainer

import (
	"syscall"
	"testing"
)

// A container's init is a child of its creator and may, before its exec, have
// inherited the lock's descriptor: that must not keep the container locked.
func TestReleaseDespiteInheritance(t *testing.T) {
	dir := t.TempDir()
	l, err := acquire(t.Context(), dir, exclusive, 0)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := syscall.Dup(l.fd)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	l.release()
	if l, err = acquire(t.Context(), dir, exclusive, 0); err != nil {
		t.Fatalf("after release: %v", err)
	}
	l.release()
}
