package main

import (
	"fmt"
	"runtime"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
	"wrun/libcontainer/silo"
	"wrun/libcontainer/uvm"
	"wrun/libcontainer/wine"
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
	i := cfg.Isolation
	if i.Host == "windows" {
		// Which bundle and host go together its own hosts say.
		if _, err := hostFor(i); err != nil {
			return "", err
		}
	}
	// A bundle for Windows machines can be read on any other; what is printed then
	// are the documents for those.
	if i.OS == "windows" && i.Host != "windows" && !wine.Elsewhere(cfg.Spec) {
		text, inner, err := wine.Preview(cfg, runtime.NumCPU())
		if err != nil {
			return "", err
		}
		steps, err := hostPlan(inner)
		return text + steps, err
	}
	switch {
	case i.OS == "linux" && i.Host != "windows" && i.Kind == libcontainer.Silo:
		return silo.Preview(cfg, runtime.GOARCH)
	case i.OS == "linux" && i.Host != "windows":
		return uvm.Preview(cfg)
	case i.OS == "windows" || i.Host == "windows":
		return hcsdoc.Preview(hcsdoc.PreviewConfig{ID: cfg.ID, Owner: cfg.Owner, Spec: cfg.Spec,
			OS: i.OS, HyperV: i.Kind == libcontainer.UVM, CPUs: runtime.NumCPU()})
	}
	return "", nil
}
