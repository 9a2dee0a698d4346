// box is the programs of the tests' containers, under several names as busybox
// is: sh, sleep, cat, echo, true, false, env, pwd. sh -c takes the little of a
// shell that the tests speak (script.go). Lines end with "\n" alone, as on
// Linux, so that a test need not know which system it looks at.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(os.Args[0])), ".exe")
	args := append([]string{name}, os.Args[1:]...)
	if name == "box" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "box: want the name of a program")
		os.Exit(2)
	}
	s := &shell{in: os.Stdin, out: os.Stdout, errors: os.Stderr, vars: map[string]string{}, pid: os.Getpid(), arm: arm}
	os.Exit(s.program(args))
}

// program runs one of the programs and answers its exit code.
func (s *shell) program(args []string) int {
	switch args[0] {
	case "sh":
		if len(args) < 3 || args[1] != "-c" {
			fmt.Fprintln(s.errors, "sh: want -c and a script")
			return 2
		}
		return s.run(args[2])
	case "true", ":":
		return 0
	case "false":
		return 1
	case "echo":
		fmt.Fprint(s.out, strings.Join(args[1:], " ")+"\n")
		return 0
	case "cat":
		return s.cat(args[1:])
	case "sleep":
		return s.sleep(args[1:])
	case "pwd":
		dir, err := os.Getwd()
		if err != nil {
			return s.complain(err)
		}
		fmt.Fprint(s.out, dir+"\n")
		return 0
	case "env":
		all := os.Environ()
		slices.Sort(all)
		for _, e := range all {
			if !strings.HasPrefix(e, "=") { // the drives' directories
				fmt.Fprint(s.out, e+"\n")
			}
		}
		return 0
	}
	fmt.Fprintf(s.errors, "box: %s: not found\n", args[0])
	return 127
}

func (s *shell) complain(err error) int {
	fmt.Fprintln(s.errors, "box:", err)
	return 1
}

func (s *shell) cat(files []string) int {
	if len(files) == 0 {
		if _, err := io.Copy(s.out, s.in); err != nil {
			return s.complain(err)
		}
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return s.complain(err)
		}
		if _, err := s.out.Write(data); err != nil {
			return s.complain(err)
		}
	}
	return 0
}
