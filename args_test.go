package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// parsed is what a command's action would see of one argv.
type parsed struct {
	command  string
	operands []string
	values   func(name string) string
}

func parse(t *testing.T, line string) parsed {
	t.Helper()
	in := &invocation{args: strings.Fields(line)}
	app, argv := in.app()
	var got parsed
	for _, c := range app.Commands {
		c.Action = func(c *cli.Context) error {
			got = parsed{c.Command.Name, c.Args().Slice(), func(name string) string {
				if s, ok := c.Value(name).(cli.StringSlice); ok {
					return fmt.Sprint(s.Value())
				}
				if c.Value(name) == nil {
					return "" // left out: nothing, as the commands read it
				}
				return fmt.Sprint(c.Value(name))
			}}
			return nil
		}
	}
	if err := app.Run(argv); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return got
}

// TestEngineCalls: every shape of call that containerd, podman with conmon,
// CRI-O, BuildKit, dockerd and go-runc were seen to make or make by their
// source. Paths stand for themselves.
func TestEngineCalls(t *testing.T) {
	shim := "--root /r --log /l --log-format json "
	globals := map[string]string{"root": "/r", "log": "/l", "log-format": "json"}
	tests := []struct {
		line     string
		command  string
		operands string
		values   map[string]string
	}{
		{shim + "delete --force ID", "delete", "ID", with(globals, "force", "true")},
		{shim + "create --bundle /b --pid-file /p ID", "create", "ID", with(globals, "bundle", "/b", "pid-file", "/p")},
		{shim + "start ID", "start", "ID", globals},
		{shim + "delete ID", "delete", "ID", with(globals, "force", "false")},
		{"delete --force ID", "delete", "ID", with(nil, "force", "true", "root", "", "log", "", "log-format", "")},
		{"start ID", "start", "ID", nil},
		{shim + "exec --process /f --detach --pid-file /p ID", "exec", "ID", with(globals, "process", "/f", "detach", "true", "pid-file", "/p")},
		{"create --bundle /b --pid-file /p ID", "create", "ID", with(nil, "bundle", "/b", "pid-file", "/p")},
		{"--log-format=json --log /l create --bundle /b --pid-file /p ID", "create", "ID", with(nil, "log", "/l", "log-format", "json", "bundle", "/b")},
		{"kill ID 9", "kill", "ID 9", with(nil, "all", "false")},
		{shim + "kill ID 15", "kill", "ID 15", globals},
		{shim + "kill --all ID 9", "kill", "ID 9", with(globals, "all", "true")},
		{"kill -a ID KILL", "kill", "ID KILL", with(nil, "all", "true")},
		{"kill ID 9 --all", "kill", "ID 9", with(nil, "all", "true")},
		{shim + "resume ID", "resume", "ID", globals},
		{shim + "pause ID", "pause", "ID", globals},
		{shim + "create --bundle /b --pid-file /p --console-socket /c ID", "create", "ID", with(globals, "console-socket", "/c")},
		{"exec --pid-file /p --process /f --detach ID", "exec", "ID", with(nil, "detach", "true", "process", "/f")},
		{shim + "ps --format json ID", "ps", "ID", with(globals, "format", "json")},
		{"ps --format table ID -ef", "ps", "ID -ef", with(nil, "format", "table")},
		{"ps ID -e -f json", "ps", "ID -e -f json", with(nil, "format", "table")},
		{"features", "features", "", nil},
		{shim + "update --resources=- ID", "update", "ID", with(globals, "resources", "-")},
		{shim + "update --resources - ID", "update", "ID", with(globals, "resources", "-")},
		{"update --resources=/f ID", "update", "ID", with(nil, "resources", "/f")},
		{"update ID --memory 512m --memory-swap -1 --pids-limit=20", "update", "ID", with(nil, "memory", "512m", "memory-swap", "-1", "pids-limit", "20")},
		{"exec --process /f --console-socket /c --detach --pid-file /p ID", "exec", "ID", with(nil, "console-socket", "/c")},
		{"exec --pid-file /p --process /f --detach --tty --console-socket /c ID", "exec", "ID", with(nil, "tty", "true", "console-socket", "/c")},
		{"exec --pid-file /p --process /f --detach --preserve-fds 2 ID", "exec", "ID", with(nil, "preserve-fds", "2")},
		{"exec --process /f ID", "exec", "ID", with(nil, "process", "/f", "detach", "false")},
		{"--debug start ID", "start", "ID", with(nil, "debug", "true")},
		{"--debug --log-format=json --log /dev/null create --bundle /b ID", "create", "ID", with(nil, "debug", "true", "log-format", "json")},
		{shim + "--systemd-cgroup create --bundle /b ID", "create", "ID", with(globals, "systemd-cgroup", "true")},
		{"--root /r --debug --log /dev/null --log-format json --systemd-cgroup --rootless=false create --bundle /b --pid-file /p --console-socket /c" +
			" --pidfd-socket /s --no-pivot --no-new-keyring --detach --preserve-fds 3 ID", "create", "ID",
			with(nil, "rootless", "false", "systemd-cgroup", "true", "no-pivot", "true", "no-new-keyring", "true", "detach", "true", "pidfd-socket", "/s", "preserve-fds", "3")},
		{"state ID", "state", "ID", nil},
		{"list --format=json", "list", "", with(nil, "format", "json")},
		{"list -q -f json", "list", "", with(nil, "format", "json", "quiet", "true")},
		{"run --bundle /b --pid-file /p ID", "run", "ID", with(nil, "bundle", "/b", "detach", "false")},
		{"run --bundle /b --keep --no-pivot ID", "run", "ID", with(nil, "keep", "true", "no-pivot", "true")},
		{"run -d -b /b -no-subreaper ID", "run", "ID", with(nil, "detach", "true", "no-subreaper", "true")},
		{"events --stats ID", "events", "ID", with(nil, "stats", "true", "interval", "5s")},
		{"events --interval=250ms ID", "events", "ID", with(nil, "interval", "250ms")},
		{"create ID --bundle /b", "create", "ID", with(nil, "bundle", "/b")},
		{"create ID --bundle=/b --no-pivot=false", "create", "ID", with(nil, "bundle", "/b", "no-pivot", "false")},
		{"create --dry-run ID -b /b", "create", "ID", with(nil, "bundle", "/b", "dry-run", "true")},
		{"exec ID cmd -x --tty", "exec", "ID cmd -x --tty", with(nil, "tty", "false")},
		{"exec ID -t cmd -e A=1", "exec", "ID cmd -e A=1", with(nil, "tty", "true", "env", "[]")},
		{"exec -e A=1,2 --env B=3 ID env", "exec", "ID env", with(nil, "env", "[A=1,2 B=3]")},
		{"exec -u 1:2 -g 3 -g 4 -c CAP_KILL -d ID sh -c true", "exec", "ID sh -c true", with(nil, "user", "1:2", "additional-gids", "[3 4]", "cap", "[CAP_KILL]", "detach", "true")},
		{"exec ID -- -x -- y", "exec", "ID -x -- y", nil},
		{"exec --cgroup memory:/a --cgroup cpu:/b --ignore-paused ID true", "exec", "ID true", with(nil, "cgroup", "[memory:/a cpu:/b]", "ignore-paused", "true")},
		{"exec ID sh -- x", "exec", "ID sh -- x", nil},
		{"state -- -odd", "state", "-odd", nil},
		{"state h", "state", "h", nil},
		{"state help", "state", "help", nil},
		{"--rootless state ID", "state", "ID", with(nil, "rootless", "true")},
		{"--rootless auto state ID", "state", "ID", with(nil, "rootless", "auto")},
		{"--criu /usr/sbin/criu state ID", "state", "ID", nil},
		// hcsshim's pkg/go-runhcs, as far as it is the same on every system.
		{"--debug --log /dev/null --log-format json --owner containerd --root default state ID", "state", "ID", with(nil, "owner", "containerd", "root", "default", "debug", "true")},
		{"list --format=json", "list", "", with(nil, "format", "json")},
		{"ps --format=json ID", "ps", "ID", with(nil, "format", "json")},
		{"kill ID ", "kill", "ID", nil},
		{"resize-tty ID 80 25", "resize-tty", "ID 80 25", with(nil, "pid", "0")},
		{"resize-tty --pid 7 ID 80 25", "resize-tty", "ID 80 25", with(nil, "pid", "7")},
		{"update --cpu-shares 5 ID", "update", "ID", with(nil, "cpu-share", "5")},
		{"spec --bundle /b --rootless --os linux --isolation hyperv", "spec", "", with(nil, "bundle", "/b", "rootless", "true", "os", "linux", "isolation", "hyperv")},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			got := parse(t, tt.line)
			if got.command != tt.command {
				t.Fatalf("command %q, want %q", got.command, tt.command)
			}
			if operands := strings.Join(got.operands, " "); operands != tt.operands {
				t.Errorf("operands %q, want %q", operands, tt.operands)
			}
			for name, want := range tt.values {
				none := want == "false" || want == "0" || want == "[]"
				if v := got.values(name); v != want && !(v == "" && none) {
					t.Errorf("--%s is %q, want %q", name, v, want)
				}
			}
		})
	}
}

