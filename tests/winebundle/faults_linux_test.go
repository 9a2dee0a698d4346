package winebundle

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"wrun/libcontainer"
	"wrun/tests/container"
	"wrun/tests/leftovers"
	"wrun/tests/uvm/boot"
)

// faulty is wrun with fault points, and what belongs beside it.
func faulty(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	wrun, err := container.Build(dir, container.FaultTags)
	if err == nil {
		err = os.Symlink(filepath.Join(work, "wine"), filepath.Join(dir, "wine"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return wrun
}

// TestFaults kills wrun at each step that leaves something new behind, the
// announcements of drive C:, overlay and inner host among them.
func TestFaults(t *testing.T) {
	newRig(t, "cmd") // skips where nothing can be tested
	wrun := faulty(t)
	silo := append(slices.Clone(libcontainer.FaultPoints[:]), libcontainer.FaultCreateRecorded+":2")
	for name, points := range map[string][]string{
		"silo": silo,
		// In a VM the silo's steps are the agent's.
		"vm": {libcontainer.FaultCreateRecorded, libcontainer.FaultCreateRecorded + ":2", libcontainer.FaultCreateRecorded + ":3", libcontainer.FaultCreateComplete},
	} {
		t.Run(name, func(t *testing.T) {
			for _, point := range points {
				if point == libcontainer.FaultCreateNamespaces || point == libcontainer.FaultCreateHooked {
					continue // only on the way to hooks
				}
				t.Run(point, func(t *testing.T) {
					r := newRig(t, `C:\probe.exe`, "wait")
					if name == "vm" {
						r.hyperv(boot.Build(t).Image)
					}
					r.save()
					before := leftovers.Take(t)
					r.untilKilled(wrun, point)
					r.State(t, r.id) // answers, or says that there is none
					r.good("delete", "--force", r.id)
					before.Check(t, "after "+point)
				})
			}
		})
	}
}

// untilKilled lives a container's life until wrun kills itself at point.
func (r *rig) untilKilled(wrun, point string) {
	r.Helper()
	doomed := container.Wrun{Binary: wrun, Root: r.Root, Env: []string{"WRUN_FAULT=" + point}}
	log := []string{"--log", filepath.Join(r.dir, "log")}
	pid := filepath.Join(r.dir, "pid")
	for _, args := range [][]string{
		{"create", "--pid-file", pid, "--bundle", r.dir, r.id},
		{"start", r.id},
		{"exec", "--detach", "--pid-file", pid, r.id, `C:\probe.exe`, "wait"},
		{"delete", "--force", r.id},
	} {
		switch res := doomed.Run(r.T, append(slices.Clone(log), args...)...); {
		case res.Code == -1:
			return
		case res.Code != 0:
			r.Fatalf("wrun %q: %+v", args, res)
		}
	}
	r.Fatalf("nothing passes %s", point)
}
