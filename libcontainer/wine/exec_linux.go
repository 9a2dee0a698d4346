package wine

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// toolTime bounds one operation of the launcher's: a tenth of a second in a silo.
func (s *system) toolTime() time.Duration {
	if s.h.VM {
		return 2 * time.Minute
	}
	return 20 * time.Second
}

// Exec starts a further Windows process in the container's session.
func (s *system) Exec(ctx context.Context, e *libcontainer.Exec, stdio libcontainer.Stdio) (libcontainer.Process, error) {
	if s.inner == nil {
		return nil, libcontainer.ErrNotRunning
	}
	user, err := s.h.User, error(nil)
	if name := e.Spec.User.Username; name != "" {
		if user, err = findUser(name); err != nil {
			return nil, err
		}
	}
	if user != s.h.User {
		return nil, libcontainer.WithHint(fmt.Errorf("process.user.username: %s: the container's session is %s's, and one wineserver serves one user", user.Name, s.h.User.Name),
			"run it as the container's own user")
	}
	token, err := nonce()
	if err != nil {
		return nil, err
	}
	status := execStatus + token
	p, err := Process(e.Spec, user, s.h.Wine, "exec", prefixDir+"/"+status, s.h.Nonce)
	if err != nil {
		return nil, err
	}
	watch, err := watchDir(s.h.Prefix)
	if err != nil {
		return nil, err
	}
	defer unix.Close(watch)
	inner := *e
	inner.Spec, inner.Container = p, container()
	process, err := s.inner.Exec(ctx, &inner, stdio)
	if err != nil {
		return nil, err
	}
	if err := s.launched(ctx, watch, status, process.Pid()); err != nil {
		_ = process.Signal(int(unix.SIGKILL)) // it has ended, or is of no use
		return nil, err
	}
	return &execProcess{process}, nil
}

// execProcess takes the signals of Windows.
type execProcess struct{ libcontainer.Process }

func (p *execProcess) Signal(sig int) error {
	number, ok := signalFor(sig)
	if !ok {
		return fmt.Errorf("%d is no signal of a Windows container", sig)
	}
	return p.Process.Signal(int(number))
}

// tool runs the launcher in the container and returns what it prints; ErrNotRunning
// when the container ended, perhaps by that.
func (s *system) tool(ctx context.Context, args ...string) (string, error) {
	out, err := s.launch(ctx, args...)
	if err == nil {
		return out, nil
	}
	if l, looked := s.inner.Live(ctx); looked == nil && !l.Exists {
		return "", libcontainer.ErrNotRunning
	}
	return "", err
}

func (s *system) launch(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.toolTime())
	defer cancel()
	what := "the launcher's " + args[0]
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer null.Close()
	ours, theirs, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer ours.Close()
	p, err := s.inner.Exec(ctx, &libcontainer.Exec{Spec: Tool(s.h.User, s.h.Wine, args...), Container: container(),
		Warn: func(string, ...any) {}}, libcontainer.Stdio{In: null, Out: theirs, Err: null})
	theirs.Close()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", what, err)
	}
	if end, ok := ctx.Deadline(); ok {
		_ = ours.SetReadDeadline(end)
	}
	out, err := io.ReadAll(io.LimitReader(ours, 1<<20))
	if err != nil {
		_ = p.Signal(int(unix.SIGKILL))
		return "", fmt.Errorf("read what %s says: %w", what, err)
	}
	code, err := p.Wait(ctx)
	if err != nil {
		_ = p.Signal(int(unix.SIGKILL))
		return "", fmt.Errorf("wait for %s: %w", what, err)
	}
	if code != 0 {
		return "", fmt.Errorf("%s ended with %d", what, code)
	}
	return string(out), nil
}

// ProcessTable asks Windows itself, in the container.
func (s *system) ProcessTable(ctx context.Context) ([]libcontainer.ProcessInfo, error) {
	if s.inner == nil {
		return nil, libcontainer.ErrNotRunning
	}
	l, err := s.inner.Live(ctx)
	if err != nil {
		return nil, err
	}
	if !l.Exists || !l.Started || l.Paused { // a paused session answers nobody
		return nil, nil
	}
	out, err := s.tool(ctx, "list")
	if err != nil {
		return nil, err
	}
	first := 0
	if r := s.said(); r.what == started {
		first = int(r.number)
	}
	return parseTable(out, first), nil
}
