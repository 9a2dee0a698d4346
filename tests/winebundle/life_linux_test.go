package winebundle

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/container"
	"wrun/tests/leftovers"
	"wrun/tests/uvm/boot"
)

// TestLife: each command does to a Windows container what it does to others.
func TestLife(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "wait")
	life(r)
}

// TestLifeInVM: the same in a utility VM, under translation some 15 s for each
// start.
func TestLifeInVM(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "wait")
	r.hyperv(boot.Build(t).Image)
	life(r)
}

func life(r *rig) {
	r.save()
	out := r.create(r.id)
	if s := r.State(r.T, r.id); s != specs.StateCreated {
		r.Errorf("after create it is %s", s)
	}
	r.good("start", r.id)
	r.until(out, "ready\n")
	table := r.good("ps", r.id)
	if lines := strings.Split(strings.TrimSpace(table), "\n"); len(lines) != 2 || !strings.Contains(lines[1], "probe.exe") {
		r.Errorf("ps: %q", table)
	}
	var pids []int
	if err := json.Unmarshal([]byte(r.good("ps", "--format", "json", r.id)), &pids); err != nil || len(pids) != 1 {
		r.Errorf("ps --format json: %v, %v", pids, err)
	}
	if res := r.wrun("exec", r.id, "cmd", "/c", "echo from %COMPUTERNAME%& exit 300"); unix(res.Stdout) != "from WINBOX\n" || res.Code != 300&0xff {
		r.Errorf("exec: %+v", res)
	}
	if out := r.good("exec", r.id, "cmd", "/c", "type "+personality); out != "00040000\n" {
		r.Errorf("exec has the personality %q", out)
	}
	other := newRig(r.T, `C:\probe.exe`, "line")
	other.spec.Windows.LayerFolders = r.spec.Windows.LayerFolders
	other.refused("is in use by", "name another folder")
	process := filepath.Join(r.dir, "process.json") // without a user: the container's own
	r.must(os.WriteFile(process, []byte(`{"cwd": "C:\\windows", "commandLine": "cmd /c cd"}`), 0o644))
	if out := r.good("exec", "--process", process, r.id); out != "C:\\windows\n" {
		r.Errorf("exec --process: %q", out)
	}
	if res := r.wrun("exec", "--user", "ContainerUser", r.id, "cmd"); res.Code != 255 || !strings.Contains(res.Stderr, "one wineserver serves one user") {
		r.Errorf("exec of another user: %+v", res)
	}
	if res := r.wrun("exec", r.id, "nonesuch"); res.Code != 255 || !strings.Contains(res.Stderr, "executable file not found") {
		r.Errorf("exec of nothing: %+v", res)
	}
	r.good("pause", r.id)
	if s := r.State(r.T, r.id); s != "paused" {
		r.Errorf("after pause it is %s", s)
	}
	r.good("resume", r.id)
	r.good("update", "--memory", "400m", r.id)
	if stats := r.good("events", "--stats", r.id); !strings.Contains(stats, `"memory"`) {
		r.Errorf("events --stats: %s", stats)
	}
	r.good("kill", r.id, "TERM")
	if code := r.stopped(); code != "3221225786" {
		r.Errorf("exit code %s, want STATUS_CONTROL_C_EXIT", code)
	}
	r.good("delete", r.id)
}

