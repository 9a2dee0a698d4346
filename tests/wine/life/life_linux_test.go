package life

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/tests/wine/rig"
)

// TestLife is one container from create to delete.
func TestLife(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sh", "-c", "echo hello; sleep 1000")
		pidFile := t.Dir + `\pid`
		out := b.Create("--pid-file", pidFile)

		s := t.State(t.ID)
		if s.Status != specs.StateCreated || s.Version != specs.Version || s.ID != t.ID || s.Bundle != b.Dir {
			t.Errorf("created: %+v", s)
		}
		t.Equal("pid file", t.Read(pidFile), strconv.Itoa(s.Pid))
		if image := t.Image(s.Pid); image != "wrun.exe" {
			t.Errorf("the state's pid %d is a process %q, want the monitor", s.Pid, image)
		}
		t.Equal("output before start", out.Later(), "")

		t.OK("start", t.ID)
		s = t.State(t.ID)
		if s.Status != specs.StateRunning || s.Annotations[libcontainer.AnnotationInit] == "" {
			t.Errorf("started: %+v", s)
		}
		isolation := map[rig.Kind]string{rig.Silo: "silo", rig.V1: "uvm", rig.V2: "uvm"}[kind]
		if got := s.Annotations[libcontainer.AnnotationIsolation]; got != isolation {
			t.Errorf("annotation says isolation %q, want %q", got, isolation)
		}
		t.Until("the container says hello", func() bool { return rig.Last(out.Later()) == "hello" })

		t.OK("kill", t.ID, "KILL")
		t.Becomes(t.ID, specs.StateStopped)
		s = t.State(t.ID)
		if s.Pid != 0 || s.Annotations[libcontainer.AnnotationExitCode] == "" {
			t.Errorf("stopped: %+v", s)
		}
		t.OK("delete", t.ID)
		t.Is(t.ID, "")
		t.Equal("all output", out.Later(), "hello\n")
		t.Equal("all errors", out.LaterErr(), "")
	})
}

// TestEndsByItself: a container that ends is stopped, with its exit code, until
// it is deleted.
func TestEndsByItself(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "probe", "exit", "7")
		b.Started()
		t.Becomes(t.ID, specs.StateStopped)
		if got := t.State(t.ID).Annotations[libcontainer.AnnotationExitCode]; got != "7" {
			t.Errorf("exit code %q, want 7", got)
		}
		t.Refused([]string{"container not running"}, "kill", t.ID, "TERM")
		t.OK("delete", t.ID)
	})
}

// TestExitCodes: run ends with all 32 bits of the program's code. 3221225786 is
// STATUS_CONTROL_C_EXIT.
func TestExitCodes(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		codes := []uint32{0, 1, 7, 255, 256, 3221225786}
		if kind != rig.Silo {
			codes = codes[4:] // each costs a boot
		}
		for _, code := range codes {
			text := strconv.FormatUint(uint64(code), 10)
			b := t.Bundle(kind, "probe", "exit", text)
			got, r := t.ExitCode(b.Args("run", "--keep")...)
			if got != code || r.Stderr != "" || r.Stdout != "" {
				t.Errorf("run of exit %d: exit code %d, %s", code, got, r)
			}
			s := t.State(t.ID)
			if s.Status != specs.StateStopped || s.Annotations[libcontainer.AnnotationExitCode] != text {
				t.Errorf("after exit %d: %+v", code, s)
			}
			t.OK("delete", t.ID)
		}
	})
}

// TestRun: run is create, start, wait and delete.
func TestRun(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		r := t.Bundle(kind, "sh", "-c", "echo out; echo err >&2; exit 3").Run()
		if r.Code != 3 {
			t.Errorf("want exit code 3: %s", r)
		}
		t.Equal("stdout", r.Stdout, "out\n")
		t.Equal("stderr", r.Stderr, "err\n")
		t.Is(t.ID, "")
	})
}

// TestRunDetach: the container outlives the command that ran it.
func TestRunDetach(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		pidFile := t.Dir + `\pid`
		r := t.OK(t.Bundle(kind, "sh", "-c", "echo up; sleep 1000").Args("run", "--detach", "--pid-file", pidFile)...)
		s := t.State(t.ID)
		if s.Status != specs.StateRunning || t.Read(pidFile) != strconv.Itoa(s.Pid) {
			t.Errorf("pid file %s, state %+v", t.Read(pidFile), s)
		}
		t.Until("its output arrives", func() bool { return rig.Last(r.Later()) == "up" })
		t.OK("delete", "--force", t.ID)
		t.Is(t.ID, "")
	})
}

// TestStdin: a megabyte goes in and comes out, byte for byte.
func TestStdin(t *testing.T) {
	const size = 1 << 20
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		data := t.Do(rig.Call{Program: rig.Probe, Args: []string{"spew", strconv.Itoa(size)}})
		if len(data.Stdout) != size {
			t.Fatalf("%d bytes to begin with", len(data.Stdout))
		}
		c := t.Command(t.Bundle(kind, "cat").Args("run")...)
		c.Stdin = data.Stdout
		if r := t.Do(c); r.Code != 0 || r.Stderr != "" || r.Stdout != data.Stdout {
			t.Errorf("exit code %d, %d bytes came back, equal %v, stderr %q", r.Code, len(r.Stdout), r.Stdout == data.Stdout, r.Stderr)
		}
	})
}

