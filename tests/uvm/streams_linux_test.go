package uvm

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const much = 100 << 20

// sample is a file of bytes that no copy may change, with its checksum.
func (r *rig) sample(size int64) (name, sum string) {
	r.Helper()
	name = filepath.Join(r.dir, "sample")
	f, err := os.Create(name)
	r.must(err)
	defer f.Close()
	hash := md5.New()
	_, err = io.CopyN(io.MultiWriter(f, hash), rand.NewChaCha8([32]byte{1}), size)
	r.must(err)
	return name, fmt.Sprintf("%x", hash.Sum(nil))
}

func sumOf(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

// TestMuchInput: 100 MB go through a container and through an exec unchanged.
func TestMuchInput(t *testing.T) {
	r := newRig(t, "cat")
	name, sum := r.sample(much)
	var err error
	r.stdin, err = os.Open(name)
	r.must(err)
	defer r.stdin.Close()
	res := r.run()
	t.Logf("through run, there and back: %v", res.took.Round(time.Millisecond))
	if res.code != 0 || sumOf(res.out) != sum {
		t.Errorf("%d bytes came back, of %d: exit code %d, stderr %s", len(res.out), much, res.code, res.err)
	}
	r.stdin = nil
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	r.stdin, err = os.Open(name)
	r.must(err)
	defer r.stdin.Close()
	res = r.wrun("exec", r.id, "cat")
	t.Logf("through exec, there and back: %v", res.took.Round(time.Millisecond))
	if res.code != 0 || sumOf(res.out) != sum {
		t.Errorf("%d bytes came back, of %d: exit code %d, stderr %s", len(res.out), much, res.code, res.err)
	}
	r.stdin = nil
}

// TestOutputIsWhole: what a program has written arrives, however soon it ends.
func TestOutputIsWhole(t *testing.T) {
	const script = "dd if=/dev/zero bs=1048576 count=1 2>/dev/null | tr '\\0' x; echo end >&2"
	r := newRig(t, sh(script)...)
	check := func(how string, res result) {
		t.Helper()
		if res.code != 0 || res.out != strings.Repeat("x", 1<<20) || res.err != "end\n" {
			t.Errorf("%s: %d bytes of %d: %s", how, len(res.out), 1<<20, res)
		}
	}
	check("run", r.run())
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	check("exec", r.wrun(append([]string{"exec", r.id}, sh(script)...)...))
}

// TestReaderGone: a program whose output nobody reads any more ends as it would
// on the host.
func TestReaderGone(t *testing.T) {
	r := newRig(t, "yes")
	r.save()
	head := func(args ...string) {
		t.Helper()
		cmd, done := r.command(args...)
		ours, theirs, err := os.Pipe()
		r.must(err)
		cmd.Stdout = theirs
		r.must(cmd.Start())
		theirs.Close()
		buf := make([]byte, 2)
		_, err = io.ReadFull(ours, buf)
		r.must(err)
		ours.Close()
		if res := done(cmd.Wait()); string(buf) != "y\n" || res.code != 128+13 && res.code != 1 || res.took > 10*time.Second {
			t.Errorf("%v: %q, %s", args, buf, res)
		}
	}
	head("run", r.id)
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	head("exec", r.id, "yes")
	r.equal("afterwards", r.inside("echo on"), "on")
}

// TestSlowReader: who reads slowly loses nothing, and holds up nobody else.
func TestSlowReader(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	const lines = 200000
	cmd, done := r.command("exec", r.id, "seq", fmt.Sprint(lines))
	ours, theirs, err := os.Pipe()
	r.must(err)
	defer ours.Close()
	cmd.Stdout = theirs
	r.must(cmd.Start())
	theirs.Close()
	begun := time.Now()
	r.equal("another exec meanwhile", r.inside("echo on"), "on")
	t.Logf("another exec beside a reader that does not read: %v", time.Since(begun).Round(time.Millisecond))
	var got bytes.Buffer
	buf := make([]byte, 16<<10)
	for {
		n, err := ours.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			break
		}
		time.Sleep(2 * time.Millisecond) // that is what is slow
	}
	if res := done(cmd.Wait()); res.code != 0 {
		t.Errorf("%s", res)
	}
	if n := strings.Count(got.String(), "\n"); n != lines || !strings.HasSuffix(got.String(), fmt.Sprintf("\n%d\n", lines)) {
		t.Errorf("%d lines of %d", n, lines)
	}
}

// TestInputEnds: the end of the input arrives, also of an input that is none.
func TestInputEnds(t *testing.T) {
	const script, want = "cat; stat -Lc %t:%T /proc/self/fd/0", "1:3\n" // /dev/null
	r := newRig(t, sh(script)...)
	if res := r.run(); res.code != 0 || res.out != want {
		t.Errorf("run without input: %s", res)
	}
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	if res := r.wrun(append([]string{"exec", r.id}, sh(script)...)...); res.code != 0 || res.out != want {
		t.Errorf("exec without input: %s", res)
	}
}

// TestInputIsLeft: what is typed after a process has ended is for whoever reads
// it next.
func TestInputIsLeft(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	ours, theirs, err := os.Pipe()
	r.must(err)
	defer ours.Close()
	defer theirs.Close()
	r.stdin = ours
	r.ok("exec", r.id, "true")
	for _, line := range []string{"for the next\n", "and one more\n"} {
		_, err = theirs.WriteString(line)
		r.must(err)
		// A thief would be faster than a process that has to be started.
		time.Sleep(50 * time.Millisecond)
	}
	theirs.Close()
	if got := r.ok("exec", r.id, "head", "-n1"); got != "for the next\n" {
		r.Errorf("the next reader got %q: the monitor goes on reading for an exec that has ended", got)
	}
}

// TestStreamsAreFreed: many execs leave the monitor no descriptors and no threads.
func TestStreamsAreFreed(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	ours, theirs, err := os.Pipe() // an input that never ends
	r.must(err)
	defer ours.Close()
	defer theirs.Close()
	r.stdin = ours
	monitor := proc{pid: r.state(r.id).Pid}
	r.ok("exec", r.id, "true")
	before := monitor.descriptors(t)
	for range 10 {
		r.ok("exec", r.id, "true")
	}
	// The monitor cleans up beside telling of the end.
	r.until(fmt.Sprintf("%d descriptors of the monitor", before), func() bool { return monitor.descriptors(t) <= before+3 })
}
