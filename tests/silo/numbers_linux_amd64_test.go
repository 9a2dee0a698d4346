package silo

import "golang.org/x/sys/unix"

// mkdirNumber is the call that architectures after amd64 no longer have.
const mkdirNumber = unix.SYS_MKDIR
