package silo

import (
	"cmp"
	"strconv"

	"wrun/libcontainer"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/seccomp"
)

// Preview compiles the plan that a start of c would follow on a typical Linux
// machine, asking no machine anything: for create --dry-run on any OS. goarch
// is the machine's architecture as Go names it.
func Preview(c *libcontainer.Config, goarch string) (string, error) {
	in := &Input{
		ID: c.ID, Bundle: c.Bundle, Spec: c.Spec, Facts: TypicalFacts(),
		NoPivot: c.NoPivot, NoNewKeyring: c.NoNewKeyring, Hooks: hasCreateHooks(c),
	}
	var warnings []string
	var err error
	if in.Filter, warnings, err = seccomp.Compile(in.linux().Seccomp, goarch); err != nil {
		return "", err
	}
	if c.Spec.Process != nil {
		in.Env = c.Spec.Process.Env
	}
	plan, err := Compile(in)
	if err != nil {
		return "", err
	}
	plan.Warnings = append(warnings, plan.Warnings...)
	scope, err := previewScope(c)
	if err != nil {
		return "", err
	}
	return scope + "plan       " + strconv.Itoa(len(plan.Steps)) + " system calls on a machine with cgroup v2 and all capabilities\n" + plan.String(), nil
}

// previewScope is what systemd would be asked for.
func previewScope(c *libcontainer.Config) (string, error) {
	if !c.SystemdCgroup {
		return "", nil
	}
	path := ""
	if c.Spec.Linux != nil {
		path = c.Spec.Linux.CgroupsPath
	}
	slice, unit, err := cgroup.ScopeName(path, c.ID)
	if err != nil {
		return "", err
	}
	return "scope      " + unit + " in " + cmp.Or(slice, "system.slice, of an ordinary user's systemd in user.slice") + "\n", nil
}

func hasCreateHooks(c *libcontainer.Config) bool {
	h := c.Spec.Hooks
	return h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0 //nolint:staticcheck // dockerd 20.10 needs prestart
}
