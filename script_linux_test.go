package main

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rogpeppe/go-internal/testscript"

	"wrun/tests/uvm/boot"
)

// TestScriptHyperV runs what engines match of errors and exit codes with the same
// bundles in utility VMs: nothing of it may differ.
func TestScriptHyperV(t *testing.T) {
	image := boot.Build(t).Image
	runScripts(t, testscript.Params{Files: []string{"tests/script/errors.txt"}}, func(c *bundleConfig) {
		c.Windows = &specs.Windows{HyperV: &specs.WindowsHyperV{UtilityVMPath: image}}
	})
}
