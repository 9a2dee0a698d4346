package trouble

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"wrun/tests/wine/rig"
)

// TestVersions is Microsoft's table of which image runs on which Windows
// ("Windows container version compatibility"), checked before the service is
// asked: an image of another build than the host's in a silo, a newer one than
// the host's anywhere.
func TestVersions(t *testing.T) {
	const s2016, s2019, s2022, s2025 = 14393, 17763, 20348, 26100
	for _, c := range []struct {
		host   rig.Version
		silo   []int // images that run
		hyperv []int
	}{
		{rig.Server2019, []int{s2019}, []int{s2016, s2019}},
		{rig.Server2022, []int{s2022}, []int{s2016, s2019, s2022}},
		{rig.Server2025, []int{s2022, s2025}, []int{s2016, s2019, s2022, s2025}},
		{rig.Windows11, []int{s2022, s2025}, []int{s2016, s2019, s2022, s2025}},
		{rig.Windows10, nil, []int{s2016, s2019}},
	} {
		t.Run(c.host.Product, func(t *testing.T) {
			x := site.New(t)
			x.Windows(c.host)
			for _, kind := range []rig.Kind{rig.Silo, rig.V1} {
				runs := c.silo
				if kind == rig.V1 {
					runs = c.hyperv
				}
				for _, image := range []int{s2016, s2019, s2022, s2025} {
					b := x.BundleOf(image, kind, "true")
					args := b.Args("create")
					if slices.Contains(runs, image) {
						x.OK(args...)
						x.OK("delete", "--force", x.ID)
						continue
					}
					calls := x.Since(func() {
						r := x.Refused([]string{fmt.Sprint(image), fmt.Sprint(c.host.Build)}, args...)
						if kind == rig.Silo && image < c.host.Build && !strings.Contains(r.Stderr, "hyperv") {
							x.Errorf("%s image %d: no word of the cure, windows.hyperv: %s", kind, image, r)
						}
					})
					if len(calls.HCS()) != 0 {
						x.Errorf("the service was asked: %s", calls)
					}
				}
			}
		})
	}
}

// TestSpecDefault: `wrun spec` writes what Docker would run on this Windows: a
// silo on Server, Hyper-V on a client; and what was asked for on both.
func TestSpecDefault(t *testing.T) {
	for _, c := range []struct {
		host   rig.Version
		hyperv bool
	}{
		{rig.Server2019, false}, {rig.Server2022, false}, {rig.Server2025, false}, {rig.Windows10, true}, {rig.Windows11, true},
	} {
		t.Run(c.host.Product, func(t *testing.T) {
			x := site.New(t)
			x.Windows(c.host)
			for isolation, hyperv := range map[string]bool{"default": c.hyperv, "process": false, "hyperv": true} {
				dir := x.Dir + `\` + isolation
				x.Must(x.MkdirAll(dir))
				x.OK("spec", "--isolation", isolation, "--bundle", dir)
				if got := strings.Contains(x.Read(dir+`\config.json`), `"hyperv"`); got != hyperv {
					x.Errorf("isolation %s: hyperv in config.json is %v, want %v", isolation, got, hyperv)
				}
			}
		})
	}
}
