package uvm

import (
	"fmt"
	"path/filepath"
	"strings"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// sandboxOf is the state directory of the container whose VM c shares; "" when it
// has one of its own.
func sandboxOf(c *libcontainer.Config) (string, error) {
	role, sandbox, err := hcsdoc.Pod(c.Spec)
	if err != nil || role == "" {
		return "", err
	}
	switch {
	case strings.Contains(sandbox, "/") || sandbox == "." || sandbox == "..":
		return "", fmt.Errorf("%q, whose utility VM is to be shared, is no container id", sandbox)
	case role == hcsdoc.RoleSandbox && sandbox != c.ID:
		return "", fmt.Errorf("the annotations make this the sandbox %s, and its id is %s", sandbox, c.ID)
	case role == hcsdoc.RoleSandbox:
		return "", nil
	case sandbox == c.ID:
		return "", fmt.Errorf("the annotations put container %s into itself", sandbox)
	}
	return filepath.Join(filepath.Dir(c.Dir), sandbox), nil
}
