// Package seccomp holds wrun's filters to libseccomp's for the profiles that
// engines ship: podman's, Docker's and containerd's, each translated by the
// engine's own package, for x86-64 and arm64.
//
// The packages ask the machine they run on what it is. The test builds them,
// as they lie in Go's module cache, with the package machine in the place of
// runtime and libseccomp-golang, so that one machine translates for both.
package seccomp
