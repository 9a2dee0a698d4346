package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
	"wrun/libcontainer/bundle"
)

// This file turns exec's options into a process.

func readProcess(file string) (*specs.Process, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, err := bundle.ParseProcess(data, bundle.Target{OS: runtime.GOOS})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// processOverride reads exec's options and returns the edit that they are to
// the container's own process.
func processOverride(c *cli.Context) (func(*specs.Process) error, error) {
	args := c.Args().Tail()
	if len(args) == 0 {
		return nil, libcontainer.WithHint(fmt.Errorf("process args cannot be empty"), "usage: wrun exec [options] "+c.Command.ArgsUsage)
	}
	user, err := parseUser(c.String("user"))
	if err != nil {
		return nil, err
	}
	groups := make([]uint32, 0, len(c.StringSlice("additional-gids")))
	for _, g := range c.StringSlice("additional-gids") {
		n, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("--additional-gids %s: not a group id", g)
		}
		groups = append(groups, uint32(n))
	}
	return func(p *specs.Process) error {
		p.Args, p.CommandLine = args, ""
		p.Terminal = c.Bool("tty")
		if !p.Terminal {
			p.ConsoleSize = nil
		}
		if dir := c.String("cwd"); dir != "" {
			p.Cwd = dir
		}
		if user != nil {
			user(&p.User)
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, groups...)
		p.Env = withEnv(p.Env, c.StringSlice("env"))
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

// withEnv adds variables; one that is there already gets the new value.
func withEnv(env, more []string) []string {
	for _, v := range more {
		name, _, _ := strings.Cut(v, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, v)
	}
	return env
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
