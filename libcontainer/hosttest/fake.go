// Package hosttest holds the contract that every Host has to keep, as a test
// suite, and a Host in memory that keeps it.
package hosttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// Points are the names that Fake.Fail is called with: every place at which a
// real host may fail. Beside them there is "create.undo", behind a failed create.
var Points = [...]string{
	"create", "create.recorded", "create.namespaces", "create.parked", "create.pid",
	"open", "live", "start", "signal", "exec", "processes", "wait",
	"pause", "resume", "update", "stats", "close",
}

// Fake is a Host in memory. Its programs are goroutines that understand the
// few lines of shell which the suite speaks (program.go).
type Fake struct {
	// Fail, when set, is asked at each point; its error becomes the call's.
	Fail func(point string) error

	mu      sync.Mutex
	last    int
	systems map[int]*system
	updates []*specs.LinuxResources
}

var _ libcontainer.Host = (*Fake)(nil)

// handle is what the fake records: the number alone before the program is
// there, its pid as well behind.
type handle struct {
	N   int `json:"n"`
	Pid int `json:"pid,omitempty"`
}

type system struct {
	fake *Fake
	n    int
	init *process // nil until there is one

	mu      sync.Mutex
	started bool
	pause   chan struct{} // closed by Resume; nil when not paused
	execs   []*process
}

var (
	_ libcontainer.System     = (*system)(nil)
	_ libcontainer.Pauser     = (*system)(nil)
	_ libcontainer.Updater    = (*system)(nil)
	_ libcontainer.Meter      = (*system)(nil)
	_ libcontainer.HookRunner = (*system)(nil)
)

func (f *Fake) fail(point string) error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail(point)
}

// Left names what was created and not closed.
func (f *Fake) Left() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []string
	for n := range f.systems {
		left = append(left, fmt.Sprintf("system %d", n))
	}
	sort.Strings(left)
	return left
}

// Updates is what Update was called with.
func (f *Fake) Updates() []*specs.LinuxResources {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.updates
}

// Create parks a program. It records twice, like a host that makes something
// nameable first and a process after it.
func (f *Fake) Create(ctx context.Context, c *libcontainer.Config, io libcontainer.Stdio) (_ libcontainer.System, err error) {
	if err := f.fail("create"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.last++
	s := &system{fake: f, n: f.last}
	f.mu.Unlock()
	if err := record(c, handle{N: s.n}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	if f.systems == nil {
		f.systems = make(map[int]*system)
	}
	f.systems[s.n] = s
	f.mu.Unlock()
	defer func() {
		if err == nil {
			return
		}
		if left := f.fail("create.undo"); left != nil {
			err = fmt.Errorf("%w; %w: %w", err, libcontainer.ErrLeft, left)
			return
		}
		s.remove()
	}()
	if err := f.fail("create.recorded"); err != nil {
		return nil, err
	}
	s.init = s.newProcess(s.pid(0), c.Spec.Process, io)
	if c.Namespaces != nil {
		if err := f.fail("create.namespaces"); err != nil {
			return nil, err
		}
		if err := c.Namespaces(ctx, s.init.pid, libcontainer.ExecHook); err != nil {
			return nil, err
		}
	}
	if err := f.fail("create.parked"); err != nil {
		return nil, err
	}
	if err := record(c, handle{N: s.n, Pid: s.init.pid}); err != nil {
		return nil, err
	}
	return s, f.fail("create.pid")
}

func record(c *libcontainer.Config, h handle) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return c.Record(data)
}

// Open finds a system again.
func (f *Fake) Open(_ context.Context, h libcontainer.Handle) (libcontainer.System, error) {
	if err := f.fail("open"); err != nil {
		return nil, err
	}
	var v handle
	if err := json.Unmarshal(h, &v); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.systems[v.N]; s != nil {
		return s, nil
	}
	return nil, libcontainer.ErrNotFound
}

// pid makes up process ids that belong to nobody: beyond Linux's PID_MAX_LIMIT.
func (s *system) pid(i int) int { return 1<<22 + s.n*1000 + i }

func (s *system) Pid() int {
	if s.init == nil {
		return 0
	}
	return s.init.pid
}

func (s *system) Live(context.Context) (libcontainer.Live, error) {
	if err := s.fake.fail("live"); err != nil {
		return libcontainer.Live{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	exists := s.init != nil && !s.init.ended()
	return libcontainer.Live{Exists: exists, Started: exists && s.started, Paused: exists && s.pause != nil}, nil
}

func (s *system) Start(context.Context) error {
	if err := s.fake.fail("start"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.init.ended() {
		return errors.New("starting: there is no parked program")
	}
	if err := s.init.start(); err != nil {
		s.init.end(1)
		return err
	}
	s.started = true
	return nil
}

func (s *system) Signal(_ context.Context, sig int, all bool) error {
	if err := s.fake.fail("signal"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reached := s.init.signal(sig) == nil
	if all {
		for _, p := range s.execs {
			reached = p.signal(sig) == nil || reached
		}
	}
	if !reached {
		return libcontainer.ErrNotRunning
	}
	return nil
}

func (s *system) Exec(_ context.Context, e *libcontainer.Exec, io libcontainer.Stdio) (libcontainer.Process, error) {
	if err := s.fake.fail("exec"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.init.ended() {
		return nil, libcontainer.ErrNotRunning
	}
	p := s.newProcess(s.pid(len(s.execs)+1), e.Spec, io)
	if err := p.start(); err != nil {
		return nil, err
	}
	s.execs = append(s.execs, p)
	return p, nil
}

func (s *system) Wait(ctx context.Context) (int, error) {
	if err := s.fake.fail("wait"); err != nil {
		return 0, err
	}
	return s.init.Wait(ctx)
}

func (s *system) Processes(context.Context) ([]int, error) {
	if err := s.fake.fail("processes"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.init == nil || s.init.ended() {
		return nil, libcontainer.ErrNotRunning
	}
	pids := []int{s.init.pid}
	for _, p := range s.execs {
		if !p.ended() {
			pids = append(pids, p.pid)
		}
	}
	return pids, nil
}

func (s *system) Close(context.Context) error {
	if err := s.fake.fail("close"); err != nil {
		return err
	}
	s.remove()
	return nil
}

func (s *system) remove() {
	s.mu.Lock()
	if s.init != nil {
		s.init.end(128 + 9)
	}
	for _, p := range s.execs {
		p.end(128 + 9)
	}
	s.mu.Unlock()
	s.fake.mu.Lock()
	delete(s.fake.systems, s.n)
	s.fake.mu.Unlock()
}

func (s *system) Pause(context.Context) error {
	if err := s.fake.fail("pause"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pause == nil {
		s.pause = make(chan struct{})
	}
	return nil
}

func (s *system) Resume(context.Context) error {
	if err := s.fake.fail("resume"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pause != nil {
		close(s.pause)
		s.pause = nil
	}
	return nil
}

func (s *system) Update(_ context.Context, r *specs.LinuxResources) error {
	if err := s.fake.fail("update"); err != nil {
		return err
	}
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	s.fake.updates = append(s.fake.updates, r)
	return nil
}

func (s *system) Stats(context.Context) (any, error) {
	if err := s.fake.fail("stats"); err != nil {
		return nil, err
	}
	pids, err := s.Processes(context.Background())
	return map[string]any{"pids": map[string]int{"current": len(pids)}}, err
}

func (s *system) RunHook(ctx context.Context, h specs.Hook, state []byte) error {
	return libcontainer.ExecHook(ctx, h, state)
}
