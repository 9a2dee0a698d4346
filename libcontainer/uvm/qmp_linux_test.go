package uvm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 10}, "package": ""}, "capabilities": ["oob"]}}`

// fakeQEMU is the other end of a control connection, played by the test.
type fakeQEMU struct {
	t      *testing.T
	fd     socket
	lines  *bufio.Reader
	events chan string // that were heard
	die    func()
}

// newFakeQEMU begins with the greeting, as QEMU does.
func newFakeQEMU(t *testing.T) (*qmp, *fakeQEMU) {
	t.Helper()
	ours, theirs := links(t)
	f := &fakeQEMU{t: t, fd: socket(theirs), lines: bufio.NewReader(socket(theirs)), events: make(chan string, 100)}
	f.die = sync.OnceFunc(theirs.close)
	f.say(greeting)
	q := newQMP(socket(ours), func(name string, data json.RawMessage) { f.events <- name + string(data) })
	t.Cleanup(func() {
		f.die()
		awaited(t, "the end of the connection", q.ended)
		ours.close()
	})
	return q, f
}

// awaited is what comes from a channel, and fails when nothing does.
func awaited[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: still not after %v", what, patience)
		panic("unreachable")
	}
}

func (f *fakeQEMU) say(lines ...string) {
	f.t.Helper()
	if _, err := f.fd.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		f.t.Fatal(err)
	}
}

// hear is the next command.
func (f *fakeQEMU) hear() string {
	f.t.Helper()
	line, err := f.lines.ReadString('\n')
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// asking runs a command beside the test.
func asking(q *qmp, command string, arguments, out any) <-chan error {
	done := make(chan error, 1)
	go func() { done <- q.do(command, arguments, out) }()
	return done
}

func TestQMPCommands(t *testing.T) {
	type status struct {
		Running bool `json:"running"`
	}
	var is status
	for name, c := range map[string]struct {
		command   string
		arguments any
		out       any
		asked     string
		answer    string
		want      string // error, "" for none
	}{
		"no arguments":            {"stop", nil, nil, `{"execute":"stop"}`, `{"return": {}}`, ""},
		"arguments":               {"x", map[string]any{"a": "b\n"}, nil, `{"arguments":{"a":"b\n"},"execute":"x"}`, `{"return": {}}`, ""},
		"a result":                {"query-status", nil, &is, `{"execute":"query-status"}`, `{"return": {"running": true, "status": "running"}}`, ""},
		"a result nobody wants":   {"x", nil, nil, `{"execute":"x"}`, `{"return": [1, 2]}`, ""},
		"a result of null":        {"x", nil, nil, `{"execute":"x"}`, `{"return": null}`, ""},
		"a result of other type":  {"x", nil, &is, `{"execute":"x"}`, `{"return": 5}`, "cannot unmarshal"},
		"an error":                {"cont", nil, nil, `{"execute":"cont"}`, `{"error": {"class": "GenericError", "desc": "No!"}}`, "tell QEMU to cont: No!"},
		"an error with an answer": {"cont", nil, &is, `{"execute":"cont"}`, `{"return": {}, "error": {"desc": "No!"}}`, "tell QEMU to cont: No!"},
		"an error of nothing":     {"cont", nil, &is, `{"execute":"cont"}`, `{"error": {}}`, "tell QEMU to cont: "},
	} {
		t.Run(name, func(t *testing.T) {
			is = status{}
			q, f := newFakeQEMU(t)
			done := asking(q, c.command, c.arguments, c.out)
			if asked := f.hear(); asked != c.asked {
				t.Errorf("asked %s, want %s", asked, c.asked)
			}
			f.say(c.answer)
			err := awaited(t, "the answer", done)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err == nil && c.out != nil && !is.Running {
				t.Errorf("the result did not come: %+v", is)
			}
		})
	}
	q, f := newFakeQEMU(t)
	if err := q.do("x", func() {}, nil); err == nil || !strings.Contains(err.Error(), "unsupported type") {
		t.Errorf("a function as argument: %v", err)
	}
	done := asking(q, "y", nil, nil)
	f.hear()
	f.say(`{"return": {}}`)
	if err := awaited(t, "the answer", done); err != nil {
		t.Errorf("and then: %v", err)
	}
}

// TestQMPEvents: they are heard in order, before and between a command and its
// answer, and are no answer.
func TestQMPEvents(t *testing.T) {
	q, f := newFakeQEMU(t)
	f.say(`{"timestamp": {"seconds": 1}, "event": "RESUME"}`)
	var out string
	done := asking(q, "x", nil, &out)
	f.hear()
	f.say(`{"event": "STOP", "data": {"a": 1}}`, `{"event": "GUEST_PANICKED", "data": {"action": "pause"}, "return": "not this"}`, `{}`, `null`)
	for _, want := range []string{"RESUME", `STOP{"a": 1}`, `GUEST_PANICKED{"action": "pause"}`} {
		if got := awaited(t, "an event", f.events); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f.say(`{"return": "this"}`, `{"event": "SHUTDOWN"}`)
	if err := awaited(t, "the answer", done); err != nil || out != "this" {
		t.Errorf("%q, %v", out, err)
	}
	if got := awaited(t, "an event", f.events); got != "SHUTDOWN" {
		t.Error(got)
	}
}

// TestQMPAnswersToNobody: what comes unasked is not the next command's answer.
func TestQMPAnswersToNobody(t *testing.T) {
	q, f := newFakeQEMU(t)
	f.say(`{"return": "stale"}`, `{"error": {"desc": "stale"}}`, `{"return": "stale"}`, `{"event": "READ"}`)
	awaited(t, "all of it is read", f.events)
	var out string
	done := asking(q, "x", nil, &out)
	f.hear()
	f.say(`{"return": "fresh"}`)
	if err := awaited(t, "the answer", done); err != nil || out != "fresh" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestQMPTakesTurns: commands of many are told one after the other, and each
// gets its own answer.
func TestQMPTakesTurns(t *testing.T) {
	q, f := newFakeQEMU(t)
	const many = 20
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			var out string
			command := fmt.Sprintf("c%02d", i)
			if err := q.do(command, nil, &out); err != nil || out != command {
				t.Errorf("%q for %s, %v", out, command, err)
			}
		})
	}
	var heard []string
	for range many {
		var c struct{ Execute string }
		if err := json.Unmarshal([]byte(f.hear()), &c); err != nil {
			t.Fatal(err)
		}
		if f.lines.Buffered() != 0 {
			t.Error("a command was told before the answer to the one before it")
		}
		heard = append(heard, c.Execute)
		f.say(fmt.Sprintf(`{"return": %q}`, c.Execute))
	}
	all.Wait()
	slices.Sort(heard)
	if heard = slices.Compact(heard); len(heard) != many {
		t.Errorf("only %q were heard", heard)
	}
}

// TestQMPEnds: QEMU's death, and words that are none of its own, end the
// connection for whoever waits.
func TestQMPEnds(t *testing.T) {
	for name, end := range map[string]func(f *fakeQEMU){
		"death":                 func(f *fakeQEMU) { f.die() },
		"death within a line":   func(f *fakeQEMU) { _, _ = f.fd.Write([]byte(`{"return": {}`)); f.die() },
		"a line of no JSON":     func(f *fakeQEMU) { f.say("Segmentation fault") },
		"an empty line":         func(f *fakeQEMU) { f.say("") },
		"a list":                func(f *fakeQEMU) { f.say(`[1]`) },
		"two objects in a line": func(f *fakeQEMU) { f.say(`{"return": {}} {"return": {}}`) },
		"an event of a number":  func(f *fakeQEMU) { f.say(`{"event": 1}`) },
	} {
		t.Run(name, func(t *testing.T) {
			q, f := newFakeQEMU(t)
			done := asking(q, "stop", nil, nil)
			f.hear()
			end(f)
			if err := awaited(t, "the end", done); !errors.Is(err, errVMGone) || !strings.Contains(err.Error(), "tell QEMU to stop") {
				t.Error(err)
			}
			awaited(t, "the end of reading", q.ended)
			if err := q.do("cont", nil, nil); err == nil {
				t.Error("a later command was answered")
			}
		})
	}
}

// TestQMPPatience: a QEMU that does not answer is given up, and its late answer
// is nobody's.
func TestQMPPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		q := newQMP(ours, func(string, json.RawMessage) {})
		lines := bufio.NewScanner(theirs)
		done := asking(q, "stop", nil, nil)
		lines.Scan()
		begin := time.Now()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "tell QEMU to stop: no answer within 10s") {
			t.Error(err)
		}
		if took := time.Since(begin); took != qmpWait {
			t.Errorf("it took %v", took)
		}
		_, _ = io.WriteString(theirs, `{"error": {"desc": "late"}}`+"\n")
		synctest.Wait() // it is read
		done = asking(q, "cont", nil, nil)
		lines.Scan()
		_, _ = io.WriteString(theirs, `{"return": {}}`+"\n")
		if err := <-done; err != nil {
			t.Errorf("the next command: %v", err)
		}
		theirs.Close()
		<-q.ended
	})
}

// TestQMPGivesDescriptors: getfd comes with the descriptor itself.
func TestQMPGivesDescriptors(t *testing.T) {
	q, f := newFakeQEMU(t)
	p := track(t)
	done := make(chan error, 1)
	go func() { done <- q.give("state", p.r) }()
	line, rights := make([]byte, 1<<10), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := unix.Recvmsg(int(f.fd), line, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"arguments":{"fdname":"state"},"execute":"getfd"}` + "\n"; string(line[:n]) != want {
		t.Errorf("%q, want %q", line[:n], want)
	}
	fds, err := descriptors(rights[:m])
	if err != nil || len(fds) != 1 || p.copies(t) != 1 {
		t.Errorf("%v, %v; %d copies", fds, err, p.copies(t))
	}
	closeAll(fds)
	f.say(`{"return": {}}`)
	if err := awaited(t, "the answer", done); err != nil {
		t.Error(err)
	}
	other := newQMP(struct{ io.ReadWriter }{nothing{}}, nil)
	if err := other.give("x", p.r); err == nil {
		t.Error("a descriptor was given over what is no socket")
	}
	<-other.ended
}

type nothing struct{}

func (nothing) Read([]byte) (int, error)    { return 0, io.EOF }
func (nothing) Write(b []byte) (int, error) { return len(b), nil }
