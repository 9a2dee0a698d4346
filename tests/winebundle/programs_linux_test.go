package winebundle

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// personality is a file of Linux' that has the number 40000 where addresses are
// not random (personality(2)).
const personality = `\\?\unix\proc\self\personality`

// TestPrograms: what a program is told and what it tells is unchanged.
func TestPrograms(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*specs.Process)
		args []string
		out  string
		code int
	}{
		{"arguments", nil, []string{`C:\probe.exe`, "args", "plain", "with space", `back\`, `"quoted"`, `a\"b\\`, "ÄÖ €", "日本", "", "%PATH%", "-"},
			"plain\nwith space\nback\\\n\"quoted\"\na\\\"b\\\\\nÄÖ €\n日本\n\n%PATH%\n-\n", 0},
		{"command line", func(p *specs.Process) {
			p.CommandLine = `C:\probe.exe line  two   blanks "and" ^ %x% é`
		}, []string{"ignored"}, `C:\probe.exe line  two   blanks "and" ^ %x% é` + "\n", 0},
		{"no extension", nil, []string{"probe", "args", "x"}, "x\n", 0},
		{"exit code", nil, []string{`C:\probe.exe`, "exit", "77"}, "", 77},
		{"32-bit exit code", nil, []string{`C:\probe.exe`, "exit", "0x12345"}, "", 0x45},
		{"Go program", nil, []string{`C:\box.exe`, "echo", "from Go"}, "from Go\n", 0},
		{"system directory", nil, []string{"cmd", "/c", "ver"}, "\nMicrosoft Windows 10.0.20348\n", 0},
		{"working directory", func(p *specs.Process) { p.Cwd = `C:\windows\temp` }, []string{"cmd", "/c", "cd"}, "C:\\windows\\temp\n", 0},
		{"environment", func(p *specs.Process) { p.Env = []string{"a=1", "B=two words", "A=3", "C=ü"} },
			[]string{"cmd", "/c", "echo %a% %b% %WRUN_COMMAND% %LC_ALL%"}, "3 two words %WRUN_COMMAND% %LC_ALL%\n", 0},
		{"computer name", nil, []string{"cmd", "/c", "echo %COMPUTERNAME%"}, "WINBOX\n", 0},
		{"volume", nil, []string{"cmd", "/c", "vol"}, "Volume in drive C has no label.\nVolume Serial Number is 4300-0000\n\n", 0},
		{"user", nil, []string{`C:\probe.exe`, "user"}, "ContainerAdministrator\n", 0},
		{"ordinary user", func(p *specs.Process) { p.User.Username = "containeruser" }, []string{`C:\probe.exe`, "user"}, "ContainerUser\n", 0},
		{"its profile", func(p *specs.Process) { p.User.Username = "ContainerUser" }, []string{"cmd", "/c", "echo %USERPROFILE%"}, "C:\\users\\ContainerUser\n", 0},
		{"what it may not write", func(p *specs.Process) { p.User.Username = "ContainerUser" },
			[]string{`C:\probe.exe`, "write", `C:\windows\x`, "x"}, "write: error 5\n", 1},
		{"addresses that leave Wine its page", nil, []string{"cmd", "/c", "type " + personality}, "00040000\n", 0},
		{"what an administrator may", nil, []string{`C:\probe.exe`, "write", `C:\probe.exe.txt`, "x"}, "written\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.args...)
			if tt.edit != nil {
				tt.edit(r.spec.Process)
			}
			r.says(tt.out, tt.code)
		})
	}
}

// TestVersion: the reported version is Server 2022's, or the annotation's, also in
// a scratch that had another one.
func TestVersion(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "version")
	r.says("10.0.20348 server\n", 0)
	r.spec.Annotations = map[string]string{"org.wrun.wine.version": "2019"}
	r.says("10.0.17763 server\n", 0)
	r.spec.Annotations = map[string]string{"org.wrun.wine.version": "10.0.26100.1742"}
	r.says("10.0.26100 server\n", 0)
	r.spec.Annotations = nil
	r.says("10.0.20348 server\n", 0)
}

