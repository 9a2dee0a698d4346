//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// sample is one measured call.
type sample struct {
	wall      time.Duration // from fork to wait4's return
	user, sys time.Duration // CPU time of the runtime and of what it waited for
}

// row is one command of one runtime.
type row struct {
	command, runtime string
	samples          []sample
}

// turn measures one runtime once: each command it calls by its name, in order.
type turn func(subject) ([]string, []sample, error)

// alternate gives each runtime its turn in one loop, in an order drawn anew for
// each round: what one leaves the kernel to do in the background, tearing down
// a network namespace above all, falls on every other equally often. The seed
// is fixed, so a second run draws the same orders. The pause lets that
// background work end before the next measurement begins.
func (b *bench) alternate(o options, interrupted <-chan os.Signal, measure turn) ([]row, error) {
	bySubject := map[string][]row{}
	order := rand.New(rand.NewPCG(1, 2))
	for i := range o.warm + o.n {
		for _, k := range order.Perm(len(b.subjects)) {
			s := b.subjects[k]
			time.Sleep(o.pause)
			select {
			case <-interrupted:
				return nil, errors.New("interrupted")
			default:
			}
			commands, samples, err := measure(s)
			if err != nil {
				return nil, err
			}
			if i < o.warm {
				continue
			}
			rows := bySubject[s.name]
			for c, command := range commands {
				if c == len(rows) {
					rows = append(rows, row{command: command, runtime: s.name, samples: make([]sample, 0, o.n)})
				}
				rows[c].samples = append(rows[c].samples, samples[c])
			}
			bySubject[s.name] = rows
		}
	}
	// One command's runtimes stand below each other.
	var all []row
	for c := range bySubject[b.subjects[0].name] {
		for _, s := range b.subjects {
			all = append(all, bySubject[s.name][c])
		}
	}
	return all, nil
}

func (b *bench) newID() string {
	b.count++
	return b.prefix + strconv.Itoa(b.count)
}

func (b *bench) run(s subject) ([]string, []sample, error) {
	got, err := b.call(s, "run", "--bundle", b.once, b.newID())
	return []string{"run true"}, []sample{got}, err
}

func (b *bench) cycle(s subject) ([]string, []sample, error) {
	id := b.newID()
	b.live[id] = s
	var sum sample
	for _, args := range [][]string{{"create", "--bundle", b.lasting, id}, {"start", id}, {"delete", "--force", id}} {
		got, err := b.call(s, args...)
		if err != nil {
			return nil, nil, err
		}
		sum.wall += got.wall
		sum.user += got.user
		sum.sys += got.sys
	}
	delete(b.live, id)
	return []string{"create+start+delete --force"}, []sample{sum}, nil
}

func (b *bench) steps(s subject) ([]string, []sample, error) {
	id := b.newID()
	b.live[id] = s
	var commands []string
	var samples []sample
	for _, args := range [][]string{
		{"create", "--bundle", b.lasting, id}, {"start", id}, {"state", id}, {"exec", "--process", b.exec, id}, {"kill", id, "KILL"}, {"delete", id},
	} {
		if args[0] == "delete" {
			if err := b.waitStopped(s, id); err != nil {
				return nil, nil, err
			}
		}
		got, err := b.call(s, args...)
		if err != nil {
			return nil, nil, err
		}
		commands = append(commands, args[0])
		samples = append(samples, got)
	}
	delete(b.live, id)
	return commands, samples, nil
}

// waitStopped waits, unmeasured, until the killed container may be deleted.
func (b *bench) waitStopped(s subject, id string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		state, err := b.state(s, id)
		if err == nil && state.Status == specs.StateStopped {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %s is not stopped 10 s after kill: %+v, %w", s.name, id, state, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// call measures one invocation from fork to wait4's return.
func (b *bench) call(s subject, args ...string) (sample, error) {
	argv := append([]string{s.path, "--root", s.root}, args...)
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{b.null.Fd(), b.null.Fd(), b.stderr.Fd()}}
	begin := time.Now()
	pid, err := syscall.ForkExec(s.path, argv, attr)
	if err != nil {
		return sample{}, fmt.Errorf("start %s: %w", s.path, err)
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		_, err = syscall.Wait4(pid, &status, 0, &usage)
		if err != syscall.EINTR {
			break
		}
	}
	got := sample{wall: time.Since(begin), user: time.Duration(usage.Utime.Nano()), sys: time.Duration(usage.Stime.Nano())}
	if err != nil {
		return sample{}, fmt.Errorf("wait for %s: %w", s.path, err)
	}
	if status.ExitStatus() != 0 {
		said, _ := os.ReadFile(b.stderr.Name())
		return sample{}, fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), status.ExitStatus(), bytes.TrimSpace(said))
	}
	return got, nil
}
