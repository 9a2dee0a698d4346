package wine

import (
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// visible refuses a drive C: that its VM could not see: a pod's file server began
// before it was mounted, in a mount namespace of its own, and hears of later mounts
// only where they propagate. Without that a member's Windows would be an empty folder.
func visible(dir string, s *specs.Spec) error {
	role, _, err := hcsdoc.Pod(s)
	if err != nil || role != hcsdoc.RoleContainer {
		return err // or its file server comes later
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("look for drive C: among the mounts: %w", err)
	}
	if propagates(string(table), dir) {
		return nil
	}
	return libcontainer.WithHint(fmt.Errorf("drive C: at %s is a private mount, and the pod's VM, which is older, cannot see it", dir),
		"have the state directory (--root) on a shared mount before the pod is made: mount --make-rshared /")
}

// propagates says whether the last mount at dir is shared, by proc(5)'s optional
// fields, which end with a hyphen.
func propagates(mountinfo, dir string) bool {
	shared := false
	place := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir)
	for line := range strings.Lines(mountinfo) {
		fields, _, _ := strings.Cut(line, " - ")
		if f := strings.Fields(fields); len(f) > 4 && f[4] == place {
			shared = strings.Contains(fields+" ", " shared:")
		}
	}
	return shared
}
