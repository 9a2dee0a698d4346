module wrun/tests/engines

go 1.26.8

replace wrun => ../..

require (
	github.com/containerd/containerd/v2 v2.4.2
	github.com/moby/profiles/seccomp v0.3.0
	github.com/opencontainers/runtime-spec v1.3.0
	go.podman.io/common v0.67.0
	golang.org/x/sys v0.49.0
	wrun v0.0.0
)

require github.com/seccomp/libseccomp-golang v0.11.1 // indirect
