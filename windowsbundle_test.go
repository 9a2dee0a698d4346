package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
)

// The commands' answers to Windows containers, as far as they are pure: no
// Windows is needed.

func TestUpdateOptionsOfWindows(t *testing.T) {
	for args, want := range map[string]string{
		"--memory 512m":                       `{"memory":{"limit":536870912}}`,
		"--cpu-count 2":                       `{"cpu":{"count":2}}`,
		"--cpu-share 7500":                    `{"cpu":{"shares":7500}}`,
		"--cpu-shares 1":                      `{"cpu":{"shares":1}}`,
		"--cpu-maximum 10000 --memory 1g":     `{"memory":{"limit":1073741824},"cpu":{"maximum":10000}}`,
		"--memory -1":                         "error --memory -1: a Windows container always has a limit of memory",
		"--cpu-share 20000":                   "error --cpu-share 20000: not a number from 1 to 10000",
		"--pids-limit 5":                      "error --pids-limit 5: a Windows container has no such limit",
		"--memory 1g --memory-swap -1":        "error --memory-swap -1: a Windows container has no such limit",
		"--kernel-memory 1":                   "error --kernel-memory 1: a Windows container has no such limit",
		"--cpu-count 2 --cpu-maximum 5":       "error resources: cpu: has count and maximum, which are mutually exclusive",
		"--resources " + windowsResourcesFile: `{"memory":{"limit":1},"cpu":{"count":3},"storage":{"iops":4}}`,
		"--resources " + linuxResourcesFile:   `error resources of a Windows container: json: unknown field "pids"`,
		"--resources " + wrongResourcesFile:   "error resources: cpu.maximum = 20000: is more than 10000 cycles of 10000",
	} {
		edit, err := update(t, args)
		if err != nil {
			t.Errorf("%s: refused before there was a container: %v", args, err)
			continue
		}
		to := &libcontainer.Limits{Windows: new(specs.WindowsResources)}
		got := ""
		if err := edit(to); err != nil {
			got = "error " + err.Error()
		} else if data, err := json.Marshal(to.Windows); err != nil || to.Linux != nil {
			t.Errorf("%s: %v, %+v", args, err, to)
		} else {
			got = string(data)
		}
		if got != want && (want[:5] != "error" || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

const (
	windowsResourcesFile = "testdata-windows.json"
	linuxResourcesFile   = "testdata-linux.json"
	wrongResourcesFile   = "testdata-wrong.json"
)

// update parses an update's options, in a directory with the three files.
func update(t *testing.T, args string) (func(*libcontainer.Limits) error, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		windowsResourcesFile: `{"memory":{"limit":1},"cpu":{"count":3},"storage":{"iops":4}}`,
		linuxResourcesFile:   `{"memory":{"limit":1},"pids":{"limit":5}}`,
		wrongResourcesFile:   `{"cpu":{"maximum":20000}}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var edit func(*libcontainer.Limits) error
	err := withContext(t, "update "+args+" ID", func(c *cli.Context) (err error) {
		edit, err = readUpdate(c)
		return err
	})
	return edit, err
}

// withContext has one argv parsed and gives its context to action.
func withContext(t *testing.T, line string, action cli.ActionFunc) error {
	t.Helper()
	in := &invocation{args: strings.Fields(line)}
	app, argv := in.app()
	for _, c := range app.Commands {
		c.Action = action
	}
	return app.Run(argv)
}

func TestUpdateOfLinuxRefusesWindows(t *testing.T) {
	for args, want := range map[string]string{
		"--cpu-count 2":                       "--cpu-count 2: a Linux container has no such limit",
		"--resources " + windowsResourcesFile: "resources.storage: a Linux container has no such limit",
	} {
		edit, err := update(t, args)
		if err == nil {
			err = edit(&libcontainer.Limits{Linux: new(specs.LinuxResources)})
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestExecInWindows(t *testing.T) {
	own := specs.Process{Cwd: `C:\`, CommandLine: "cmd /c own", Env: []string{"Path=1"}, Terminal: true, ConsoleSize: &specs.Box{Height: 1, Width: 2},
		User: specs.User{Username: "ContainerUser"}}
	for line, want := range map[string]any{
		"exec ID cmd /c ver":                              specs.Process{Cwd: `C:\`, Args: []string{"cmd", "/c", "ver"}, Env: []string{"Path=1"}, User: own.User},
		"exec --user ContainerAdministrator ID x":         specs.Process{Cwd: `C:\`, Args: []string{"x"}, Env: []string{"Path=1"}, User: specs.User{Username: "ContainerAdministrator"}},
		`exec -u NT\SYSTEM -e PATH=2 --cwd D:\ ID x`:      specs.Process{Cwd: `D:\`, Args: []string{"x"}, Env: []string{"PATH=2"}, User: specs.User{Username: `NT\SYSTEM`}},
		"exec -t ID x":                                    specs.Process{Cwd: `C:\`, Args: []string{"x"}, Env: []string{"Path=1"}, User: own.User, Terminal: true, ConsoleSize: own.ConsoleSize},
		"exec --cap CAP_KILL ID x":                        "--cap is nothing that a process of a Windows container has",
		"exec -g 5 ID x":                                  "--additional-gids is nothing that a process of a Windows container has",
		"exec --apparmor p ID x":                          "--apparmor is nothing that a process of a Windows container has",
		"exec --process-label l ID x":                     "--process-label is nothing that a process of a Windows container has",
		"exec --no-new-privs ID x":                        "--no-new-privs is nothing that a process of a Windows container has",
		"exec --cgroup a ID x":                            "--cgroup is nothing that a process of a Windows container has",
		"exec --user 1x ID x":                             `--user 1x: "1x" is not a user id`,
		"exec --user a:b ID x":                            `--user a:b: "a" is not a user id`,
		"exec --user ContainerAdministrator --cap A ID x": "--cap is nothing that a process of a Windows container has",
	} {
		p := own
		p.Env = slices.Clone(own.Env)
		err := withContext(t, line, func(c *cli.Context) error {
			edit, err := processOverride(c)
			if err == nil {
				err = edit("windows", &p)
			}
			return err
		})
		if text, ok := want.(string); ok {
			if err == nil || err.Error() != text {
				t.Errorf("%s: %v, want %s", line, err, text)
			}
		} else if err != nil || !reflect.DeepEqual(p, want) {
			t.Errorf("%s: %+v, %v; want %+v", line, p, err, want)
		}
	}
	p := own
	err := withContext(t, "exec --user root ID x", func(c *cli.Context) error {
		edit, err := processOverride(c)
		if err == nil {
			err = edit("linux", &p)
		}
		return err
	})
	if err == nil || err.Error() != `--user root: "root" is not a user id` {
		t.Errorf("a name in a Linux container: %v", err)
	}
}

// TestProcessFile: the container's operating system decides what is right.
func TestProcessFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process.json")
	if err := os.WriteFile(file, []byte(`{"cwd":"C:\\","commandLine":"cmd","user":{"username":"u"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	edit, err := readProcess(file)
	if err != nil {
		t.Fatal(err)
	}
	p := specs.Process{Args: []string{"old"}, Env: []string{"A=1"}}
	if err := edit("linux", &p); err == nil || p.Args == nil {
		t.Errorf("on linux: %v, %+v", err, p)
	}
	if err := edit("windows", &p); err != nil || !reflect.DeepEqual(p, specs.Process{Cwd: `C:\`, CommandLine: "cmd", User: specs.User{Username: "u"}}) {
		t.Errorf("on windows: %v, %+v", err, p)
	}
}

func TestOwnTable(t *testing.T) {
	var b bytes.Buffer
	at := time.Date(2026, 11, 26, 1, 2, 3, 4, time.FixedZone("", 3600))
	err := printOwnTable(&b, []libcontainer.ProcessInfo{
		{Pid: 7, Image: "ping\n.exe", Created: at, User: 1500 * time.Millisecond, Kernel: 250 * time.Millisecond, Memory: 2 << 20},
		{Pid: 12345678, Image: "x"},
	})
	const want = "" +
		"PID       IMAGE       CREATED               CPU      MEMORY\n" +
		"7         ping\\n.exe  2026-11-26T00:02:03Z  1.750 s  2048 K\n" +
		"12345678  x           -                     0.000 s  0 K\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
}

func TestSignalFor(t *testing.T) {
	for _, tt := range []struct {
		system string
		from   int
		to     int
		ok     bool
	}{
		{"linux", 2, 2, true}, {"linux", 10, 10, true},
		{"windows", 2, libcontainer.CtrlC, true}, {"windows", 15, libcontainer.CtrlShutdown, true},
		{"windows", 3, libcontainer.CtrlBreak, true}, {"windows", 1, libcontainer.CtrlClose, true},
		{"windows", 10, 0, false}, {"windows", 9, 0, false},
	} {
		if to, ok := signalFor(tt.system, tt.from); to != tt.to || ok != tt.ok {
			t.Errorf("%s %d: %d, %v; want %d, %v", tt.system, tt.from, to, ok, tt.to, tt.ok)
		}
	}
}

func TestNamedRoot(t *testing.T) {
	base := filepath.Join("data", "wrun")
	for root, want := range map[string]string{
		"default": filepath.Join("data", "wrun@default"),
		"":        "", ".": ".", "..": "..", `C:\state`: `C:\state`, `dir\x`: `dir\x`, "a/b": "a/b", "C:": "C:", `\\.\x`: `\\.\x`,
	} {
		if got := namedRoot(root, base); got != want {
			t.Errorf("%q: %q, want %q", root, got, want)
		}
	}
}

func TestIsPipe(t *testing.T) {
	for name, want := range map[string]bool{
		`\\.\pipe\ProtectedPrefix\Administrators\runhcs-log`: true, `//./PIPE/x`: true,
		`\\.\pipe\`: false, `C:\pipe\x`: false, "": false, `\\server\pipe\x`: false,
	} {
		if got := isPipe(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}
