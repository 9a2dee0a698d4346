package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
	"wrun/libcontainer/bundle"
)

// This file turns exec's options into a process. What they may say depends on
// the container's operating system, which is known when the container is.

// processEdit is what an exec changes of a copy of the container's own process.
type processEdit = func(os string, p *specs.Process) error

// readProcess returns the edit that puts the process of file in the place of
// the container's.
func readProcess(file string) (processEdit, error) {
	data, err := bundle.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return func(os string, p *specs.Process) error {
		read, err := bundle.ParseProcess(data, bundle.Target{OS: os})
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		*p = *read
		return nil
	}, nil
}

// processOverride reads exec's options and returns the edit that they are.
func processOverride(c *cli.Context) (processEdit, error) {
	args := c.Args().Tail()
	if len(args) == 0 {
		return nil, libcontainer.WithHint(fmt.Errorf("process args cannot be empty"), "usage: wrun exec [options] "+c.Command.ArgsUsage)
	}
	name := c.String("user")
	user, userError := parseUser(name)
	if userError != nil && !mayBeWindowsUser(name) {
		return nil, userError
	}
	groups := make([]uint32, 0, len(c.StringSlice("additional-gids")))
	for _, g := range c.StringSlice("additional-gids") {
		n, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("--additional-gids %s: not a group id", g)
		}
		groups = append(groups, uint32(n))
	}
	return func(os string, p *specs.Process) error {
		p.Args, p.CommandLine = args, ""
		p.Terminal = c.Bool("tty")
		if !p.Terminal {
			p.ConsoleSize = nil
		}
		if dir := c.String("cwd"); dir != "" {
			p.Cwd = dir
		}
		p.Env = withEnv(os, p.Env, c.StringSlice("env"))
		if os == "windows" {
			if name != "" {
				p.User.Username = name
			}
			return linuxOnly(c, "additional-gids", "cap", "apparmor", "process-label", "no-new-privs", "cgroup")
		}
		if userError != nil {
			return userError
		}
		if user != nil {
			user(&p.User)
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, groups...)
		if c.IsSet("no-new-privs") {
			p.NoNewPrivileges = c.Bool("no-new-privs")
		}
		if s := c.String("process-label"); s != "" {
			p.SelinuxLabel = s
		}
		if s := c.String("apparmor"); s != "" {
			p.ApparmorProfile = s
		}
		addCapabilities(p, c.StringSlice("cap"))
		return nil
	}, nil
}

// parseUser reads uid[:gid]; a group that is not named stays the container's.
func parseUser(s string) (func(*specs.User), error) {
	if s == "" {
		return nil, nil
	}
	first, second, both := strings.Cut(s, ":")
	uid, err := strconv.ParseUint(first, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("--user %s: %q is not a user id", s, first)
	}
	gid := uint64(0)
	if both {
		if gid, err = strconv.ParseUint(second, 10, 32); err != nil {
			return nil, fmt.Errorf("--user %s: %q is not a group id", s, second)
		}
	}
	return func(u *specs.User) {
		u.UID = uint32(uid)
		if both {
			u.GID = uint32(gid)
		}
	}, nil
}

// mayBeWindowsUser says that s could name a user of a Windows container, as
// ContainerAdministrator or NT AUTHORITY\SYSTEM do, so that only the container
// can tell whether it is right. A name with a digit, sign or colon in front
// would be one, too, but is far likelier a mistyped uid or gid.
func mayBeWindowsUser(s string) bool {
	return s != "" && !strings.ContainsAny(s, ":\"/[]|<>+=;?*") && (s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z' || s[0] >= 0x80 || s[0] == '_')
}

// linuxOnly refuses options that restrict or extend a process in ways that
// Windows does not know. Ignored, they would promise what is not there.
func linuxOnly(c *cli.Context, options ...string) error {
	for _, name := range options {
		if c.IsSet(name) {
			return fmt.Errorf("--%s is nothing that a process of a Windows container has", name)
		}
	}
	return nil
}

// withEnv adds variables; one that is there already gets the new value. Windows
// does not tell path from PATH.
func withEnv(os string, env, more []string) []string {
	for _, v := range more {
		name := variable(v)
		env = slices.DeleteFunc(env, func(old string) bool {
			return variable(old) == name || os == "windows" && strings.EqualFold(variable(old), name)
		})
		env = append(env, v)
	}
	return env
}

// variable is the name in name=value. Those that begin with "=" are Windows's:
// "=C:=C:\dir" is the working directory of a drive.
func variable(v string) string {
	if len(v) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(v[1:], "=")
	return v[:1+len(name)]
}

// addCapabilities adds to the sets that take effect at exec. The ambient set
// can only hold what is inheritable too, which --cap does not ask for, so it
// grows only where the container's process has inheritable capabilities.
func addCapabilities(p *specs.Process, caps []string) {
	if len(caps) == 0 {
		return
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	for _, name := range caps {
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		s := p.Capabilities
		s.Bounding = append(s.Bounding, name)
		s.Effective = append(s.Effective, name)
		s.Permitted = append(s.Permitted, name)
		if len(s.Inheritable) > 0 {
			s.Ambient = append(s.Ambient, name)
		}
	}
}

// parseCgroups reads --cgroup: one path for all controllers, or any number of
// controller[,controller]:path.
func parseCgroups(args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	paths := make(map[string]string, len(args))
	for _, arg := range args {
		controllers, path, named := strings.Cut(arg, ":")
		if !named {
			if len(args) > 1 {
				return nil, fmt.Errorf("invalid --cgroup argument: %s: more than one needs a controller: before each path", arg)
			}
			return map[string]string{"": arg}, nil
		}
		for c := range strings.SplitSeq(controllers, ",") {
			if _, twice := paths[c]; twice || c == "" || strings.Contains(path, ":") {
				return nil, fmt.Errorf("invalid --cgroup argument: %s: want controller:path, each controller once", arg)
			}
			paths[c] = path
		}
	}
	return paths, nil
}
