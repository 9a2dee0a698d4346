package differential

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// TestGoldens: the service gets the documents that were compared with runhcs's,
// and no others. Of silos; -hyperv has those of utility VMs, whose boots take
// their time.
func TestGoldens(t *testing.T) {
	if *peer != "" {
		t.Skip("compared with the peer's own")
	}
	x := site.New(t)
	x.Untidy()
	variants, kind := slices.Concat(both, silos), "silo"
	if *hyperv {
		variants, kind = slices.Concat(both, virtual), "vm"
	}
	for i, v := range variants {
		x.Run(v.name, func(sub *testing.T) {
			y := x.In(sub)
			documents, note := life(y, v, surroundings(y, v), fmt.Sprintf("t%d-wrun", i))
			var b strings.Builder
			if note != "" {
				fmt.Fprintf(&b, "error\n%s\n", note)
			}
			for _, d := range documents {
				if d.what == "process change" {
					continue // the end of the input, which comes before the kill or does not
				}
				fmt.Fprintf(&b, "%s\n%s\n", d.what, d.text)
			}
			file := filepath.Join("testdata", kind, strings.ReplaceAll(v.name, " ", "-")+".golden")
			if *update {
				y.Must(os.MkdirAll(filepath.Dir(file), 0o755))
				y.Must(os.WriteFile(file, []byte(b.String()), 0o644))
				return
			}
			want, err := os.ReadFile(file)
			y.Must(err)
			if b.String() != string(want) {
				y.Errorf("the documents are not those of %s:\n%s\nwant\n%s", file, b.String(), want)
			}
		})
	}
}
