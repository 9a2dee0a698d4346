// Command wrun is an OCI runtime: it reads a bundle, decides once how the
// container is isolated and drives its life cycle on the host that does the
// work. Each command is one file; this one holds what they share: the global
// options, and the one place where an error becomes a log line, a line on
// stderr and an exit code.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
)

// Set by the linker: -ldflags "-X main.version=… -X main.commit=…".
var (
	version = "0.1.0-dev"
	commit  = "unknown"
)

// command is a line of the table below. literalFrom: see reorder.
type command struct {
	name        string
	literalFrom int
	build       func(*invocation) *cli.Command
}

// commands are built one at a time: a run of wrun pays for the command it was
// called with and for no other.
var commands = [...]command{
	{"create", 0, createCommand},
	{"delete", 0, deleteCommand},
	{"events", 0, eventsCommand},
	{"exec", 2, execCommand},
	{"features", 0, featuresCommand},
	{"kill", 0, killCommand},
	{"list", 0, listCommand},
	{"pause", 0, pauseCommand},
	{"ps", 1, psCommand},
	{"resize-tty", 0, resizeCommand},
	{"resume", 0, resumeCommand},
	{"run", 0, runCommand},
	{"spec", 0, specCommand},
	{"start", 0, startCommand},
	{"state", 0, stateCommand},
	{"update", 0, updateCommand},
}

func allCommands() []command { return append(commands[:], hostCommands()...) }

// invocation is one call of wrun.
type invocation struct {
	args []string
	log  logger
}

// exitStatus is the exit code of a program that run or exec waited for. It is
// no failure of wrun and so prints nothing.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	if code, is := process(os.Args); is {
		os.Exit(code)
	}
	growStack()
	os.Exit(run(os.Args[1:]))
}

// growStack makes the main goroutine's stack large while nothing is on it.
// cli/v2 and what it calls need some 30 KB; Go would get there in five steps,
// copying and adjusting all frames each time.
//
//go:noinline
func growStack() {
	var room [32 << 10]byte
	stackRoom(&room)
}

//go:noinline
func stackRoom(room *[32 << 10]byte) { room[len(room)-1] = 1 }

func run(args []string) int {
	in := &invocation{args: args}
	app, argv := in.app()
	err := app.Run(argv)
	return in.end(err)
}

// end reports how it went; nothing else in wrun prints an error.
func (in *invocation) end(err error) int {
	var program exitStatus
	var usage cli.ExitCoder
	switch {
	case err == nil:
		in.log.flush()
		return 0
	case errors.As(err, &program):
		in.log.flush()
		return int(program)
	}
	in.log.fail(err)
	if errors.As(err, &usage) { // cli/v2's own: 3 for an unknown command
		return usage.ExitCode()
	}
	return libcontainer.ExitCode(err)
}

// app prepares cli/v2 and returns the arguments it shall parse.
func (in *invocation) app() (*cli.App, []string) {
	app := &cli.App{
		Name:                      "wrun",
		Usage:                     "run OCI bundles in silos (process isolation) and utility VMs (Hyper-V isolation)",
		Version:                   version,
		Compiled:                  time.Unix(0, 0), // unset, cli/v2 looks for the binary's date
		Flags:                     globalFlags(),
		Before:                    in.before,
		DisableSliceFlagSeparator: true, // exec --env A=1,2 is one variable
		// cli/v2 would print an error and exit by itself; end does both.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   usageError,
		// No Action: with one, an unknown command would exit with 0, and podman
		// would take `checkpoint --help` for a sign that wrun can checkpoint.
	}
	cli.VersionPrinter = printVersion
	globals, name, rest := splitCommand(in.args, lookup(app.Flags))
	argv := append([]string{"wrun"}, globals...)
	if name == "" {
		in.addAll(app)
		return app, argv
	}
	argv = append(argv, name)
	all := allCommands()
	for i := range all {
		if all[i].name == name {
			c := in.add(app, &all[i])
			rest = reorder(rest, all[i].literalFrom, lookup(c.Flags))
			var named, known bool
			app.Flags, named = needed(app.Flags, globals)
			c.Flags, known = needed(c.Flags, rest)
			if named && known {
				app.HideHelp, app.HideVersion, c.HideHelp = true, true, true
			}
			return app, append(argv, rest...)
		}
	}
	in.addAll(app)
	return app, append(argv, rest...)
}

func (in *invocation) addAll(app *cli.App) {
	all := allCommands()
	for i := range all {
		in.add(app, &all[i])
	}
}

func (in *invocation) add(app *cli.App, from *command) *cli.Command {
	c := from.build(in)
	c.HideHelpCommand = true // else `wrun state h` would show the help
	c.OnUsageError = usageError
	app.Commands = append(app.Commands, c)
	return c
}

// lookup answers from the definitions of the options themselves.
func lookup(flags []cli.Flag) optionTable {
	return func(name string) (string, bool) {
		if f := find(flags, name); f != nil {
			first, _ := flagNames(f)
			d, ok := f.(cli.DocGenerationFlag)
			return first, ok && d.TakesValue()
		}
		return name, false
	}
}

func find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if first, others := flagNames(f); first == name || slices.Contains(others, name) {
			return f
		}
	}
	return nil
}

