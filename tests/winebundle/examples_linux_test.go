package winebundle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"wrun/tests/container"
	"wrun/tests/leftovers"
	"wrun/tests/uvm/boot"
)

// TestTutorial runs what docs/windows-on-linux-tutorial.md says, block by block: each
// of commands that is followed by its output, the three examples among them.
func TestTutorial(t *testing.T) {
	newRig(t, "cmd") // skips where nothing can be tested
	image := boot.Build(t).Image
	text, err := os.ReadFile("../../docs/windows-on-linux-tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n([^`]*)```\n\n```text\n([^`]*)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks with output found", len(blocks))
	}
	dir := filepath.Join(work, "tutorial")
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	// bin/wrun as the reader has it, with a state root of the test's.
	script := fmt.Sprintf("#!/bin/sh\nexec %s --root %s/state --log %[2]s/log \"$@\"\n", program, dir)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "bin"), 0o755),
		os.WriteFile(filepath.Join(dir, "bin/wrun"), []byte(script), 0o755),
		os.Symlink(examples, filepath.Join(dir, "examples")),
		os.Symlink(image, filepath.Join(work, "uvm")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := leftovers.Take(t)
	for i, b := range blocks {
		ctx, cancel := context.WithTimeout(t.Context(), 2*container.Patience)
		cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", b[1])
		cmd.Dir = dir
		out, err := cmd.Output()
		cancel()
		if got := unix(string(out)); err != nil || got != b[2] {
			t.Fatalf("block %d: %v, output:\n%s\nwant:\n%s\nof:\n%s", i+1, err, got, b[2], b[1])
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "state"))
	if err != nil || len(left) > 0 {
		t.Errorf("left of the containers: %v, %v", left, err)
	}
	before.Check(t, "after the tutorial")
}
