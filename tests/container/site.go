package container

import (
	"fmt"
	"os"
	"testing"
)

// Site is where the tests of one package make their containers.
type Site struct {
	Binary string // wrun, built for these tests
	Work   string // directory of this run, removed at its end
	WhyNot string // why nothing can be tested here; "" if it can
}

// Main is TestMain for a package that needs a Site. name marks the directory,
// tags are those of the build; confine goes first.
func (s *Site) Main(m *testing.M, name, tags string, confine func() error) int {
	if os.Geteuid() != 0 {
		s.WhyNot = "not root: containers with all namespaces need it"
		return m.Run()
	}
	if _, err := os.Stat(Busybox); err != nil {
		s.WhyNot = "the root file systems are made of Debian's busybox-static: " + err.Error()
		return m.Run()
	}
	err := confine()
	if err == nil {
		s.Work, err = os.MkdirTemp("", "wrun-"+name+"-")
	}
	if err == nil {
		defer os.RemoveAll(s.Work)
		err = os.Chmod(s.Work, 0o755) // users of containers walk through here to their root
	}
	if err == nil {
		s.Binary, err = Build(s.Work, tags)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