// TestSignals: a console control event reaches the program's handler, by each of
// its names, and the program's exit code is its own.
func TestSignals(t *testing.T) {
	for name, event := range map[string]string{"TERM": "6", "CTRLC": "0", "CTRLBREAK": "1", "CTRLCLOSE": "2", "CTRLLOGOFF": "5"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, `C:\probe.exe`, "handle")
			out := r.live("ready\n")
			r.good("kill", r.id, name)
			r.until(out, "event "+event+"\n")
			if code := r.stopped(); code != "7" {
				t.Errorf("exit code %s", code)
			}
		})
	}
	t.Run("KILL", func(t *testing.T) {
		r := newRig(t, `C:\probe.exe`, "handle")
		out := r.live("ready\n")
		r.good("kill", r.id, "KILL")
		r.stopped()
		if data, _ := os.ReadFile(out); strings.Contains(string(data), "event") {
			t.Errorf("it was asked: %q", data)
		}
	})
	t.Run("all", func(t *testing.T) {
		r := newRig(t, `C:\probe.exe`, "handle")
		out := r.live("ready\n")
		res := r.wrun("exec", "--detach", r.id, `C:\probe.exe`, "wait")
		if res.Code != 0 {
			t.Fatalf("exec: %+v", res)
		}
		r.good("kill", "--all", r.id, "CTRLC")
		r.until(out, "event 0\n")
		r.stopped()
	})
	t.Run("exec", func(t *testing.T) {
		r := newRig(t, `C:\probe.exe`, "wait")
		r.live("ready\n")
		pid := filepath.Join(r.dir, "pid")
		if res := r.wrun("exec", "--detach", "--pid-file", pid, r.id, `C:\probe.exe`, "handle"); res.Code != 0 {
			t.Fatalf("exec: %+v", res)
		}
		data, err := os.ReadFile(pid)
		r.must(err)
		var number int
		if _, err := fmt.Sscan(string(data), &number); err != nil || number < 2 {
			t.Fatalf("pid file %q", data)
		}
		r.must(syscall.Kill(number, syscall.SIGKILL))
		for begin := time.Now(); strings.Count(r.good("ps", r.id), "probe.exe") != 1; time.Sleep(20 * time.Millisecond) {
			if time.Since(begin) > container.Patience {
				t.Fatalf("the killed program lives on: %s", r.good("ps", r.id))
			}
		}
	})
}

// TestIsolated: each thing that Windows isolates is a container's own: registry,
// objects, ports, process ids, files.
func TestIsolated(t *testing.T) {
	t.Run("registry and files stay in the scratch", func(t *testing.T) {
		r := newRig(t, "cmd", "/c", `C:\probe.exe regset wrun\x mine & C:\probe.exe write C:\file text`)
		r.says("written\nwritten\n", 0)
		r.spec.Process.Args = []string{"cmd", "/c", `C:\probe.exe regget wrun\x & type C:\file`}
		r.says("mine\ntext", 0)
		other := newRig(t, "cmd", "/c", `C:\probe.exe regget wrun\x & C:\probe.exe open C:\file`)
		other.says("absent\nopen: error 2\n", 1)
		if data, err := os.ReadFile(filepath.Join(r.dir, "scratch", "Files", "file")); err != nil || string(data) != "text" {
			t.Errorf("in the scratch: %q, %v", data, err)
		}
	})
	for _, object := range []string{"mutex", "event", "section"} {
		t.Run(object, func(t *testing.T) {
			one, two := newRig(t, `C:\probe.exe`, object, `Global\wrun`), newRig(t, `C:\probe.exe`, object, `Global\wrun`)
			one.live("made\n")
			two.live("made\n")
			// In one and the same container there is but one.
			if res := one.wrun("exec", "--detach", one.id, "cmd", "/c", `C:\probe.exe `+object+` Global\wrun > C:\again`); res.Code != 0 {
				t.Fatalf("exec: %+v", res)
			}
			one.until(filepath.Join(one.dir, "scratch", "Files", "again"), "there already\n")
		})
	}
	t.Run("ports", func(t *testing.T) {
		one, two := newRig(t, `C:\probe.exe`, "listen", "8080"), newRig(t, `C:\probe.exe`, "listen", "8080")
		one.live("listening\n")
		two.live("listening\n")
		if got := one.good("exec", one.id, `C:\probe.exe`, "connect", "8080"); got != "hello\n" {
			t.Errorf("in the container itself: %q", got)
		}
		if two.State(t, two.id) != specs.StateRunning {
			t.Error("the other one was reached, too")
		}
	})
	t.Run("processes", func(t *testing.T) {
		one, two := newRig(t, `C:\probe.exe`, "wait"), newRig(t, `C:\probe.exe`, "wait")
		one.live("ready\n")
		two.live("ready\n")
		for _, r := range []*rig{one, two} {
			var pids []int
			if err := json.Unmarshal([]byte(r.good("ps", "-f", "json", r.id)), &pids); err != nil || len(pids) != 1 {
				t.Errorf("each has one: %v, %v", pids, err)
			}
		}
	})
}

