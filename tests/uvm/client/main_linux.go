// Command client connects to a unix socket, in a container of these tests.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "talk":
		return talk(args[1])
	case len(args) == 3 && args[0] == "say":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return say(args[1], n)
	case len(args) == 3 && args[0] == "many":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return many(args[1], n)
	}
	return fmt.Errorf("usage: client talk SOCKET | client say|many SOCKET NUMBER")
}

// talk sends its input and then its end, and prints what comes.
func talk(path string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, os.Stdin)
		_ = c.(*net.UnixConn).CloseWrite()
		sent <- err
	}()
	if _, err := io.Copy(os.Stdout, c); err != nil {
		return err
	}
	return <-sent
}

// say says n words, each to a connection of its own, and does not wait for any.
func say(path string, n int) error {
	for i := range n {
		c, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// many connects n times at once, and prints how many of them were answered.
func many(path string, n int) error {
	var answered atomic.Int32
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			c, err := net.Dial("unix", path)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			defer c.Close()
			word := strconv.Itoa(i)
			if _, err := io.WriteString(c, word); err == nil {
				_ = c.(*net.UnixConn).CloseWrite()
				if got, err := io.ReadAll(c); err == nil && string(got) == word {
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	fmt.Println(answered.Load())
	return nil
}