// TestHostIsHidden: of the host's files a program reaches Wine's own and no more.
func TestHostIsHidden(t *testing.T) {
	hidden := []string{`\\?\unix\etc\shadow`, `\\?\unix\home`, `\\?\unix\root`, `\\?\unix\var`, `\\?\unix\bin`, `\\?\unix\usr\bin`,
		`\\?\unix` + strings.ReplaceAll(work, "/", `\`), `Z:\`, `\\?\unix\proc\1\root\home`}
	r := newRig(t, append([]string{`C:\probe.exe`, "open"}, hidden...)...)
	out, res := r.run()
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if i < len(hidden) && !strings.HasPrefix(line, "open: error ") {
			t.Errorf("%s: %q", hidden[i], line)
		}
	}
	if n := strings.Count(out, "\n"); res.Code != 1 || n != len(hidden) {
		t.Errorf("%d answers for %d paths: %q, %+v", n, len(hidden), out, res)
	}
	// The look itself works.
	newRig(t, `C:\probe.exe`, "open", `\\?\unix\usr\lib\wine`).says("open\n", 0)
}

// TestRefused: what cannot be is refused before anything runs, with the reason and
// the cure, and leaves nothing.
func TestRefused(t *testing.T) {
	arm, broken := filepath.Join(work, "arm"), filepath.Join(work, "cased")
	if whyNot == "" {
		program, err := os.ReadFile(filepath.Join(layer, "probe.exe"))
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint16(program[binary.LittleEndian.Uint32(program[60:])+4:], 0xaa64)
		for dir, file := range map[string]string{arm: "arm.exe", filepath.Join(broken, "Windows"): "x"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), program, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		edit  func(*specs.Spec)
		words []string
	}{
		{"missing program", func(s *specs.Spec) { s.Process.Args = []string{"nonesuch"} }, []string{"executable file not found"}},
		{"missing directory", func(s *specs.Spec) { s.Process.Cwd = `C:\none` }, []string{"directory name is invalid", "process.cwd must exist"}},
		{"wrong machine", func(s *specs.Spec) {
			s.Windows.LayerFolders = append([]string{arm}, s.Windows.LayerFolders...)
			s.Process.Args = []string{"ARM"}
		}, []string{"ARM is a program for ARM64", "build it for amd64"}},
		{"missing layer", func(s *specs.Spec) { s.Windows.LayerFolders[0] = "/nonexistent" }, []string{"windows.layerFolders[0]", "no such file"}},
		{"names that differ in case", func(s *specs.Spec) { s.Windows.LayerFolders[0] = broken }, []string{"Windows is spelled windows in", "rename"}},
		{"user", func(s *specs.Spec) { s.Process.User.Username = "Alice" }, []string{`"Alice" is no account`, "ContainerAdministrator or ContainerUser"}},
		{"group managed service account", func(s *specs.Spec) { s.Windows.CredentialSpec = map[string]any{} }, []string{"credentialSpec", "domain"}},
		{"servicing", func(s *specs.Spec) { s.Windows.Servicing = true }, []string{"windows.servicing"}},
		{"device", func(s *specs.Spec) {
			s.Windows.Devices = []specs.WindowsDevice{{ID: "5B45201D-F2F2-4F3B-85BB-30FF1F953599", IDType: "class"}}
		}, []string{"windows.devices[0]", "driver"}},
		{"endpoint", func(s *specs.Spec) { s.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{"e"}} },
			[]string{"endpointList", "networkNamespace"}},
		{"host process", func(s *specs.Spec) { s.Annotations = map[string]string{"microsoft.com/hostprocess-container": "true"} },
			[]string{"process namespaces cannot be shared"}},
		{"shared memory", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Source: "/dev/null", Destination: `\\?\GLOBALROOT\BaseNamedObjects\x`}}
		}, []string{"shared memory", "share a file"}},
		{"mount that is not there", func(s *specs.Spec) { s.Mounts = []specs.Mount{{Source: "/nonexistent", Destination: `C:\x`}} },
			[]string{"mounts[0].source", "no such file"}},
		{"mount on another drive", func(s *specs.Spec) { s.Mounts = []specs.Mount{{Source: "/tmp", Destination: `D:\x`}} },
			[]string{"mounts[0].destination", "drive C:"}},
		{"version", func(s *specs.Spec) { s.Annotations = map[string]string{"org.wrun.wine.version": "7"} }, []string{"no version of Windows Server"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, `C:\probe.exe`, "line")
			tt.edit(r.spec)
			r.refused(tt.words...)
		})
	}
}
