package hcs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	winio "github.com/Microsoft/go-winio"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
)

// A command speaks to the container's monitor over a named pipe that only
// administrators can open: one request and one answer, each a line of JSON.

// request is what a command wants of the monitor.
type request struct {
	Op     string `json:"op"`
	Number int    `json:"number,omitempty"` // opSignal
	VM     string `json:"vm,omitempty"`     // opCreate: the utility VM that ends with the container
}

const (
	opCreate = "create" // create the compute system
	opSettle = "settle" // its creator is done: do not end with it any more
	opBoot   = "boot"   // start the compute system, but no program
	opStart  = "start"  // start the program
	opSignal = "signal" // to the init process, or to a container that waits
	opEnd    = "end"    // end the container, at once
)

// answer is the monitor's. An error travels as text, with what the commands
// decide by.
type answer struct {
	Error      string `json:"error,omitempty"`
	Hint       string `json:"hint,omitempty"`
	NotRunning bool   `json:"notRunning,omitempty"`
	Exists     bool   `json:"exists,omitempty"` // somebody has a compute system of that name
}

// longest is how many bytes a line has; JSON takes up to six for one of a text.
const longest = 64 << 10

// clip keeps a text within a line: the service may have much to say.
func clip(s string) string {
	const most = longest / 8
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// acceptPause keeps a pipe that accepts nobody from taking a processor.
const acceptPause = 50 * time.Millisecond

// errNoMonitor says that nobody listens: the monitor has ended.
var errNoMonitor = errors.New("the container's monitor is gone")

// pipeSecurity lets SYSTEM and administrators in.
const pipeSecurity = "D:P(A;;GA;;;SY)(A;;GA;;;BA)"

func pipeName(id string) string { return `\\.\pipe\ProtectedPrefix\Administrators\wrun-` + id }

// ask sends one request to the monitor behind the pipe.
func ask(ctx context.Context, pipe string, r request) error {
	dialing, cancel := context.WithTimeout(ctx, dialWait)
	conn, err := winio.DialPipeContext(dialing, pipe)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("asking the monitor to %s: %w", r.Op, ctx.Err())
		}
		return fmt.Errorf("%w: %w", errNoMonitor, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerWait))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var a answer
	err = json.NewEncoder(conn).Encode(r)
	if err == nil {
		err = readLine(conn, &a)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("asking the monitor to %s: %w", r.Op, ctx.Err())
	case err != nil:
		return fmt.Errorf("asking the monitor to %s: %w: %w", r.Op, errNoMonitor, err)
	case a.NotRunning:
		return libcontainer.ErrNotRunning
	case a.Error == "":
		return nil
	case a.Hint != "":
		return libcontainer.WithHint(refused{a}, a.Hint)
	}
	return refused{a}
}

// refused is an answer as an error.
type refused struct{ answer }

func (r refused) Error() string { return r.answer.Error }

func (r refused) Is(target error) bool {
	return r.Exists && target == computecore.ErrSystemAlreadyExists
}

func readLine(conn net.Conn, v any) error {
	r := bufio.NewReaderSize(conn, longest)
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// serve answers requests until the listener is closed, and holds held from a
// request to its answer.
func serve(l net.Listener, held sync.Locker, handle func(context.Context, request) error) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause) // one caller's misfortune must not make us deaf
			continue
		}
		go func() {
			defer conn.Close()
			ctx, cancel := context.WithTimeout(context.Background(), answerWait)
			defer cancel()
			_ = conn.SetDeadline(time.Now().Add(answerWait + dialWait))
			var r request
			if err := readLine(conn, &r); err != nil {
				return // whoever it was has gone, or is no wrun
			}
			held.Lock()
			defer held.Unlock()
			_ = json.NewEncoder(conn).Encode(report(handle(ctx, r)))
		}()
	}
}

func report(err error) answer {
	if err == nil {
		return answer{}
	}
	a := answer{Error: clip(err.Error()), Hint: libcontainer.Hint(hinted(err)), Exists: errors.Is(err, computecore.ErrSystemAlreadyExists)}
	a.NotRunning = errors.Is(err, libcontainer.ErrNotRunning) || errors.Is(err, computecore.ErrProcessAlreadyStopped)
	return a
}
