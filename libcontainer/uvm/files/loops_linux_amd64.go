package files

// cloneLoop has a new process run loop(l, which) on a stack of its own.
//
//go:noescape
func cloneLoop(flags, stack, l, which uintptr) (pid, errno uintptr)