// TestShared: what is asked for is shared, and only that.
func TestShared(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		r := newRig(t, "cmd", "/c", `type C:\Data\in & C:\probe.exe write C:\data\out text`)
		shared := filepath.Join(r.dir, "shared")
		r.must(os.Mkdir(shared, 0o755))
		r.must(os.WriteFile(filepath.Join(shared, "in"), []byte("from the host\n"), 0o644))
		r.spec.Mounts = []specs.Mount{{Source: shared, Destination: `C:\Data`}}
		r.says("from the host\nwritten\n", 0)
		if data, err := os.ReadFile(filepath.Join(shared, "out")); err != nil || string(data) != "text" {
			t.Errorf("on the host: %q, %v", data, err)
		}
		r.spec.Mounts[0].Options = []string{"ro"}
		if out, res := r.run(); res.Code == 0 || !strings.HasPrefix(out, "from the host\nwrite: error ") {
			t.Errorf("read-only: %q, %+v", out, res)
		}
	})
	t.Run("file", func(t *testing.T) {
		r := newRig(t, "cmd", "/c", `type C:\WINDOWS\win.ini`)
		file := filepath.Join(r.dir, "file")
		r.must(os.WriteFile(file, []byte("mine\n"), 0o644))
		r.spec.Mounts = []specs.Mount{{Source: file, Destination: `C:\Windows\WIN.INI`, Options: []string{"ro"}}}
		r.says("mine\n", 0)
	})
	t.Run("pipe", func(t *testing.T) {
		r := newRig(t, `C:\probe.exe`, "talk", "wrun pipe", "grüße")
		r.spec.Mounts = []specs.Mount{{Source: answering(r), Destination: `\\.\pipe\wrun pipe`}}
		r.says("heard grüße\n", 0)
		r.spec.Mounts = nil
		r.says("open the pipe: error 2\n", 1)
	})
	t.Run("network namespace", func(t *testing.T) {
		server := newRig(t, `C:\probe.exe`, "listen", "8081")
		server.live("listening\n")
		var state specs.State
		server.must(json.Unmarshal([]byte(server.good("state", server.id)), &state))
		client := newRig(t, `C:\probe.exe`, "connect", "8081")
		client.spec.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: fmt.Sprintf("/proc/%d/ns/net", state.Pid)}
		client.says("hello\n", 0)
		client.spec.Windows.Network = nil
		if _, res := client.run(); res.Code == 0 {
			t.Error("it was reached without its namespace")
		}
	})
}

// TestLayers: what a scratch has got can be a layer, with its registry and with what
// was deleted.
func TestLayers(t *testing.T) {
	r := newRig(t, "cmd", "/c", `C:\probe.exe regset wrun\x layered & mkdir C:\app & echo one>C:\app\one& del C:\box.exe`)
	r.says("written\n", 0)
	top := newRig(t, "cmd", "/c", `C:\probe.exe regget wrun\x & type C:\app\one & C:\probe.exe open C:\box.exe`)
	top.spec.Windows.LayerFolders = append([]string{filepath.Join(r.dir, "scratch")}, top.spec.Windows.LayerFolders...)
	top.says("layered\none\nopen: error 2\n", 1)
}

