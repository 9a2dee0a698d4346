package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// reportCoverage says what share of wrun's statements the calls of this site
// executed. Processes that were killed could not tell.
func (s *Site) reportCoverage() {
	dir := s.Host.Unix(`C:\cover`)
	if files, err := filepath.Glob(filepath.Join(dir, "covcounters.*")); err != nil || len(files) == 0 {
		return
	}
	out, err := exec.Command("go", "tool", "covdata", "percent", "-i="+dir).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "coverage: %v: %s\n", err, out)
		return
	}
	fmt.Fprintf(os.Stderr, "coverage of wrun.exe:\n%s\n", strings.TrimSpace(string(out)))
}
