package seccomp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	// Go keeps a module in go.mod that some package is imported of.
	_ "github.com/containerd/containerd/v2/pkg/kernelversion"
	_ "github.com/moby/profiles/seccomp"
	_ "go.podman.io/common/pkg/seccomp"
)

// engines says where the packages are and what they ask the machine by. Only
// the files that translate are taken: containerd's others need all of containerd.
var engines = []struct {
	name, module, dir string
	files             []string
	asks              string // the import that machine takes the place of
}{
	{"podman", "go.podman.io/common", "pkg/seccomp",
		[]string{"conversion.go", "default_linux.go", "errno_list.go", "seccomp_linux.go", "supported.go", "types.go"},
		`libseccomp "github.com/seccomp/libseccomp-golang"`},
	{"docker", "github.com/moby/profiles/seccomp", ".",
		[]string{"default_linux.go", "kernel_linux.go", "seccomp.go", "seccomp_linux.go"}, `"runtime"`},
	{"containerd", "github.com/containerd/containerd/v2", "contrib/seccomp",
		[]string{"seccomp_default.go"}, `"runtime"`},
}

// translator builds testdata/translate.go.txt, and answers the program's path.
// The sources exist in the build's overlay only.
func translator(t *testing.T) string {
	t.Helper()
	const machine = `"wrun/tests/engines/seccomp/machine"`
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{
		filepath.Join(here, "engines", "main.go"): filepath.Join(here, "testdata", "translate.go.txt"),
	}}
	for _, e := range engines {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", e.module).Output()
		if err != nil {
			t.Fatalf("find %s: %v", e.module, err)
		}
		asked := 0
		for _, name := range e.files {
			source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), e.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			as, _, named := strings.Cut(e.asks, " ")
			if !named {
				as = strings.Trim(e.asks, `"`)
			}
			asked += bytes.Count(source, []byte(e.asks))
			source = bytes.ReplaceAll(source, []byte(e.asks), []byte(as+" "+machine))
			written := filepath.Join(dir, e.name+"-"+name)
			if err := os.WriteFile(written, source, 0o600); err != nil {
				t.Fatal(err)
			}
			overlay.Replace[filepath.Join(here, "engines", e.name, name)] = written
		}
		if asked != 1 {
			t.Fatalf("%s imports %s %d times: it asks the machine by something else now", e.name, e.asks, asked)
		}
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file, bin := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "translate")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", bin, "-overlay", file, "-tags", "seccomp", "./engines")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the engines' packages: %v\n%s", err, out)
	}
	return bin
}

// dockers are the capabilities that Docker gives a container, containerd too.
const dockers = `CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP
	CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE`

// every capability of Linux 6: the engines allow more calls then.
const every = dockers + ` CAP_DAC_READ_SEARCH CAP_LINUX_IMMUTABLE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_IPC_LOCK CAP_IPC_OWNER
	CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE
	CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_LEASE CAP_AUDIT_CONTROL CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM
	CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`

// profile is what an engine puts into a bundle.
type profile struct {
	name, goarch string
	filter       *specs.LinuxSeccomp
}

func profiles(t *testing.T) []profile {
	t.Helper()
	program := translator(t)
	var all []profile
	for _, goarch := range []string{"amd64", "arm64"} {
		for _, caps := range []struct{ what, names string }{{"Docker's capabilities", dockers}, {"all capabilities", every}} {
			out, err := exec.Command(program, append([]string{goarch}, strings.Fields(caps.names)...)...).Output()
			if err != nil {
				t.Fatalf("translate for %s: %v", goarch, err)
			}
			var filters map[string]*specs.LinuxSeccomp
			if err := json.Unmarshal(out, &filters); err != nil {
				t.Fatal(err)
			}
			for _, e := range engines {
				if filters[e.name] == nil {
					t.Fatalf("%s has no profile for %s", e.name, goarch)
				}
				all = append(all, profile{fmt.Sprintf("%s on %s with %s", e.name, goarch, caps.what), goarch, filters[e.name]})
			}
		}
	}
	return all
}
