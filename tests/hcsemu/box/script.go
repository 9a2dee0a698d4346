package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// This file is the shell. It knows nothing of Windows.

// shell runs scripts of statements with ; or ends of lines between them:
//
//	echo WORD... [>&2 | >FILE]   exit [N]        sleep SECONDS
//	cat [FILE...]  env  pwd      true  false  :
//	read NAME                    NAME=VALUE
//	trap 'SCRIPT' TERM|INT|...   kill -N $$
//	while :; do ...; done        while read NAME; do ...; done
//	spew BYTES                   writes that many bytes, for full pipes
//
// with 'quotes', "quotes", $NAME, ${NAME}, $$ and $?. A statement that is none
// of these fails with code 127, as a missing program does.
type shell struct {
	in          io.Reader
	out, errors io.Writer
	vars        map[string]string
	pid, code   int
	ended       bool
	// arm has the script run when the signal comes.
	arm func(signal string, run func()) error
}

type word struct {
	text  string
	plain bool // no quotes: may be a keyword, a redirection, the end
}

// run answers the exit code.
func (s *shell) run(script string) int {
	words, err := s.split(script)
	if err != nil {
		fmt.Fprintln(s.errors, "sh:", err)
		return 2
	}
	s.list(words)
	return s.code
}

// split takes a script apart; ";" is a word.
func (s *shell) split(script string) ([]word, error) {
	var words []word
	var b strings.Builder
	open, plain := false, true
	end := func() {
		if open {
			words = append(words, word{b.String(), plain})
		}
		b.Reset()
		open, plain = false, true
	}
	for i := 0; i < len(script); i++ {
		switch c := script[i]; c {
		case ' ', '\t', '\r':
			end()
		case ';', '\n':
			end()
			words = append(words, word{";", true})
		case '\'', '"':
			j := strings.IndexByte(script[i+1:], c)
			if j < 0 {
				return nil, fmt.Errorf("no closing %c", c)
			}
			inner := script[i+1 : i+1+j]
			if c == '\'' { // nothing in it is expanded
				inner = strings.ReplaceAll(inner, "$", literalDollar)
			}
			b.WriteString(inner)
			open, plain = true, false
			i += j + 1
		default:
			b.WriteByte(c)
			open = true
		}
	}
	end()
	return words, nil
}

// literalDollar stands for a $ between single quotes.
const literalDollar = "\x00"

// list runs statements up to the end or exit.
func (s *shell) list(words []word) {
	for len(words) > 0 && !s.ended {
		if words[0].plain && words[0].text == ";" {
			words = words[1:]
			continue
		}
		if words[0].plain && words[0].text == "while" {
			words = s.while(words[1:])
			continue
		}
		n := 0
		for n < len(words) && !(words[n].plain && words[n].text == ";") {
			n++
		}
		s.statement(words[:n])
		words = words[n:]
	}
}

// while runs a loop and answers what follows its done.
func (s *shell) while(words []word) []word {
	do, done, depth := -1, -1, 0
	for i, w := range words {
		switch {
		case !w.plain:
		case w.text == "while":
			depth++
		case w.text == "do" && depth == 0 && do < 0:
			do = i
		case w.text == "done" && depth > 0:
			depth--
		case w.text == "done" && done < 0:
			done = i
		}
	}
	if do < 0 || done < do {
		fmt.Fprintln(s.errors, "sh: while without do and done")
		s.code, s.ended = 2, true
		return nil
	}
	for !s.ended {
		s.list(words[:do])
		if s.code != 0 {
			s.code = 0
			break
		}
		s.list(words[do+1 : done])
	}
	return words[done+1:]
}

func (s *shell) statement(words []word) {
	out := s.out
	var args []string
	for _, w := range words {
		switch text := s.expand(w.text); {
		case w.plain && text == ">&2":
			out = s.errors
		case w.plain && strings.HasPrefix(text, ">"):
			f, err := os.Create(strings.TrimPrefix(text, ">"))
			if err != nil {
				s.code = s.complain(err)
				return
			}
			defer f.Close()
			out = f
		default:
			args = append(args, text)
		}
	}
	if len(args) == 0 {
		return
	}
	if name, v, is := strings.Cut(args[0], "="); is && len(args) == 1 {
		s.vars[name] = v
		s.code = 0
		return
	}
	switch args[0] {
	case "exit":
		s.ended = true
		if len(args) > 1 {
			s.code = s.number(args[1])
		}
	case "kill": // only itself
		s.ended = true
		s.code = 128 + s.number(strings.TrimPrefix(strings.Join(args[1:2], ""), "-"))
	case "read":
		s.code = s.read(args[1:])
	case "trap":
		s.code = s.trap(args[1:])
	case "spew":
		_, err := out.Write([]byte(strings.Repeat("x", s.number(strings.Join(args[1:2], "")))))
		if s.code = 0; err != nil {
			s.code = s.complain(err)
		}
	default:
		inner := *s
		inner.out = out
		s.code = inner.program(args)
	}
}

func (s *shell) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		fmt.Fprintln(s.errors, "sh: no number:", text)
		return 2
	}
	return n
}

// expand puts in the values of $NAME, ${NAME}, $$ and $?.
func (s *shell) expand(text string) string {
	text = os.Expand(text, func(name string) string {
		switch name {
		case "$":
			return strconv.Itoa(s.pid)
		case "?":
			return strconv.Itoa(s.code)
		}
		if v, set := s.vars[name]; set {
			return v
		}
		return os.Getenv(name)
	})
	return strings.ReplaceAll(text, literalDollar, "$")
}

// read reads a line byte by byte, since what follows it is the next reader's.
func (s *shell) read(names []string) int {
	var b strings.Builder
	one := make([]byte, 1)
	for {
		n, err := s.in.Read(one)
		if n == 1 && one[0] == '\n' {
			break
		}
		if n == 1 {
			b.WriteByte(one[0])
			continue
		}
		if err != nil {
			return 1
		}
	}
	if len(names) > 0 {
		s.vars[names[0]] = strings.TrimSuffix(b.String(), "\r")
	}
	return 0
}

// trap runs its script beside the statement that the signal came into; the
// scripts of tests end with exit, and that ends the process.
func (s *shell) trap(args []string) int {
	if len(args) < 2 {
		fmt.Fprintln(s.errors, "sh: trap wants a script and signals")
		return 2
	}
	for _, signal := range args[1:] {
		inner := &shell{in: s.in, out: s.out, errors: s.errors, vars: s.vars, pid: s.pid, arm: s.arm}
		err := s.arm(signal, func() {
			if code := inner.run(args[0]); inner.ended {
				os.Exit(code)
			}
		})
		if err != nil {
			return s.complain(err)
		}
	}
	return 0
}

func (s *shell) sleep(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(s.errors, "sleep: want seconds")
		return 2
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return s.complain(err)
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	return 0
}
