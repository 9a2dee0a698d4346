package uvm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// qmpWait bounds QEMU's answer to a command; those that are used here it gives
// within a millisecond.
const qmpWait = 10 * time.Second

// qmp is QEMU's control connection: one command at a time, and events.
type qmp struct {
	pipe    io.ReadWriter
	turn    sync.Mutex
	answers chan qmpMessage
	ended   chan struct{}
	event   func(name string, data json.RawMessage)
}

type qmpMessage struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// newQMP begins to read. event is called for each event, in order.
func newQMP(pipe io.ReadWriter, event func(string, json.RawMessage)) *qmp {
	q := &qmp{pipe: pipe, answers: make(chan qmpMessage, 1), ended: make(chan struct{}), event: event}
	go q.read()
	return q
}

func (q *qmp) read() {
	defer close(q.ended)
	const longest = 64 << 10
	lines := bufio.NewReaderSize(q.pipe, longest)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return // QEMU's end, or more than it ever says
		}
		var m qmpMessage
		switch {
		case json.Unmarshal(line, &m) != nil:
			return // QEMU itself is under the guest's attack; nothing of it is believed then
		case m.Event != "":
			q.event(m.Event, m.Data)
		case m.Return != nil || m.Error != nil:
			select {
			case q.answers <- m:
			default: // nobody asked, or lost patience
			}
		}
	}
}

// do has QEMU execute a command; out may be nil.
func (q *qmp) do(command string, arguments, out any) error {
	return q.execute(command, arguments, out, q.pipe.Write)
}

// give hands a descriptor to QEMU, under a name.
func (q *qmp) give(name string, fd int) error {
	s, ok := q.pipe.(socket)
	if !ok {
		return errors.New("give QEMU a descriptor: not over a socket")
	}
	return q.execute("getfd", map[string]string{"fdname": name}, nil, func(line []byte) (int, error) {
		return unix.SendmsgN(int(s), line, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	})
}

func (q *qmp) execute(command string, arguments, out any, write func([]byte) (int, error)) error {
	q.turn.Lock()
	defer q.turn.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	select {
	case <-q.answers: // of somebody who lost patience
	default:
	}
	if _, err := write(append(line, '\n')); err != nil {
		if err == unix.EPIPE || err == unix.ECONNRESET {
			err = errVMGone
		}
		return fmt.Errorf("tell QEMU to %s: %w", command, err)
	}
	late := time.NewTimer(qmpWait)
	defer late.Stop()
	select {
	case m := <-q.answers:
		if m.Error != nil {
			return fmt.Errorf("tell QEMU to %s: %s", command, m.Error.Desc)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(m.Return, out)
	case <-q.ended:
		select {
		case m := <-q.answers: // its last word
			if m.Error == nil && out == nil {
				return nil
			}
		default:
		}
		return fmt.Errorf("tell QEMU to %s: %w", command, errVMGone)
	case <-late.C:
		return fmt.Errorf("tell QEMU to %s: no answer within %v", command, qmpWait)
	}
}

// errVMGone says that the VM has ended.
var errVMGone = errors.New("the utility VM has ended")
