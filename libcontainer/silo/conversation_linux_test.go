package silo

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

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

// TestDeathOfASharer: the end of a child that shares the parent's descriptors
// closes nothing, and is seen all the same.
func TestDeathOfASharer(t *testing.T) {
	child := expected(t, 0)
	if err := child.born(); err != nil {
		t.Fatal(err)
	}
	if err := unix.PidfdSendSignal(child.pidfd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	code, value, said, err := child.next(t.Context())
	if said || err != nil || time.Since(begin) > patience/4 {
		t.Errorf("it said %#x %d, %v, after %v", code, value, err, time.Since(begin))
	}
	if err := child.failure(code, value, said, "", ""); !errors.Is(err, errDied) {
		t.Errorf("%v", err)
	}
	child.forget()
}

// TestImpatience: a child whose parent never lets it go on ends by itself.
func TestImpatience(t *testing.T) {
	child := expected(t, 100*time.Millisecond)
	if err := child.born(); err != nil {
		t.Fatal(err)
	}
	code, value, said, err := child.next(t.Context())
	if !said || err != nil || int(code) >= len(child.plan.Steps) || child.plan.Steps[code].Call != callAwait || unix.Errno(value) != unix.ETIMEDOUT {
		t.Errorf("it said %#x %v (%t), %v", code, unix.Errno(value), said, err)
	}
	child.kill()
}

// expected is a child that waits for its plan, no longer than limit (0: as long
// as every child).
func expected(t *testing.T, limit time.Duration) *child {
	t.Helper()
	files := map[File]int{}
	life, err := unix.Open("/proc/self/cmdline", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = converse(files)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(life) })
	files[fileLife] = life
	c, err := conceive(prelude(), unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_FILES, files, -1)
	if err != nil {
		t.Fatal(err)
	}
	if limit > 0 {
		c.memory.patience = unix.NsecToTimespec(int64(limit))
	}
	c.beget()
	return c
}

// TestErrand: what the parent cannot do for the child is told like what the child
// cannot do itself; and a child that says something else first is heard.
func TestErrand(t *testing.T) {
	for _, said := range []uint32{codeErrands, 1} {
		files := map[File]int{}
		if err := converse(files); err != nil {
			t.Fatal(err)
		}
		b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, said), uint32(unix.EBADF))
		if _, err := unix.Write(files[fileSync], b); err != nil {
			t.Fatal(err)
		}
		c := &child{
			sync: files[fileParent], theirs: files[fileSync], pid: 1, pidfd: -1, memory: &memory{},
			plan: &Plan{
				Steps:   []Step{{Call: callLet}, {Call: "fchdir", Why: "a step"}},
				Errands: []Step{{Call: "umask", Args: []Arg{Int(0o22)}}, {Call: "close", Args: []Arg{Int(-1)}, Why: "an errand"}},
			},
		}
		var err error
		if c.memory.then, err = lower(c.plan, files, &c.memory.report, nil); err != nil {
			t.Fatal(err)
		}
		err = c.errands(t.Context(), "", "")
		want := map[uint32]string{codeErrands: "an errand: ", 1: "a step: "}[said]
		if err == nil || !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		c.close()
	}
}