// flagNames reads them off the definition: cli/v2's own Names makes each with a
// regular expression.
func flagNames(f cli.Flag) (first string, others []string) {
	switch f := f.(type) {
	case *cli.StringFlag:
		return f.Name, f.Aliases
	case *cli.BoolFlag:
		return f.Name, f.Aliases
	case *cli.StringSliceFlag:
		return f.Name, f.Aliases
	}
	names := f.Names()
	return names[0], names[1:]
}

// needed leaves out what args do not name and what is nothing by default: that
// is what cli/v2 says of an option that it does not know. Where args name
// anything else, --help for one, all stay, and it answers false.
func needed(flags []cli.Flag, args []string) ([]cli.Flag, bool) {
	var keep []cli.Flag
	for _, f := range flags {
		if d, ok := f.(cli.DocGenerationFlag); !ok || d.GetValue() != "" && d.GetValue() != "0" {
			keep = append(keep, f)
		}
	}
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, joined := optionName(args[i])
		f := find(flags, name)
		if f == nil {
			return flags, false
		}
		if !slices.Contains(keep, f) {
			keep = append(keep, f)
		}
		if d, ok := f.(cli.DocGenerationFlag); ok && d.TakesValue() && !joined {
			i++ // its value, which may look like an option
		}
	}
	return keep, true
}

func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "root", Usage: "directory of the containers' state (default: " + defaultRoot() + "); on Windows a mere name is a root of its own beside that"},
		&cli.StringFlag{Name: "log", Usage: "file for log lines (default: stderr)"},
		&cli.StringFlag{Name: "log-format", Usage: "text or json (default: text)"},
		&cli.BoolFlag{Name: "debug", Usage: "log more"},
		&cli.BoolFlag{Name: "systemd-cgroup", Usage: "cgroupsPath has the form slice:prefix:name and systemd makes the cgroup"},
		&cli.StringFlag{Name: "rootless", Usage: "go on where an ordinary user may not: true, false or auto (default: auto)"},
		&cli.StringFlag{Name: "owner", Usage: "who makes containers, for hosts whose service shows that (default: wrun)"},
		&cli.StringFlag{Name: "criu", Hidden: true, Usage: "accepted because callers of runc send it"},
	}
}

// before reads what concerns every command.
func (in *invocation) before(c *cli.Context) error {
	in.log.path, in.log.debugging = c.String("log"), c.Bool("debug")
	in.log.openPipe()
	switch f := c.String("log-format"); f {
	case "", "text":
	case "json":
		in.log.json = true
	default:
		return fmt.Errorf("invalid log-format: %q (text or json)", f)
	}
	if r := c.String("rootless"); r != "" && !isTriState(r) {
		return fmt.Errorf("invalid rootless: %q (true, false or auto)", r)
	}
	if in.log.debugging {
		in.log.debug("wrun " + version + " on " + runtime.GOOS + ": " + strings.Join(in.args, " "))
	}
	return nil
}

// runtime is the core as the global options want it.
func (in *invocation) runtime(c *cli.Context) (*libcontainer.Runtime, error) {
	root := c.String("root")
	if root == "" {
		root = defaultRoot()
	} else if runtime.GOOS == "windows" {
		root = namedRoot(root, defaultRoot())
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("state root: %w", err)
	}
	rootless := cmp.Or(c.String("rootless"), "auto")
	rt := &libcontainer.Runtime{
		Root:          root,
		Hosts:         hostFor,
		Warn:          in.log.warn,
		SystemdCgroup: c.Bool("systemd-cgroup"),
		Rootless:      rootless == "true" || rootless == "auto" && os.Geteuid() > 0,
		Owner:         cmp.Or(c.String("owner"), "wrun"),
	}
	if in.log.debugging {
		rt.Debug = func(format string, args ...any) { in.log.debug(fmt.Sprintf(format, args...)) }
	}
	return rt, nil
}

// usageError replaces cli/v2's habit of printing the help on stdout.
func usageError(c *cli.Context, err error, isSubcommand bool) error {
	see := "wrun --help"
	if isSubcommand && c.Command != nil {
		see = "wrun " + c.Command.Name + " --help"
	}
	return libcontainer.WithHint(fmt.Errorf("incorrect usage: %w", err), "see "+see)
}

// between checks the number of operands; the texts are runc's. No upper bound
// is -1.
func between(c *cli.Context, least, most int) error {
	n, bound := c.NArg(), ""
	switch {
	case least == most && n != least:
		bound = fmt.Sprintf("exactly %d", least)
	case n < least:
		bound = fmt.Sprintf("a minimum of %d", least)
	case most >= 0 && n > most:
		bound = fmt.Sprintf("a maximum of %d", most)
	default:
		return nil
	}
	err := fmt.Errorf("wrun: %q requires %s argument(s)", c.Command.Name, bound)
	return libcontainer.WithHint(err, "usage: wrun "+c.Command.Name+" [options] "+c.Command.ArgsUsage)
}

// printVersion keeps to runc's form: go-runc and podman read it.
func printVersion(c *cli.Context) {
	fmt.Fprintf(c.App.Writer, "wrun version %s\ncommit: %s\nspec: %s\ngo: %s\n", version, commit, specs.Version, runtime.Version())
}
