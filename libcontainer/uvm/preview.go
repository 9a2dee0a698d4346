package uvm

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"wrun/libcontainer"
)

// Preview says what a create of cfg would do, for create --dry-run: how QEMU is
// told to make the VM, what of the host is in it, and the Spec that its agent
// gets. Nothing of the machine is asked, so the boot image may be any that
// create would find, and the accelerator is left to it.
func Preview(cfg *libcontainer.Config) (string, error) {
	sandbox, err := sandboxOf(cfg)
	if err != nil {
		return "", err
	}
	t, err := translate(cfg.Spec, cfg.ID, sandbox != "")
	if err != nil {
		return "", err
	}
	m, err := NewMachine(cfg.Spec, Image{Kernel: "(the installed one)", Initrd: "(the installed one)"})
	if err != nil {
		return "", err
	}
	if err := m.choose(cfg.VMAccel, cfg.VMTemplate, cfg.Spec.Annotations); err != nil {
		return "", err
	}
	if m.Accel == "" {
		m.Accel = "kvm|tcg"
	}
	var b strings.Builder
	from := restoredMemory
	if m.Boot {
		from = freshMemory
	}
	if sandbox == "" {
		fmt.Fprintf(&b, "kernel     %s\ninitrd     %s\n", m.Kernel, m.Initrd)
	}
	for _, s := range t.shares {
		access := "read-write"
		if s.ReadOnly {
			access = "read-only"
		}
		fmt.Fprintf(&b, "share      %s: %s, %s\n", s.Name, s.Source, access)
	}
	for _, w := range t.warnings {
		fmt.Fprintf(&b, "warning    %s\n", w)
	}
	if sandbox != "" {
		fmt.Fprintf(&b, "machine    the utility VM of container %s\n", filepath.Base(sandbox))
	} else {
		fmt.Fprintf(&b, "machine    %s\n%s", m.QEMU, optionLines(m.Arguments(from)))
	}
	spec, err := json.MarshalIndent(t.spec, "", "  ")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "guest      %s\n", spec)
	return b.String(), nil
}

// optionLines has an option and its value on each line.
func optionLines(args []string) string {
	var b strings.Builder
	for i := 0; i < len(args); i++ {
		line := args[i]
		if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			line += " " + args[i]
		}
		fmt.Fprintf(&b, "           %s\n", line)
	}
	return b.String()
}
