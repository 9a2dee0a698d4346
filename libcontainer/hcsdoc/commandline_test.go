package hcsdoc

import (
	"slices"
	"strings"
	"testing"
)

// parse takes a command line apart as CommandLineToArgvW does: the program's
// name up to a blank, or to the next double quote where it begins with one;
// then arguments, in which 2n backslashes and a quote are n backslashes and a
// quote that has its meaning, 2n+1 are n and a quote that has none, and a quote
// that closes, followed at once by another one, is a quote.
func parse(line string) []string {
	var args []string
	if rest, quoted := strings.CutPrefix(line, `"`); quoted {
		name, after, _ := strings.Cut(rest, `"`)
		args, line = append(args, name), after
	} else {
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return []string{line}
		}
		args, line = append(args, line[:i]), line[i:]
	}
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return args
		}
		var arg strings.Builder
		inside := false
		for line != "" && (inside || line[0] != ' ' && line[0] != '\t') {
			slashes := len(line) - len(strings.TrimLeft(line, `\`))
			line = line[slashes:]
			if line == "" || line[0] != '"' {
				arg.WriteString(strings.Repeat(`\`, slashes))
				if line != "" && slashes == 0 {
					arg.WriteByte(line[0])
					line = line[1:]
				}
				continue
			}
			arg.WriteString(strings.Repeat(`\`, slashes/2))
			line = line[1:]
			switch {
			case slashes%2 == 1:
				arg.WriteByte('"')
			case inside && strings.HasPrefix(line, `"`):
				arg.WriteByte('"')
				line = line[1:]
			default:
				inside = !inside
			}
		}
		args = append(args, arg.String())
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"cmd"}, `cmd`},
		{[]string{"cmd", "/c", "echo", "hello"}, `cmd /c echo hello`},
		{[]string{`C:\Program Files\a.exe`, "b"}, `"C:\Program Files\a.exe" b`},
		{[]string{`C:\dir\`}, `C:\dir\`},
		{[]string{`C:\my dir\`, "x"}, `"C:\my dir\" x`},
		{[]string{"a", ""}, `a ""`},
		{[]string{"", "b"}, `"" b`},
		{[]string{"a", `b"c`}, `a "b\"c"`},
		{[]string{"a", `b\c`}, `a b\c`},
		{[]string{"a", `b\"c`}, `a "b\\\"c"`},
		{[]string{"a", `b c\`}, `a "b c\\"`},
		{[]string{"a", `b c\\`}, `a "b c\\\\"`},
		{[]string{"a", `\\server\share`}, `a \\server\share`},
		{[]string{"a", "tab\there"}, "a \"tab\there\""},
		{[]string{"a", "new\nline"}, "a \"new\nline\""},
		{[]string{"a", `"`}, `a "\""`},
		{[]string{"a", `\`}, `a \`},
		{[]string{"a", "%PATH% & <b> | ^c"}, `a "%PATH% & <b> | ^c"`},
	} {
		got, err := CommandLine(c.args)
		if err != nil || got != c.want {
			t.Errorf("CommandLine(%q) = %s, %v, want %s", c.args, got, err, c.want)
		}
		if back := parse(got); !slices.Equal(back, c.args) {
			t.Errorf("%s is parsed as %q, want %q", got, back, c.args)
		}
	}
}

// TestParse: the parser that quoting is held against follows Microsoft's own
// examples.
func TestParse(t *testing.T) {
	for line, want := range map[string][]string{
		`x "abc" d e`:      {"x", "abc", "d", "e"},
		`x a\\b d"e f"g h`: {"x", `a\\b`, "de fg", "h"},
		`x a\\\"b c d`:     {"x", `a\"b`, "c", "d"},
		`x a\\\\"b c" d e`: {"x", `a\\b c`, "d", "e"},
		`x "a""b" c`:       {"x", `a"b`, "c"},
		`"x y\" a`:         {`x y\`, "a"},
		"x \t a":           {"x", "a"},
		`x ""`:             {"x", ""},
	} {
		if got := parse(line); !slices.Equal(got, want) {
			t.Errorf("parse(%s) = %q, want %q", line, got, want)
		}
	}
}

func TestRefusedCommandLine(t *testing.T) {
	for _, args := range [][]string{{`a"b`}, {"a", "b\x00"}, {"\x00"}} {
		if got, err := CommandLine(args); err == nil || !strings.HasPrefix(err.Error(), "process.args[") {
			t.Errorf("CommandLine(%q) = %s, %v", args, got, err)
		}
	}
}

// FuzzCommandLine: what is joined comes apart again as it was.
func FuzzCommandLine(f *testing.F) {
	f.Add("cmd", `a\"b`, `c d\\`)
	f.Add(`C:\a b\`, "", `""`)
	f.Add("", "\t", `\`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		args := []string{a, b, c}
		line, err := CommandLine(args)
		if err != nil {
			if !strings.ContainsRune(a, '"') && !strings.ContainsRune(a+b+c, 0) {
				t.Errorf("CommandLine(%q): %v", args, err)
			}
			return
		}
		if back := parse(line); !slices.Equal(back, args) {
			t.Errorf("%q became %s and is parsed as %q", args, line, back)
		}
	})
}