func with(base map[string]string, pairs ...string) map[string]string {
	all := map[string]string{}
	for k, v := range base {
		all[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

// TestCommandsAreDistinct: the table is searched by name, and all of it is
// built for the help.
func TestCommandsAreDistinct(t *testing.T) {
	in := &invocation{}
	app := &cli.App{Name: "wrun"}
	in.addAll(app)
	all := allCommands()
	for i, c := range app.Commands {
		if c.Name != all[i].name {
			t.Errorf("command %q is in the table as %q", c.Name, all[i].name)
		}
		if c.Usage == "" || c.Action == nil {
			t.Errorf("command %s has no usage or no action", c.Name)
		}
	}
	shown := slices.DeleteFunc(app.Commands, func(c *cli.Command) bool { return c.Hidden })
	if !slices.IsSortedFunc(shown, func(a, b *cli.Command) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the help is not in order")
	}
}

// FuzzReorder: nothing is lost or invented, order within options and operands
// stays, what belongs to another program is not touched, and doing it twice
// changes nothing.
func FuzzReorder(f *testing.F) {
	f.Add("ID --bundle dir", 0)
	f.Add("ID cmd -x --bundle", 2)
	f.Add("ID -ef", 1)
	f.Add("--bundle", 0)
	f.Add("ID --bundle", 0)
	f.Add("-b -- ID -- --", 2)
	f.Add("- -- - --=x -", 0)
	options := func(name string) (string, bool) {
		if name == "b" {
			return "bundle", true
		}
		return name, name == "bundle"
	}
	f.Fuzz(func(t *testing.T, line string, literalFrom int) {
		args := strings.Split(line, " ")
		before := slices.Clone(args)
		got := reorder(args, literalFrom, options)
		if !slices.Equal(args, before) {
			t.Fatalf("%q was changed to %q", before, args)
		}
		if again := reorder(got, 0, options); !slices.Equal(again, got) {
			t.Fatalf("%q becomes %q, that becomes %q", args, got, again)
		}
		// Where the options end: the first "--" that is no option's value.
		end := 0
		for end < len(got) && got[end] != "--" {
			if name, joined := optionName(got[end]); name == "bundle" && !joined {
				end++
			} else if name == "" {
				t.Fatalf("%q: operand %q among the options", args, got[end])
			}
			end++
		}
		if end >= len(got) {
			return // no operands
		}
		// Operands are what they were, in order.
		at := 0
		for _, o := range got[end+1:] {
			i := slices.Index(args[at:], o)
			if i < 0 {
				t.Fatalf("%q: operands %q are invented or out of order", args, got[end+1:])
			}
			at += i + 1
		}
		// Only a "--" may come or go.
		if n := len(got) - len(args); n != 0 && n != 1 || n == 0 && !slices.Contains(args, "--") {
			t.Fatalf("%q becomes %q", args, got)
		}
	})
}

// TestValueLikeAnOption: what an option takes is nobody else's, whatever it
// looks like.
func TestValueLikeAnOption(t *testing.T) {
	got := parse(t, "exec --env -- --tty ID true")
	if env, tty := got.values("env"), got.values("tty"); env != "[--]" || tty != "true" {
		t.Errorf("--env is %q, --tty %q", env, tty)
	}
}
