package golden

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// recorder is a test that says what it was told.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Errorf(f string, a ...any) { r.said = fmt.Sprintf(f, a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.said = fmt.Sprintf(f, a...); panic(r) }

func TestCheck(t *testing.T) {
	t.Chdir(t.TempDir())
	check := func(got string) string {
		r := &recorder{TB: t}
		func() {
			defer func() { _ = recover() }()
			Check(r, "name", got)
		}()
		return r.said
	}
	if said := check("one\ntwo\n"); !strings.Contains(said, "-update writes it") {
		t.Errorf("without a file: %q", said)
	}
	*update = true
	said := check("one\ntwo\n")
	*update = false
	if data, err := os.ReadFile("testdata/name.golden"); said != "" || err != nil || string(data) != "one\ntwo\n" {
		t.Errorf("written: %q, %q, %v", said, data, err)
	}
	if said := check("one\ntwo\n"); said != "" {
		t.Errorf("the same: %q", said)
	}
	if said := check("one\n2\n"); !strings.HasSuffix(said, ":\n-two\n+2\n") {
		t.Errorf("another: %q", said)
	}
}
