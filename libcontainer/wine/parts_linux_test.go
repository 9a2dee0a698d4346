package wine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wrun/libcontainer"
)

// TestMissing: what is not there is named, with the package or the target that
// brings it.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	if _, err := findWine([]place{{dir + "/wine64", dir + "/wineserver", dir, dir}}); !strings.Contains(libcontainer.Hint(err), "wine64") {
		t.Errorf("without Wine: %v, %q", err, libcontainer.Hint(err))
	}
	if _, err := findTools([]string{dir}); err == nil || libcontainer.Hint(err) != "make wine builds them" {
		t.Errorf("without tools: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "session"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := findTools([]string{dir}); err == nil || !strings.Contains(err.Error(), "launcher.exe") || libcontainer.Hint(err) != "make wine builds it" {
		t.Errorf("with one of them: %v", err)
	}
}

// TestMerged: a path is found as Windows would on what an overlay shows.
func TestMerged(t *testing.T) {
	top, base := t.TempDir(), t.TempDir()
	for _, d := range []string{top + "/App", base + "/App/Data", base + "/Users"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{top + "/App/x.txt", base + "/App/Data/Y.TXT", base + "/App/X.txt"} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for asked, want := range map[string][2]string{
		"app/X.TXT":      {"App/x.txt", top + "/App/x.txt"},
		"APP/data/y.txt": {"App/Data/Y.TXT", base + "/App/Data/Y.TXT"},
		"users":          {"Users", base + "/Users"},
		"app/new/deep":   {"App/new/deep", ""},
		"app/x.txt/deep": {"App/x.txt/deep", ""},
		"none":           {"none", ""},
	} {
		spelled, file := merged{top, base}.find(strings.Split(asked, "/"))
		if spelled != want[0] || file != want[1] {
			t.Errorf("%s: %q at %q, want %q", asked, spelled, file, want)
		}
	}
	if err := clash(top, []string{base}); err == nil || !strings.Contains(err.Error(), "x.txt is spelled X.txt in") {
		t.Errorf("a name in two cases: %v", err)
	}
}

func TestOverlayOptions(t *testing.T) {
	o := Overlay{Lower: []string{"/a:b", `/c\d,e`}, Upper: "/u,p", Work: "/w"}
	want := []string{`lowerdir=/a\:b:/c\\d\,e`, `upperdir=/u\,p`, "workdir=/w"}
	if got := o.Options()[:3]; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
