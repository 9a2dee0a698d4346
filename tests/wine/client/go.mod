module wrun/tests/wine/client

go 1.26.8

require (
	github.com/Microsoft/hcsshim v0.15.0
	github.com/containerd/go-runc v1.1.0
)

require (
	github.com/Microsoft/go-winio v0.6.4 // indirect
	github.com/containerd/console v1.0.5 // indirect
	github.com/opencontainers/runtime-spec v1.3.0 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
