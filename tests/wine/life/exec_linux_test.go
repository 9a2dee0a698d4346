package life

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// TestExec: a further process has its own streams and its own exit code, and
// the container goes on.
func TestExec(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		r := t.Wrun("exec", t.ID, "sh", "-c", "echo out; echo err >&2; exit 9")
		if r.Code != 9 {
			t.Errorf("want exit code 9: %s", r)
		}
		t.Equal("stdout", r.Stdout, "out\n")
		t.Equal("stderr", r.Stderr, "err\n")
		t.Is(t.ID, specs.StateRunning)
	})
}

// TestExecExitCodes: all 32 bits.
func TestExecExitCodes(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		for _, code := range []uint32{0, 255, 256, 3221225786} {
			if got, r := t.ExitCode("exec", t.ID, "probe", "exit", strconv.FormatUint(uint64(code), 10)); got != code || r.Stderr != "" {
				t.Errorf("exec of exit %d: exit code %d, %s", code, got, r)
			}
		}
	})
}

// TestExecStdin: what the caller types is the new process's.
func TestExecStdin(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		c := t.Command("exec", t.ID, "cat")
		c.Stdin = strings.Repeat("line\r\n", 20000)
		if r := t.Do(c); r.Code != 0 || r.Stdout != c.Stdin || r.Stderr != "" {
			t.Errorf("exit code %d, %d bytes came back, stderr %q", r.Code, len(r.Stdout), r.Stderr)
		}
	})
}

// TestExecOptions: working directory and environment are the container's unless
// the options say otherwise.
func TestExecOptions(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Process.Env = []string{"NAME=value", "EMPTY="}
		b.Started()
		t.Equal("cwd", t.OK("exec", t.ID, "probe", "cwd").Stdout, "C:\\\n")
		t.Equal("cwd", t.OK("exec", "--cwd", `C:\windows`, t.ID, "probe", "cwd").Stdout, "C:\\windows\n")
		env := rig.Lines(t.OK("exec", "--env", "MORE=a,b", "--env", "NAME=other", t.ID, "probe", "env").Stdout)
		for _, want := range []string{"MORE=a,b", "NAME=other"} {
			if !slices.Contains(env, want) {
				t.Errorf("no %s in %q", want, env)
			}
		}
		if slices.Contains(env, "NAME=value") {
			t.Errorf("NAME is there twice: %q", env)
		}
	})
}

// TestExecUser: the user's name is the service's to resolve. The emulated one
// has no users: what is shown is that the name arrives.
func TestExecUser(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V1}, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Process.User.Username = "ContainerUser"
		b.Started()
		calls := t.Since(func() { t.OK("exec", "--user", "ContainerAdministrator", t.ID, "true") })
		for _, c := range []struct{ document, user string }{
			{t.Document(t.Journal(t.ID)[:len(t.Journal(t.ID))-len(calls.About(t.ID))], "HcsCreateProcess"), "ContainerUser"},
			{t.Document(calls, "HcsCreateProcess"), "ContainerAdministrator"},
		} {
			if got := t.Field(c.document, "User"); got != c.user {
				t.Errorf("user %v, want %s", got, c.user)
			}
		}
	})
}

// TestExecProcessFile: --process takes a process as in config.json.
func TestExecProcessFile(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		file := t.Write("process.json", `{"args":["probe","args","one","two words"],"cwd":"C:\\windows","env":["A=b"]}`)
		t.Equal("arguments", t.OK("exec", "--process", file, t.ID).Stdout, "\"one\"\n\"two words\"\n")
	})
}

