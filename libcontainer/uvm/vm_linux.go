package uvm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/wire"
)

const (
	// bootWait bounds the start of a VM: 1 s on an idle machine, 4 s on a busy one.
	bootWait = 30 * time.Second
	// callWait bounds the agent's answers to what takes it no time of its own.
	callWait = 10 * time.Second
)

// vm is a utility VM that this process has started.
type vm struct {
	pid   int    // QEMU's
	ours  []link // our ends of its sockets
	agent socket
	conn  *wire.Conn
	met   chan struct{} // closed when the agent has greeted us; then unmet is why it has not
	unmet error
	qmp   *qmp
	said  *tail         // by QEMU and on the guest's console
	gone  chan struct{} // closed when QEMU has ended
	// dial answers what the guest asks for; nil: it has nothing to ask for.
	dial func(wire.Dial) error
	// changed tells how a migration goes, which saving and restoring are for QEMU.
	changed chan string

	mu  sync.Mutex
	why string // it ended, as QEMU told it before
}

// socket is a blocking end of a socket pair as a pipe.
type socket int

func (s socket) Read(b []byte) (int, error) {
	for {
		switch n, err := unix.Read(int(s), b); {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (s socket) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.SendmsgN(int(s), b[done:], nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && err != unix.EINTR {
			return done, err
		}
		done += max(n, 0)
	}
	return done, nil
}

// tail keeps the end of what is written to it: the guest may write without end.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if len(t.text) > 2*tailSize {
		t.text = append(t.text[:0], t.text[len(t.text)-tailSize:]...)
	}
	return len(b), nil
}

// words is what was said last, as part of an error.
func (t *tail) words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(t.text[max(0, len(t.text)-tailSize):]), "?")), " ")
}

// source is what a VM's memory and devices begin with.
type source struct {
	kind   memory
	memory *os.File // the file; nil for fresh memory
	state  *os.File // of the devices; nil unless restored
	taps   []int    // of the network cards; none for a template
}

// start starts QEMU with its sockets, in a root directory made at dir; files is
// the end of the file server's pair that it gets, and is closed here.
func (m *Machine) start(dir string, files int, from source) (_ *vm, err error) {
	theirs := []int{files}
	defer func() { closeAll(theirs) }()
	path, err := exec.LookPath(m.QEMU)
	if err != nil {
		return nil, fmt.Errorf("start the utility VM: %w", err)
	}
	groups, err := m.confined(dir, path)
	if err != nil {
		return nil, fmt.Errorf("confine the utility VM: %w", err)
	}
	v := &vm{said: &tail{}, gone: make(chan struct{}), changed: make(chan string, 8)}
	defer func() {
		if err != nil {
			v.closeSockets()
		}
	}()
	for range 3 { // agent, QMP, console
		l, other, err := newLink()
		if err != nil {
			return nil, err
		}
		v.ours, theirs = append(v.ours, l), append(theirs, int(other))
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	mouth, words, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer words.Close()
	state := null
	if from.state != nil {
		state = from.state
	}
	inherited := []uintptr{null.Fd(), words.Fd(), words.Fd(),
		agentFD: uintptr(theirs[1]), filesFD: uintptr(files), qmpFD: uintptr(theirs[2]), consoleFD: uintptr(theirs[3]),
		stateFD: state.Fd()}
	for _, tap := range from.taps {
		inherited = append(inherited, uintptr(tap))
	}
	pid, listener, err := launch(dir, path, m.Arguments(from.kind), groups, inherited)
	if err != nil {
		return nil, fmt.Errorf("start the utility VM: %w", err)
	}
	go answerOpens(listener, from.memory)
	go func() { _, _ = io.Copy(v.said, mouth); mouth.Close() }()
	go func() { _, _ = io.Copy(v.said, socket(v.ours[2])) }()
	v.pid = pid
	go func() {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		v.mu.Lock()
		if err == nil && status.Signaled() && v.why == "" {
			v.why = "QEMU was ended by signal " + strconv.Itoa(int(status.Signal()))
			if status.Signal() == unix.SIGKILL {
				v.why += ", as when the memory that its cgroup on the host may have does not suffice"
			}
		}
		v.mu.Unlock()
		close(v.gone)
	}()
	v.agent = socket(v.ours[0])
	v.qmp = newQMP(socket(v.ours[1]), v.happened)
	v.conn = wire.New(v.agent, v.answer)
	return v, nil
}

// answer is for the guest's calls.
func (v *vm) answer(op string, in json.RawMessage) (any, error) {
	if op != wire.OpDial || v.dial == nil {
		return nil, fmt.Errorf("the host answers no %q", op)
	}
	var d wire.Dial
	if err := json.Unmarshal(in, &d); err != nil {
		return nil, fmt.Errorf("read a request: %w", err)
	}
	return nil, v.dial(d)
}

// kill ends QEMU and waits for its end.
func (v *vm) kill() {
	_ = unix.Kill(v.pid, unix.SIGKILL) // a child that is not reaped before gone is closed
	select {
	case <-v.gone:
		v.closeSockets() // who reads them has got their end
	case <-time.After(closePatience): // in the kernel's hands; it ends with our pid namespace
	}
}

func (v *vm) closeSockets() {
	for _, l := range v.ours {
		l.close()
	}
	v.ours = nil
}

// happened remembers why the VM ends.
func (v *vm) happened(event string, data json.RawMessage) {
	if event == "MIGRATION" {
		var is struct {
			Status string `json:"status"`
		}
		if json.Unmarshal(data, &is) == nil {
			select {
			case v.changed <- is.Status:
			default: // nobody waits
			}
		}
		return
	}
	if event != "GUEST_PANICKED" && event != "SHUTDOWN" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.why == "" {
		v.why = strings.ToLower(strings.ReplaceAll(event, "_", " ")) + " " + string(data)
	}
}

// notBooted is the error of a VM that would not boot the next time either.
type notBooted struct{ error }

func (n notBooted) Unwrap() error { return n.error }

// ready waits until the agent of a VM that boots listens.
func (v *vm) ready(most time.Duration) error {
	begun := make(chan error, 1)
	go func() { begun <- v.qmp.do("qmp_capabilities", nil, nil) }()
	heard := make(chan error, 1)
	go func() {
		said := make([]byte, len(wire.Ready))
		if _, err := io.ReadFull(v.agent, said); err != nil {
			heard <- errVMGone
		} else if string(said) != wire.Ready {
			heard <- fmt.Errorf("the agent begins with %q", said)
		} else {
			heard <- nil
		}
	}()
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case err := <-heard:
		if err != nil {
			return notBooted{v.failed("boot the utility VM", err)}
		}
	case <-v.gone:
		return notBooted{v.failed("boot the utility VM", errVMGone)}
	case <-late.C:
		return notBooted{v.failed("boot the utility VM", fmt.Errorf("its agent was not ready after %v", most))}
	}
	return <-begun
}

