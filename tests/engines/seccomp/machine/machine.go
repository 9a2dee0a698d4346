// Package machine stands for runtime and libseccomp-golang in the engines'
// packages: it is the machine that the program is told to translate for.
package machine

import "os"

// GOARCH stands for runtime.GOARCH.
var GOARCH = os.Args[1]

// Arch stands for libseccomp.ScmpArch.
type Arch string

// String is the architecture's name in libseccomp-golang, which for these two
// is Go's.
func (a Arch) String() string { return string(a) }

// GetNativeArch stands for libseccomp.GetNativeArch.
func GetNativeArch() (Arch, error) { return Arch(GOARCH), nil }
