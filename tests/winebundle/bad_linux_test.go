package winebundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestBad: the rules of runtime-spec for Windows bundles hold in both isolations, and
// what this host cannot give is refused in both.
func TestBad(t *testing.T) {
	count, shares := uint64(1), uint16(100)
	for _, tt := range []struct {
		name  string
		edit  func(*specs.Spec)
		words []string
	}{
		{"no layers", func(s *specs.Spec) { s.Windows.LayerFolders = []string{} }, []string{"windows.layerFolders", "MUST contain at least one entry"}},
		{"empty layer", func(s *specs.Spec) { s.Windows.LayerFolders[0] = "" }, []string{"windows.layerFolders[0]"}},
		{"layer twice", func(s *specs.Spec) {
			s.Windows.LayerFolders = append(s.Windows.LayerFolders[:1:1], s.Windows.LayerFolders...)
		},
			[]string{"windows.layerFolders[1]"}},
		{"two CPU limits", func(s *specs.Spec) {
			s.Windows.Resources = &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: &count, Shares: &shares}}
		}, []string{"windows.resources.cpu"}},
		{"network namespace and more", func(s *specs.Spec) {
			s.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: "/proc/self/ns/net", EndpointList: []string{"x"}}
		}, []string{"windows.network", "keep networkNamespace alone"}},
		{"a path as root", func(s *specs.Spec) { s.Root = &specs.Root{Path: "/tmp"} }, []string{"root"}},
		{"no program", func(s *specs.Spec) { s.Process.Args = nil }, []string{"process"}},
		{"Linux path as working directory", func(s *specs.Spec) { s.Process.Cwd = "tmp" }, []string{"process.cwd"}},
		{"device", func(s *specs.Spec) {
			s.Windows.Devices = []specs.WindowsDevice{{ID: "5B45201D-F2F2-4F3B-85BB-30FF1F953599", IDType: "class"}}
		}, []string{"windows.devices[0]", "leave windows.devices out"}},
		{"shared memory", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Source: "/dev/null", Destination: `\\?\GLOBALROOT\BaseNamedObjects\x`}}
		}, []string{"shared memory", "share a file"}},
		{"shared processes", func(s *specs.Spec) {
			s.Annotations = map[string]string{"microsoft.com/hostprocess-container": "true"}
		}, []string{"process namespaces cannot be shared"}},
	} {
		for _, isolation := range []string{"silo", "vm"} {
			t.Run(tt.name+" in a "+isolation, func(t *testing.T) {
				r := newRig(t, `C:\probe.exe`, "line")
				if isolation == "vm" {
					r.hyperv("")
				}
				tt.edit(r.spec)
				r.refused(tt.words...)
			})
		}
	}
}

// TestMissing: without Wine, or without what runs beside it, the error names the cure.
func TestMissing(t *testing.T) {
	for name, tt := range map[string]struct{ hide, cure string }{
		"Wine":           {"/usr/lib/wine", "apt-get install --no-install-recommends wine wine64"},
		"what is beside": {filepath.Join(work, "wine"), "make wine"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, `C:\probe.exe`, "line")
			r.save()
			// In a mount namespace of its own something empty lies over it.
			cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", `mount -t tmpfs none "$1" && shift && exec "$@"`, "sh", tt.hide,
				program, "--root", r.Root, "--log", filepath.Join(r.dir, "log"), "run", "--bundle", r.dir, r.id)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.cure) {
				t.Errorf("%v: %s; want %q", err, out, tt.cure)
			}
			if s := r.State(t, r.id); s != "" {
				t.Errorf("after it the container is %s", s)
			}
		})
	}
}

// TestExitCodes: the process has the low 8 bits, state has all 32.
func TestExitCodes(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "exit", "0")
	for code, want := range map[string]string{"0": "0", "255": "255", "256": "256", "0x7fffffff": "2147483647", "3221225786": "3221225786", "0xffffffff": "4294967295"} {
		t.Run(code, func(t *testing.T) {
			r.T = t
			r.spec.Process.Args[2] = code
			r.save()
			r.create(r.id)
			r.good("start", r.id)
			if got := r.stopped(); got != want {
				t.Errorf("state has %s, want %s", got, want)
			}
			r.good("delete", r.id)
		})
	}
	r.T = t
}

// TestNames: unicode and blanks in all that a bundle names.
func TestNames(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "open", `C:\Füße und 日本\ein Blatt.txt`, `C:\füße UND 日本\ORDNER\Β`)
	folder := filepath.Join(r.dir, "ein Ordner: β, γ")
	app := filepath.Join(r.dir, "la yer, ü:")
	r.must(os.MkdirAll(folder, 0o755))
	r.must(os.MkdirAll(filepath.Join(app, "Füße und 日本"), 0o755))
	r.must(os.WriteFile(filepath.Join(folder, "β"), nil, 0o644))
	r.must(os.WriteFile(filepath.Join(app, "Füße und 日本", "ein Blatt.txt"), nil, 0o644))
	r.spec.Windows.LayerFolders = []string{app, layer, filepath.Join(r.dir, "Kratz raum\\ ß")}
	r.spec.Mounts = []specs.Mount{{Source: folder, Destination: `C:\Füße und 日本\Ordner`}}
	r.says("open\nopen\n", 0)
}
