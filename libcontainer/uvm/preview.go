package uvm

import (
	"encoding/json"
	"fmt"
	"strings"

	"wrun/libcontainer"
)

// Preview says what a create of cfg would do, for create --dry-run: how QEMU is
// told to make the VM, what of the host is in it, and the Spec that its agent
// gets. Nothing of the machine is asked, so the boot image may be any that
// create would find, and the accelerator is left to it.
func Preview(cfg *libcontainer.Config) (string, error) {
	t, err := translate(cfg.Spec, cfg.ID, false)
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
	fmt.Fprintf(&b, "kernel     %s\ninitrd     %s\n", m.Kernel, m.Initrd)
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
	fmt.Fprintf(&b, "machine    %s\n", m.QEMU)
	args := m.Arguments(from)
	for i := 0; i < len(args); i++ {
		line := args[i]
		if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			line += " " + args[i]
		}
		fmt.Fprintf(&b, "           %s\n", line)
	}
	spec, err := json.MarshalIndent(t.spec, "", "  ")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "guest      %s\n", spec)
	return b.String(), nil
}
