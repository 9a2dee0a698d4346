package silo

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// writeMaps gives the child's user namespace its users (user_namespaces(7)).
func writeMaps(pid int, l *specs.Linux) error {
	for _, m := range []struct {
		file string
		list []specs.LinuxIDMapping
	}{{"uid_map", l.UIDMappings}, {"gid_map", l.GIDMappings}} {
		if len(m.list) == 0 {
			continue
		}
		if err := writeProc(pid, m.file, string(mapText(m.list))); err != nil {
			return fmt.Errorf("write the user namespace's mappings: %w", err)
		}
	}
	return nil
}

func mapText(list []specs.LinuxIDMapping) []byte {
	var text []byte
	for _, e := range list {
		text = fmt.Appendf(text, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
	}
	return text
}
