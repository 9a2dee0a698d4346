package hcsdoc

import "strings"

// This file makes one command line of a list of arguments, by the rules that
// CommandLineToArgvW and the C runtime take it apart again: blanks separate,
// double quotes hold together, and backslashes are ordinary unless they stand
// before a double quote, where two mean one and an odd one takes the quote's
// meaning away.

// CommandLine joins args so that the program gets them back unchanged. The
// program's own name is parsed by a simpler rule, without escapes: one that has
// a double quote cannot be written.
func CommandLine(args []string) (string, error) {
	var b strings.Builder
	for i, a := range args {
		if strings.IndexByte(a, 0) >= 0 {
			return "", bad(index("process.args", i, ""), "%q has a zero byte", a)
		}
		if i == 0 {
			if strings.ContainsRune(a, '"') {
				return "", bad(index("process.args", i, ""), "%q has a double quote, which no file name may have", a)
			}
			if a == "" || strings.ContainsAny(a, " \t") {
				a = `"` + a + `"`
			}
			b.WriteString(a)
			continue
		}
		b.WriteByte(' ')
		quote(&b, a)
	}
	return b.String(), nil
}

func quote(b *strings.Builder, a string) {
	if a != "" && !strings.ContainsAny(a, " \t\n\v\"") {
		b.WriteString(a)
		return
	}
	b.WriteByte('"')
	slashes := 0
	for i := range len(a) {
		switch a[i] {
		case '\\':
			slashes++
		case '"':
			// Each backslash so far would eat the next one or the quote.
			b.WriteString(strings.Repeat(`\`, slashes+1))
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteByte(a[i])
	}
	b.WriteString(strings.Repeat(`\`, slashes))
	b.WriteByte('"')
}
