package silo

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForkIsToldFirst: a forked child's record that arrives before the word of
// its fork waits until the fork is known; a record from before the fork does
// not.
func TestForkIsToldFirst(t *testing.T) {
	plan := &Plan{Steps: []Step{{Call: "close"}, {Call: callFork}, {Call: "chdir"}, {Call: "execveat"}}}
	for _, c := range []struct {
		name       string
		said, want [][2]uint32
	}{
		{"in order", [][2]uint32{{codeMap, 0}, {codeFork, 5}, {codeReady, 0}}, [][2]uint32{{codeMap, 0}, {codeFork, 5}, {codeReady, 0}}},
		{"ready too early", [][2]uint32{{codeReady, 0}, {codeFork, 5}}, [][2]uint32{{codeFork, 5}, {codeReady, 0}}},
		{"failed too early", [][2]uint32{{2, 13}, {codeFork, 5}}, [][2]uint32{{codeFork, 5}, {2, 13}}},
		{"not executed, too early", [][2]uint32{{codeStub, 2}, {codeFork, 5}}, [][2]uint32{{codeFork, 5}, {codeStub, 2}}},
		{"failed before the fork", [][2]uint32{{0, 9}}, [][2]uint32{{0, 9}}},
		{"the fork itself failed", [][2]uint32{{1, 11}}, [][2]uint32{{1, 11}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[0])
			for _, r := range c.said {
				b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, r[0]), r[1])
				if _, err := unix.Write(pair[1], b); err != nil {
					t.Fatal(err)
				}
			}
			unix.Close(pair[1])
			child := &child{sync: pair[0], theirs: -1, pidfd: -1, plan: plan}
			for _, want := range c.want {
				code, value, ok, err := child.next(context.Background())
				if err != nil || !ok || code != want[0] || value != want[1] {
					t.Fatalf("%#x %d %v %v, want %#x", code, value, ok, err, want)
				}
				child.adopted = child.adopted || code == codeFork // as adopt does
			}
			if code, _, ok, err := child.next(context.Background()); ok || err != nil {
				t.Errorf("and then %#x, %v", code, err)
			}
		})
	}
}

// TestFollowEnds: a child that its parent waits for in the kernel, and that
// does not get on, is ended by its own clock.
func TestFollowEnds(t *testing.T) {
	files := map[File]int{}
	if err := converse(files); err != nil {
		t.Fatal(err)
	}
	limit := make(Bytes, 32) // struct itimerval
	put64(limit[24:], 100_000)
	child, err := follow(&Plan{Steps: []Step{
		{Call: callLet, Args: []Arg{fileSync}},
		{Call: "setitimer", Args: []Arg{Int(itimerReal), limit, Int(0)}},
		{Call: "read", Args: []Arg{fileSync, make(Bytes, 1), Int(1)}, Why: "for ever"},
	}}, files, -1)
	if err != nil {
		t.Fatal(err)
	}
	code, value, said, err := child.next(t.Context())
	if said || err != nil {
		t.Fatalf("it said %#x %d, %v", code, value, err)
	}
	if err := child.failure(code, value, said, "", ""); !errors.Is(err, errDied) || !strings.Contains(err.Error(), "alarm clock") {
		t.Errorf("%v", err)
	}
	child.forget()
}
