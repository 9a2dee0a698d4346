package hosttest_test

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hosttest"
)

// The fake keeps the contract that it stands in for.
func TestFake(t *testing.T) {
	fake := new(hosttest.Fake)
	hosttest.Run(t, hosttest.Setup{
		Host: fake,
		Config: func(t *testing.T, args ...string) *libcontainer.Config {
			return &libcontainer.Config{
				ID:   t.Name(),
				Dir:  t.TempDir(),
				Spec: &specs.Spec{Process: &specs.Process{Args: args, Cwd: "/"}},
			}
		},
		Left: fake.Left,
	})
}