// TestWhiteouts: what a layer says is gone is gone, in each of the three ways.
func TestWhiteouts(t *testing.T) {
	r := newRig(t, "cmd", "/c", `dir /b C:\ C:\app C:\opaque`)
	base, listed, marked := filepath.Join(r.dir, "base"), filepath.Join(r.dir, "listed"), filepath.Join(r.dir, "marked")
	for file, text := range map[string]string{
		base + "/app/one": "", base + "/app/two": "", base + "/app/three": "", base + "/opaque/old": "", base + "/Gone": "",
		listed + "/Files/app/four": "", listed + "/tombstones.txt": "\ufeffVersion 1.0\n\\APP\\one\n\\gone\n",
		marked + "/app/.wh.two": "", marked + "/opaque/.wh..wh..opq": "", marked + "/opaque/new": "",
	} {
		r.must(os.MkdirAll(filepath.Dir(file), 0o755))
		r.must(os.WriteFile(file, []byte(text), 0o644))
	}
	r.spec.Windows.LayerFolders = []string{marked, listed, base, filepath.Join(r.dir, "scratch")}
	for range 2 { // the second time they are there
		out, res := r.run()
		var names []string
		for line := range strings.Lines(out) {
			names = append(names, strings.TrimSpace(line))
		}
		slices.Sort(names)
		want := []string{"Program Files", "Program Files (x86)", "ProgramData", "app", "four", "new", "opaque", "three", "users", "windows"}
		if res.Code != 0 || !slices.Equal(slices.DeleteFunc(names, func(s string) bool { return s == "" }), want) {
			t.Errorf("%q, %+v; want %q", names, res, want)
		}
	}
}

// TestHooks: a startContainer hook is a program of the container's that runs before
// its own, in the same session; the others are the host's.
func TestHooks(t *testing.T) {
	r := newRig(t, "cmd", "/c", `type C:\hooked & C:\probe.exe regget wrun\hook`)
	host := filepath.Join(r.dir, "hook")
	r.must(os.WriteFile(host, []byte("#!/bin/sh\ncat > "+r.dir+"/state.json\n"), 0o755))
	r.spec.Hooks = &specs.Hooks{
		CreateRuntime: []specs.Hook{{Path: host}},
		StartContainer: []specs.Hook{
			{Path: `C:\windows\system32\cmd.exe`, Args: []string{"cmd", "/c", `C:\box.exe cat > C:\hooked`}},
			{Path: `C:\probe.exe`, Args: []string{"probe", "regset", `wrun\hook`, "by the hook"}},
		},
	}
	if out, res := r.run(); res.Code != 0 || !strings.Contains(out, r.id) || !strings.HasSuffix(out, "by the hook\n") {
		t.Errorf("%q, %+v", out, res)
	}
	if data, err := os.ReadFile(filepath.Join(r.dir, "state.json")); err != nil || !strings.Contains(string(data), r.id) {
		t.Errorf("the host's hook got %q, %v", data, err)
	}
	r.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: `C:\probe.exe`, Args: []string{"probe", "exit", "3"}}}}
	r.refused("startContainer", "exit status 3")
}

// TestTerminal: the program has a console of the size that was asked for.
func TestTerminal(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "console")
	r.spec.Process.Terminal, r.spec.Process.ConsoleSize = true, &specs.Box{Width: 93, Height: 31}
	r.save()
	socket := filepath.Join(r.dir, "console")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	r.must(err)
	defer listener.Close()
	master := make(chan *os.File, 1)
	go func() {
		defer close(master)
		c, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		defer c.Close()
		rights := make([]byte, syscall.CmsgSpace(4))
		_, n, _, _, err := c.ReadMsgUnix(make([]byte, 64), rights)
		if err != nil {
			return
		}
		messages, err := syscall.ParseSocketControlMessage(rights[:n])
		if err != nil || len(messages) != 1 {
			return
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err == nil && len(fds) == 1 {
			master <- os.NewFile(uintptr(fds[0]), "master")
		}
	}()
	r.good("create", "--bundle", r.dir, "--console-socket", socket, r.id)
	terminal := <-master
	if terminal == nil {
		t.Fatal("no terminal came")
	}
	defer terminal.Close()
	said := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(terminal) // EIO at its end
		said <- string(data)
	}()
	r.good("start", r.id)
	r.stopped()
	// It draws blanks by moving the cursor.
	if text := <-said; !strings.Contains(plain(text), "93x31") {
		t.Errorf("the console says %q", text)
	}
}

// plain takes the escape sequences of a console out of its text.
func plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != 0x1b {
			b.WriteByte(s[i])
			continue
		}
		for i++; i < len(s) && (s[i] == '[' || s[i] == '?' || s[i] >= '0' && s[i] <= '9' || s[i] == ';'); i++ {
		}
	}
	return b.String()
}

