package main

import (
	"fmt"
	"runtime"

	"wrun/libcontainer"
	"wrun/libcontainer/silo"
)

// planText describes what a create of cfg would do, for create --dry-run. It
// works on any OS: deciding and translating are pure, only hosts act.
func planText(cfg *libcontainer.Config) (string, error) {
	i := cfg.Isolation
	text := fmt.Sprintf("container  %s\nbundle     %s\nisolation  %s: %s\nhost       %s for a %s bundle\n",
		cfg.ID, cfg.Bundle, i.Kind, i.Reason, i.Host, i.OS)
	steps, err := hostPlan(cfg)
	return text + steps, err
}

// hostPlan is the host's own plan. Each kind of isolation plugs in here.
func hostPlan(cfg *libcontainer.Config) (string, error) {
	if i := cfg.Isolation; i.Kind == libcontainer.Silo && i.OS == "linux" {
		return silo.Preview(cfg, runtime.GOARCH)
	}
	return "", nil
}
