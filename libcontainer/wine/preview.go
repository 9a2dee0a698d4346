package wine

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// Elsewhere says that a bundle's folders are those of a Windows machine, so that no
// host of this kind can be meant.
func Elsewhere(s *specs.Spec) bool {
	if s.Windows == nil {
		return false
	}
	for _, f := range s.Windows.LayerFolders {
		if len(f) > 1 && f[1] == ':' || strings.HasPrefix(f, `\\`) {
			return true
		}
	}
	return false
}

// Preview says what create would prepare, and returns the configuration that the
// inner host would get, for create --dry-run. Nothing on the machine is looked at:
// what is found out there stands in parentheses.
func Preview(c *libcontainer.Config, cpus int) (string, *libcontainer.Config, error) {
	w, err := Read(c.Spec, c.Bundle)
	if err != nil {
		return "", nil, err
	}
	vm := c.Isolation.Kind == libcontainer.UVM
	site := &Site{
		Root:    "(template)/root",
		Wine:    Wine{Loader: "(wine64)", Server: "(wineserver)"},
		Runtime: []Bind{{Source: "(Wine and its libraries)", At: "(the same place)"}},
		Tools:   "(bin/wine)",
		Prefix:  w.Scratch + "/" + registryFolder,
		Drive:   Overlay{Lower: append(append([]string{}, w.Layers...), "(template)/drive_c"), Upper: w.Scratch + "/" + filesFolder, Work: w.Scratch + "/" + workFolder},
		Files:   []Bind{{Source: "(made for it)", At: "/etc/hosts"}, {Source: "(made for it)", At: "/etc/resolv.conf"}},
		Nonce:   "(random)", CPUs: cpus,
	}
	if vm {
		site.Mounted = "(state directory)/drive"
	}
	spec, warnings, err := Translate(c.Spec, w, site)
	if err != nil {
		return "", nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "windows    Wine, said to be %s, for %s\n", w.Version, w.User.Name)
	for i, l := range w.Layers {
		fmt.Fprintf(&b, "drive C:   layer %d, read-only: %s\n", i, l)
	}
	fmt.Fprintf(&b, "drive C:   lowest, read-only: Wine's own\nscratch    %s: files, registry\n", w.Scratch)
	for _, p := range w.Pipes {
		fmt.Fprintf(&b, "pipe       %s%s: %s\n", pipePrefix, p.Name, p.Socket)
	}
	for _, text := range append(w.Warnings, warnings...) {
		fmt.Fprintf(&b, "warning    %s\n", text)
	}
	inner := *c
	inner.Spec, inner.Isolation.OS = spec, "linux"
	return b.String(), &inner, nil
}