// TestMany: ten containers at once, each with a wineserver of its own.
func TestMany(t *testing.T) {
	var rigs []*rig
	for range 10 {
		rigs = append(rigs, newRig(t, `C:\probe.exe`, "mutex", "same"))
	}
	var all sync.WaitGroup
	for _, r := range rigs {
		all.Go(func() { r.live("made\n") })
	}
	all.Wait()
	var servers []int
	for _, r := range rigs {
		var state specs.State
		r.must(json.Unmarshal([]byte(r.good("state", r.id)), &state))
		own := slices.DeleteFunc(session(t, state.Pid), func(p process) bool { return !strings.HasPrefix(p.name, "wineserver") })
		if len(own) != 1 || slices.Contains(servers, own[0].pid) {
			t.Fatalf("wineservers of %s: %v; of the others: %v", r.id, own, servers)
		}
		servers = append(servers, own[0].pid)
	}
	for _, r := range rigs {
		r.good("delete", "--force", r.id)
	}
	for _, pid := range servers {
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.HasPrefix(string(name), "wineserver") {
			t.Errorf("wineserver %d is left", pid)
		}
	}
}

// TestKilled: whatever of a container is killed, state answers and delete --force
// leaves nothing.
func TestKilled(t *testing.T) {
	for _, name := range []string{"wineserver", "probe.exe", "session", "launcher.exe"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, `C:\probe.exe`, "wait")
			r.live("ready\n")
			var state specs.State
			r.must(json.Unmarshal([]byte(r.good("state", r.id)), &state))
			pids := slices.DeleteFunc(session(t, state.Pid), func(p process) bool { return !strings.HasPrefix(p.name, name) })
			if len(pids) != 1 {
				t.Fatalf("%d processes are called %s", len(pids), name)
			}
			r.must(syscall.Kill(pids[0].pid, syscall.SIGKILL))
			r.stopped()
			r.good("delete", "--force", r.id)
		})
	}
	t.Run("wrun", func(t *testing.T) {
		r := newRig(t, `C:\probe.exe`, "wait")
		r.save()
		cmd := r.Command(t.Context(), "--log", filepath.Join(r.dir, "log"), "run", "--bundle", r.dir, r.id)
		out, err := os.Create(filepath.Join(r.dir, "out"))
		r.must(err)
		defer out.Close()
		cmd.Stdout = out
		r.must(cmd.Start())
		r.until(out.Name(), "ready\n")
		r.must(cmd.Process.Kill())
		_ = cmd.Wait() // killed
		if s := r.State(t, r.id); s != specs.StateRunning {
			t.Errorf("after the end of wrun it is %s", s)
		}
		r.good("delete", "--force", r.id)
	})
}

// TestCreateKilled: kill -9 of a create at random moments, the making of a template
// among them.
func TestCreateKilled(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "line")
	r.save()
	cache := filepath.Join(r.dir, "cache")
	r.Env = []string{"WRUN_WINE_CACHE=" + cache}
	before := leftovers.Take(t)
	for i, after := range []int{3, 10, 30, 100, 400, 900, 1500} {
		id := fmt.Sprintf("%s-%d", r.id, i)
		cmd := r.Command(t.Context(), "--log", filepath.Join(r.dir, "log"), "create", "--bundle", r.dir, id)
		r.must(cmd.Start())
		time.Sleep(time.Duration(after) * time.Millisecond)
		_ = cmd.Process.Kill() // it may be faster
		_ = cmd.Wait()
		r.State(t, id)
		r.good("delete", "--force", id)
		before.Check(t, fmt.Sprintf("killed after %d ms", after))
	}
	// And then everything works.
	r.says("C:\\probe.exe line\n", 0)
}

// process is one of a container's as Linux has it.
type process struct {
	pid  int
	name string
}

// session is the processes in the pid namespace of a container's first.
func session(t *testing.T, first int) (list []process) {
	t.Helper()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", first))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var p process
		if _, err := fmt.Sscan(e.Name(), &p.pid); err != nil {
			continue
		}
		if ns, _ := os.Readlink(filepath.Join("/proc", e.Name(), "ns/pid")); ns != own {
			continue
		}
		name, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		p.name = strings.TrimSpace(string(name))
		list = append(list, p)
	}
	return list
}
