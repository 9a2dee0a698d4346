package wine

import (
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/hcsdoc"
)

// Where things are in the container, in Linux' terms.
const (
	prefixDir   = "/wine"         // WINEPREFIX: the registry, and
	driveDir    = "/wine/drive_c" // drive C:
	toolsDir    = "/wrun"
	sessionPath = toolsDir + "/session"
	launchPath  = toolsDir + "/launcher.exe"
	pipesDir    = "/pipes" // the host's sockets
	statusPath  = prefixDir + "/status"
)

// mostPipes is how many sockets of the host there are places for.
const mostPipes = 16

// longestCommand is CreateProcess' own bound, in characters of 16 bits.
const longestCommand = 32767

// Wine is its two programs, as the container names them.
type Wine struct {
	Loader string `json:"loader"`
	Server string `json:"server"`
}

// capabilities are an administrator's: every file of drive C: may be written,
// whoever owns it on the host. Nothing else of the host is there.
var capabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"}

// Process makes the Linux process that starts a Windows one: the session with
// the launcher behind it. mode is "run" for the first of a container, "exec" for
// others; what becomes of it the launcher writes to the file status, behind nonce.
func Process(p *specs.Process, u User, w Wine, mode, status, nonce string) (*specs.Process, error) {
	command := p.CommandLine
	if command == "" { // "commandLine … preferred over args", config.md
		var err error
		if command, err = hcsdoc.CommandLine(p.Args); err != nil {
			return nil, err
		}
	}
	switch {
	case strings.ContainsRune(command, 0):
		return nil, bad("process.commandLine", "has a zero byte")
	case len(utf16.Encode([]rune(command))) >= longestCommand:
		return nil, bad("process.commandLine", "has more than the %d characters that Windows takes", longestCommand-1)
	}
	l := tool(u, w)
	l.Args = []string{sessionPath, mode}
	l.Terminal = p.Terminal
	if p.Terminal && p.ConsoleSize != nil {
		size := *p.ConsoleSize
		l.ConsoleSize = &size
	}
	l.Env = append(l.Env,
		"WRUN_STATUS="+unixPath(status), "WRUN_NONCE="+nonce,
		"WRUN_CWD="+strings.ReplaceAll(p.Cwd, "/", `\`), "WRUN_COMMAND="+command)
	for i, e := range environment(p.Env) {
		if strings.ContainsRune(e, 0) {
			return nil, bad(index("process.env", i, ""), "%q has a zero byte", e)
		}
		l.Env = append(l.Env, "WRUN_ENV_"+strconv.Itoa(i)+"="+e)
	}
	if p.OOMScoreAdj != nil {
		l.OOMScoreAdj = p.OOMScoreAdj
	}
	return l, nil
}

// Tool makes the process that runs the launcher itself, for one of its other
// operations.
func Tool(u User, w Wine, args ...string) *specs.Process {
	l := tool(u, w)
	l.Args = append([]string{w.Loader, launchPath}, args...)
	return l
}

// tool is what all processes of a container have in common. Its environment is
// for Wine; the launcher takes it away from the program.
func tool(u User, w Wine) *specs.Process {
	p := &specs.Process{
		Cwd:             driveDir, // on no drive Wine would complain
		User:            specs.User{UID: u.ID, GID: u.ID},
		NoNewPrivileges: true,
		Env: []string{
			"WINEPREFIX=" + prefixDir, "WINEDEBUG=-all",
			// No one asks for .NET and HTML engines to be downloaded, no menus, and a
			// program that crashes ends and waits for no debugger.
			"WINEDLLOVERRIDES=mscoree,mshtml=;winemenubuilder.exe=d;winedbg.exe=d",
			"LC_ALL=C.UTF-8", "HOME=/nonexistent", "PATH=/usr/bin",
			"WRUN_LOADER=" + w.Loader, "WINESERVER=" + w.Server, "WRUN_LAUNCHER=" + launchPath,
		},
		Capabilities: &specs.LinuxCapabilities{},
	}
	if u.Administrator {
		p.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities,
			Inheritable: capabilities, Ambient: capabilities}
	}
	return p
}

// unixPath is how a Windows program names a path of Linux that is on no drive.
func unixPath(path string) string { return `\\?\unix` + strings.ReplaceAll(path, "/", `\`) }

// environment: Windows does not tell path from PATH; of two the later one counts.
// Names that begin with "=" are Windows' own: "=C:=C:\dir" is a drive's folder.
func environment(env []string) []string {
	out := make([]string, 0, len(env))
	at := make(map[string]int, len(env))
	for _, e := range env {
		name := strings.ToUpper(variable(e))
		if i, ok := at[name]; ok {
			out[i] = e
			continue
		}
		at[name] = len(out)
		out = append(out, e)
	}
	return out
}

func variable(e string) string {
	if e == "" {
		return ""
	}
	name, _, _ := strings.Cut(e[1:], "=")
	return e[:1+len(name)]
}