// meet introduces the host to the agent, and has it work. It does not wait for
// the answer: see ask.
func (v *vm) meet() {
	go func() { _ = v.conn.Run() }() // its error is every call's
	v.met = make(chan struct{})
	go func() {
		defer close(v.met)
		v.unmet = v.greet()
	}()
}

// ask calls the agent. It may not have met its host yet: then it does what it is
// asked right after that, where a second word after the first's answer would
// come some milliseconds later.
func (v *vm) ask(ctx context.Context, op string, in, out any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-v.met:
			if v.unmet != nil {
				cancel() // it does nothing for who is not its host
			}
		case <-ctx.Done():
		}
	}()
	err := v.conn.Call(ctx, op, in, out)
	if <-v.met; v.unmet != nil {
		return v.unmet
	}
	return err
}

func (v *vm) greet() error {
	hello := wire.Hello{Version: wire.Version, Time: time.Now().UnixNano(), Files: true}
	var random [64]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return fmt.Errorf("get randomness for the utility VM: %w", err)
	}
	for at := 0; at < len(random); at += 8 {
		hello.Entropy = append(hello.Entropy, binary.NativeEndian.Uint64(random[at:]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	if err := v.conn.Call(ctx, wire.OpHello, hello, nil); err != nil {
		return v.failed("greet the agent of the utility VM", err)
	}
	return nil
}

// settle tells the agent that a program's start is over. By the host's clock: the
// guest would have to set a timer at the very time.
func (v *vm) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	_ = v.conn.Call(ctx, wire.OpSettle, nil, nil) // a VM that is gone or paused has nothing to do
}

// failed adds to err what QEMU and the guest have said.
func (v *vm) failed(what string, err error) error {
	if errors.Is(err, errVMGone) || errors.Is(err, io.ErrClosedPipe) {
		select {
		case <-v.gone: // its last words are complete, soon
			time.Sleep(10 * time.Millisecond)
		case <-time.After(time.Second):
		}
	}
	v.mu.Lock()
	why := v.why
	v.mu.Unlock()
	for _, more := range []string{why, v.said.words()} {
		if more != "" {
			err = fmt.Errorf("%w (%s)", err, more)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
