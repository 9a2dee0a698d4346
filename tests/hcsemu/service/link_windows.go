package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"wrun/tests/hcsemu/hcs"
)

// What host and guest of a utility VM say to each other over TCP on loopback:
// lines of JSON on the first connection; each standard pipe is a connection of
// its own, which begins with its token.

// question is a call of the host. Room 0 is the VM itself.
type question struct {
	Seq     uint64
	Op      string // room, launch, terminate, signal, list, usage, suspend, terminate-room, close-room
	Room    uint64
	PID     uint32
	Code    uint32
	Name    string
	Suspend bool
	Program *hcs.Program `json:",omitempty"`
	Streams [3]string    // tokens of the standard pipes' connections
}

// reply answers a question, or tells that a process has ended (Seq 0).
type reply struct {
	Seq       uint64
	Error     string
	Result    uint32
	PID       uint32
	Code      uint32
	Room      uint64
	Handled   bool
	Processes []hcs.ProcessDetails `json:",omitempty"`
	Usage     *hcs.Usage           `json:",omitempty"`
}

const (
	answerTime  = 20 * time.Second // for the guest to answer a question
	streamTime  = 20 * time.Second // for a stream's connection to come
	tokenLength = 36
)

func (r *reply) fail(err error) {
	r.Error = err.Error()
	var code hcs.Result
	if errors.As(err, &code) {
		r.Result = uint32(code)
	}
}

func (r *reply) err() error {
	switch {
	case r.Error == "":
		return nil
	case r.Result != 0:
		return fmt.Errorf("the guest says: %s: %w", r.Error, hcs.Result(r.Result))
	}
	return fmt.Errorf("the guest says: %s", r.Error)
}

// line writes JSON lines, whole.
type line struct {
	mu sync.Mutex
	c  net.Conn
}

func (l *line) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.c.Write(append(b, '\n'))
	return err
}

func lines(c net.Conn) *json.Decoder { return json.NewDecoder(bufio.NewReader(c)) }
