package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestScripts(t *testing.T) {
	t.Setenv("FROM", "outside")
	for _, c := range []struct {
		script, in, out, errors string
		code                    int
	}{
		{"echo ran", "", "ran\n", "", 0},
		{"echo a; echo b >&2; exit 7", "", "a\n", "b\n", 7},
		{"exit 255; echo no", "", "", "", 255},
		{"echo here; kill -9 $$", "", "here\n", "", 137},
		{"cat", "through\n", "through\n", "", 0},
		{"read x; echo got $x; cat", "one\ntwo\n", "got one\ntwo\n", "", 0},
		{`echo "$FROM" '$FROM' ${FROM}!`, "", "outside $FROM outside!\n", "", 0},
		{"x=5; echo $x; false; echo $?", "", "5\n1\n", "", 0},
		{"while read l; do echo -$l-; done; echo end", "a\nb\n", "-a-\n-b-\nend\n", "", 0},
		{"while :; do echo once; exit 3; done", "", "once\n", "", 3},
		{"nonsense", "", "", "box: nonsense: not found\n", 127},
		{"echo $$", "", "42\n", "", 0},
		{"spew 3", "", "xxx", "", 0},
		{"echo 'open", "", "", "sh: no closing '\n", 2},
	} {
		var out, errors bytes.Buffer
		s := &shell{in: strings.NewReader(c.in), out: &out, errors: &errors, vars: map[string]string{}, pid: 42, arm: arm}
		if code := s.program([]string{"sh", "-c", c.script}); code != c.code || out.String() != c.out || errors.String() != c.errors {
			t.Errorf("%s: code %d, out %q, errors %q; want %d, %q, %q", c.script, code, out.String(), errors.String(), c.code, c.out, c.errors)
		}
	}
}

func TestTrap(t *testing.T) {
	var armed string
	s := &shell{out: &bytes.Buffer{}, errors: &bytes.Buffer{}, vars: map[string]string{}, arm: func(signal string, _ func()) error {
		armed = signal
		return nil
	}}
	if code := s.run("trap 'exit 5' TERM; exit 1"); code != 1 || armed != "TERM" {
		t.Errorf("code %d, armed %q", code, armed)
	}
}
