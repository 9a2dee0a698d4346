package uvm

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// TestPreview: what a dry run says of a container with a VM of its own, and of a
// pod's, which has none.
func TestPreview(t *testing.T) {
	for name, c := range map[string]struct {
		annotations  map[string]string
		want, absent string
	}{
		"a VM of its own": {nil, "-M microvm,", "the utility VM of container"},
		"a member of a pod": {map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "sb"},
			"machine    the utility VM of container sb\n", "microvm"},
	} {
		text, err := Preview(&libcontainer.Config{ID: "c", Dir: "/run/wrun/c",
			Spec: &specs.Spec{Version: specs.Version, Root: &specs.Root{Path: "/r"}, Annotations: c.annotations, Linux: &specs.Linux{}}})
		if err != nil || !strings.Contains(text, c.want) || strings.Contains(text, c.absent) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	for sandbox, want := range map[string]string{"../x": "is no container id", "c": "into itself"} {
		_, err := Preview(&libcontainer.Config{ID: "c", Dir: "/run/wrun/c", Spec: &specs.Spec{Root: &specs.Root{Path: "/r"},
			Annotations: map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": sandbox}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("sandbox %s: %v, want %s", sandbox, err, want)
		}
	}
}
