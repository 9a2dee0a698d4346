package oci

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"
	"github.com/sirupsen/logrus"
	"github.com/xeipuuv/gojsonschema"
)

// TestTemplatesSecondOpinion: what `wrun spec` writes pleases runtime-tools'
// validator and the schema. It is made from what runtime-tools generates, which
// gets the same opinions as it comes: a correction of
// docs/design/0005-spec-templates.md that is no longer needed is noticed here.
func TestTemplatesSecondOpinion(t *testing.T) {
	logrus.SetOutput(io.Discard)
	schema, err := gojsonschema.NewSchema(gojsonschema.NewReferenceLoader("file://" + filepath.Join(schemaDir(t), "config-schema.json")))
	if err != nil {
		t.Fatal(err)
	}
	wrun := filepath.Join(t.TempDir(), "wrun")
	if out, err := exec.Command("go", "build", "-o", wrun, "wrun").CombinedOutput(); err != nil {
		t.Fatalf("build wrun: %v\n%s", err, out)
	}
	for _, options := range []string{
		"--os linux", "--os linux --rootless", "--os linux --isolation hyperv",
		"--os windows", "--os windows --isolation hyperv",
	} {
		t.Run("wrun spec "+options, func(t *testing.T) {
			dir := emptyBundle(t)
			out, err := exec.Command(wrun, append([]string{"spec", "--bundle", dir}, strings.Fields(options)...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			data, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			platform, err := ours(dir)
			if err != nil {
				t.Errorf("wrun refuses its own: %v", err)
			}
			// In a Linux bundle windows.hyperv only selects the isolation; the
			// others want layerFolders in every windows section.
			selects := options == "--os linux --isolation hyperv"
			for opinion, err := range map[string]error{"runtime-tools": tools(dir, platform), "the schema": bySchema(schema, data)} {
				if (err != nil) != selects || selects && !strings.Contains(strings.ToLower(err.Error()), "layerfolders") {
					t.Errorf("%s: %v", opinion, err)
				}
			}
		})
	}
	for _, tt := range []struct {
		platform string
		good     bool
	}{
		{"linux", true},
		{"windows", false}, // no root, and layerFolders is null
	} {
		t.Run("generate "+tt.platform, func(t *testing.T) {
			dir := emptyBundle(t)
			g, err := generate.New(tt.platform)
			if err != nil {
				t.Fatal(err)
			}
			if l := g.Config.Linux; l != nil {
				if l.Seccomp == nil || slices.ContainsFunc(l.Seccomp.Syscalls, func(s specs.LinuxSyscall) bool { return slices.Contains(s.Names, "clone3") }) {
					t.Error("the filter lets threads start: wrun spec need not leave it out for that")
				}
			}
			if err := g.SaveToFile(filepath.Join(dir, "config.json"), generate.ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := ours(dir); (err == nil) != tt.good {
				t.Errorf("wrun's opinion: %v", err)
			}
			if err := tools(dir, tt.platform); (err == nil) != tt.good {
				t.Errorf("runtime-tools' own opinion: %v", err)
			}
		})
	}
}

func emptyBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