// TestStdinOfCreate: what create's caller gave as stdin is the container's, and
// its end is seen.
func TestStdinOfCreate(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		c := t.Command(t.Bundle(kind, "probe", "hash").Args("create")...)
		c.Stdin = "three\n"
		r := t.Do(c)
		if r.Code != 0 || r.Stderr != "" {
			t.Fatalf("create: %s", r)
		}
		t.OK("start", t.ID)
		t.Becomes(t.ID, specs.StateStopped)
		t.Equal("count and sum of stdin", r.Later(), "6 f6936912184481f5edd4c304ce27c5a1a827804fc7f329f43d273b8621870776\n")
		t.OK("delete", t.ID)
	})
}

// TestOutputOfTheLastMoment: what a program wrote just before its end arrives.
func TestOutputOfTheLastMoment(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		r := t.Bundle(kind, "probe", "spew", "300000").Run()
		if r.Code != 0 || len(r.Stdout) != 300000 || r.Stderr != "" {
			t.Errorf("exit code %d, %d bytes, stderr %q", r.Code, len(r.Stdout), r.Stderr)
		}
	})
}

// TestWrongMoment: commands that the container's status does not allow are
// refused and change nothing.
func TestWrongMoment(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		t.Refused([]string{"container does not exist"}, "start", t.ID)
		b.Create()
		t.Refused([]string{"container with given ID already exists"}, b.Args("create")...)
		t.Refused([]string{"not stopped: created"}, "delete", t.ID)
		t.Refused([]string{"not paused"}, "resume", t.ID)
		t.Is(t.ID, specs.StateCreated)
		t.OK("start", t.ID)
		t.Refused([]string{"running"}, "start", t.ID)
		t.Refused([]string{"not stopped: running"}, "delete", t.ID)
		t.Is(t.ID, specs.StateRunning)
		t.OK("kill", t.ID, "KILL")
		t.Becomes(t.ID, specs.StateStopped)
		t.Refused([]string{"stopped"}, "start", t.ID)
		t.Refused([]string{"stopped container"}, "exec", t.ID, "true")
		t.OK("delete", t.ID)
		t.Refused([]string{"container does not exist"}, "delete", t.ID)
		t.OK("delete", "--force", t.ID)
	})
}

// TestDeleteCreated: a container that never ran goes by force, and its id is
// free again.
func TestDeleteCreated(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "true")
		b.Create()
		t.OK("delete", "--force", t.ID)
		t.Is(t.ID, "")
		b.Create()
		t.OK("start", t.ID)
		t.Becomes(t.ID, specs.StateStopped)
		t.OK("delete", t.ID)
	})
}

// TestList: as a table, as JSON, as ids.
func TestList(t *testing.T) {
	x := site.New(t)
	kinds := []rig.Kind{rig.Silo, rig.V1}
	for i, kind := range kinds {
		x.Bundle(kind, "sleep", "1000").CreateAs(fmt.Sprintf("%s-%d", x.ID, i))
	}
	x.OK("start", x.ID+"-0")
	var ids []string
	for _, line := range rig.Lines(x.OK("list", "-q").Stdout) {
		ids = append(ids, strings.TrimSpace(line))
	}
	x.Equal("ids", strings.Join(ids, " "), x.ID+"-0 "+x.ID+"-1")
	table := rig.Lines(x.OK("list").Stdout)
	if len(table) != 3 || !strings.HasPrefix(table[0], "ID") || !strings.Contains(table[1], "running") || !strings.Contains(table[2], "created") {
		x.Errorf("table: %q", table)
	}
	var all []struct {
		ID, Status, Bundle string
		Pid                int
	}
	x.Must(json.Unmarshal([]byte(x.OK("list", "--format", "json").Stdout), &all))
	if len(all) != 2 || all[0].ID != x.ID+"-0" || all[0].Status != "running" || all[1].Status != "created" || all[1].Pid == 0 {
		x.Errorf("json: %+v", all)
	}
}

// TestDefaultRoot: without --root the state is below %ProgramData%\wrun.
func TestDefaultRoot(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "sleep", "1000")
	c := x.Command(b.Args("create")...)
	c.Args = c.Args[2:] // without --root
	if r := x.Do(c); r.Code != 0 || r.Stderr != "" {
		x.Fatalf("create: %s", r)
	}
	if !x.Exists(`C:\ProgramData\wrun\` + x.ID + `\state.json`) {
		x.Error("no state in C:\\ProgramData\\wrun")
	}
	x.Is(x.ID, "") // not under the test's own root
	if r := x.Do(rig.Call{Program: rig.Wrun, Args: []string{"delete", "--force", x.ID}}); r.Code != 0 || r.Stderr != "" {
		x.Errorf("delete: %s", r)
	}
}