// TestExecDetach: the command returns at once, the process has a pid file and
// ends with the container.
func TestExecDetach(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		pidFile := t.Dir + `\pid`
		r := t.OK("exec", "--detach", "--pid-file", pidFile, t.ID, "sh", "-c", "echo there; sleep 1000")
		if pid, err := strconv.Atoi(t.Read(pidFile)); err != nil || pid == 0 {
			t.Errorf("pid file: %q", t.Read(pidFile))
		}
		t.Until("its output arrives", func() bool { return rig.Last(r.Later()) == "there" })
		if got := len(t.Pids()); got != 2 {
			t.Errorf("%d processes in the container, want 2", got)
		}
		t.OK("kill", t.ID, "KILL")
		t.Becomes(t.ID, specs.StateStopped)
		t.OK("delete", t.ID)
	})
}

// TestExecMissingProgram: the text that podman and docker turn into exit code 127.
func TestExecMissingProgram(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		r := t.Refused([]string{"nosuch", "executable file not found"}, "exec", t.ID, "nosuch.exe")
		if r.Code != 255 {
			t.Errorf("exit code %d, want 255", r.Code)
		}
		t.Is(t.ID, specs.StateRunning)
	})
}

// TestExecCreated: a process in a container that waits for start, as CNI
// plug-ins and debuggers want it.
func TestExecCreated(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sh", "-c", "echo started; sleep 1000").Create()
		t.Equal("stdout", t.OK("exec", t.ID, "echo", "early").Stdout, "early\n")
		t.Is(t.ID, specs.StateCreated)
		t.OK("start", t.ID)
		t.Is(t.ID, specs.StateRunning)
	})
}

// TestArguments: what stands in args arrives, however Windows would split it.
func TestArguments(t *testing.T) {
	odd := []string{"two words", "", `quo"te`, `back\slash\`, `"all"`, `\"`, "tab\there", "ünïcödé", "日本語", "😀", "%PATH%", "^&|<>", "a=b", "-x", `C:\Program Files\x`}
	var want strings.Builder
	for _, a := range odd {
		line, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		want.Write(append(line, '\n'))
	}
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		r := t.Bundle(kind, append([]string{"probe", "args"}, odd...)...).Run("--keep")
		t.Equal("run: arguments", r.Stdout, want.String())
		t.OK("delete", t.ID)
		t.Bundle(kind, "sleep", "1000").Started()
		r = t.Wrun(append([]string{"exec", t.ID, "probe", "args"}, odd...)...)
		t.Equal("exec: arguments", r.Stdout, want.String())
	})
}

// TestCommandLine: process.commandLine goes to the program as it is, and args
// are then not looked at (config.md: "commandLine … takes precedence over args").
func TestCommandLine(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "probe", "echo", "args")
		b.Spec.Process.CommandLine = `probe cmdline  "a  b"  /c:'d'`
		r := b.Run()
		t.Equal("command line", r.Stdout, b.Spec.Process.CommandLine+"\n")
	})
}

// TestEnvironment: values may be empty and may contain anything.
func TestEnvironment(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "probe", "env")
		b.Spec.Process.Env = []string{"EMPTY=", "EQUALS=a=b", "SPACES= x ", "UNI=ü😀"}
		got := rig.Lines(b.Run().Stdout)
		for _, want := range b.Spec.Process.Env {
			if want == "EMPTY=" {
				// Whether a program sees an empty variable is up to Windows: Wine
				// drops it. That wrun passes it on: TestFlaws.
				continue
			}
			if !slices.Contains(got, want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
	})
}

// TestCwd: the program starts where process.cwd says.
func TestCwd(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "probe", "cwd")
		b.Spec.Process.Cwd = `C:\windows\system32`
		t.Equal("cwd", b.Run().Stdout, "C:\\windows\\system32\n")
	})
}

// TestMissingProgram: a program that is not there is an error of start, and the
// container is then stopped.
func TestMissingProgram(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "nosuch.exe")
		b.Create()
		t.Refused([]string{"nosuch.exe", "executable file not found"}, "start", t.ID)
		t.Becomes(t.ID, specs.StateStopped)
		t.OK("delete", t.ID)
		t.IsRefusal(b.Run(), "nosuch.exe", "executable file not found")
		t.Is(t.ID, "")
	})
}
