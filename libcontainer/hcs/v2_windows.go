package hcs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	winio "github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
	"wrun/libcontainer/hcsdoc"
)

// v2 is the service through computecore.dll.
type v2 struct{}

// within bounds one call of the service, whatever its caller allows.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callWait)
}

func (v2) list(ctx context.Context, ids ...string) (map[string]*properties, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	answer, err := computecore.Enumerate(ctx, hcsdoc.SystemQuery(ids, nil))
	if err != nil {
		return nil, err
	}
	var all []*properties
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, fmt.Errorf("reading what the host compute service says of %s: %w", ids[0], err)
	}
	return byID(all, ids), nil
}

func (v2) create(ctx context.Context, id string, document []byte) (computeSystem, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	s, err := computecore.Create(ctx, id, document)
	if err != nil {
		return nil, err
	}
	return newSystemV2(s, id), nil
}

func (v2) open(ctx context.Context, id string) (computeSystem, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	s, err := computecore.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	return newSystemV2(s, id), nil
}

type systemV2 struct {
	s       *computecore.System
	id      string
	watched bool
	follow  sync.Once
	exited  *departure
}

func newSystemV2(s *computecore.System, id string) *systemV2 {
	return &systemV2{s: s, id: id, exited: newDeparture()}
}

func (c *systemV2) watch(ctx context.Context) (*departure, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	c.watched = true
	return c.exited, c.s.Watch(ctx)
}

// wait begins to wait for the end. Not before there was a call behind Watch
// that can only succeed while the system lives: else the service would have to
// be asked whether the end was missed.
func (c *systemV2) wait() {
	if !c.watched {
		return
	}
	c.follow.Do(func() {
		go func() {
			exit, err := c.s.WaitExit(context.Background())
			c.exited.tell(exit.Type, err)
		}()
	})
}

func (c *systemV2) start(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	err := c.s.Start(ctx)
	if err == nil {
		c.wait()
	}
	return err
}

func (c *systemV2) shutdown(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	err := c.s.Shutdown(ctx)
	c.wait()
	return err
}

func (c *systemV2) terminate(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	err := c.s.Terminate(ctx)
	c.wait()
	return err
}

func (c *systemV2) pause(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	return c.s.Pause(ctx)
}

func (c *systemV2) resume(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	return c.s.Resume(ctx)
}

func (c *systemV2) close() { c.s.Close() }

func (c *systemV2) modify(ctx context.Context, document []byte) error {
	ctx, cancel := within(ctx)
	defer cancel()
	return c.s.Modify(ctx, document)
}

// ask reads one kind of properties into the member of that name.
func (c *systemV2) ask(ctx context.Context, kind string, v any) error {
	ctx, cancel := within(ctx)
	defer cancel()
	answer, err := c.s.Properties(ctx, hcsdoc.Query(kind))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("reading %s of %s: %w", kind, c.id, err)
	}
	return nil
}

func (c *systemV2) processes(ctx context.Context) ([]libcontainer.ProcessInfo, error) {
	var v struct {
		ProcessList []struct {
			ProcessId                      int //nolint:staticcheck // the service's spelling
			ImageName                      string
			CreateTimestamp                time.Time
			UserTime100ns, KernelTime100ns int64
			MemoryCommitBytes              uint64
		}
	}
	if err := c.ask(ctx, "ProcessList", &v); err != nil {
		return nil, err
	}
	all := make([]libcontainer.ProcessInfo, 0, len(v.ProcessList))
	for _, p := range v.ProcessList {
		all = append(all, libcontainer.ProcessInfo{Pid: p.ProcessId, Image: p.ImageName, Created: p.CreateTimestamp,
			User: ticks(p.UserTime100ns), Kernel: ticks(p.KernelTime100ns), Memory: p.MemoryCommitBytes})
	}
	return all, nil
}

// ticks are the service's 100 ns.
func ticks(n int64) time.Duration { return time.Duration(n) * 100 }

func (c *systemV2) statistics(ctx context.Context) (*statistics, error) {
	var v struct{ Statistics statistics }
	if err := c.ask(ctx, "Statistics", &v); err != nil {
		return nil, err
	}
	return &v.Statistics, nil
}

func (c *systemV2) createProcess(ctx context.Context, parameters []byte) (process, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	p, info, err := c.s.CreateProcess(ctx, parameters)
	if err != nil {
		return nil, err
	}
	c.wait()
	v := &processV2{p: p, id: int(info.PID)}
	if err := v.adopt(info); err != nil {
		v.abandon()
		return nil, fmt.Errorf("taking the streams of process %d of %s: %w", info.PID, c.id, err)
	}
	if err := p.Watch(ctx); err != nil {
		v.abandon()
		return nil, err
	}
	return v, nil
}

func (c *systemV2) openProcess(ctx context.Context, pid int) (process, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	p, err := c.s.OpenProcess(ctx, uint32(pid))
	if err != nil {
		return nil, err
	}
	return &processV2{p: p, id: pid}, nil
}

type processV2 struct {
	p       *computecore.Process
	id      int
	in      io.WriteCloser
	out, er io.ReadCloser
}

// adopt takes the pipes over. The service makes them for overlapped reads and
// writes, which only go-winio does on a handle that came from elsewhere.
func (p *processV2) adopt(info computecore.ProcessInfo) error {
	open := func(h windows.Handle) (io.ReadWriteCloser, error) {
		f, err := winio.NewOpenFile(h)
		if err != nil {
			windows.CloseHandle(h)
		}
		return f, err
	}
	var errs [3]error
	if info.Stdin != 0 {
		p.in, errs[0] = writer(open(info.Stdin))
	}
	if info.Stdout != 0 {
		p.out, errs[1] = reader(open(info.Stdout))
	}
	if info.Stderr != 0 {
		p.er, errs[2] = reader(open(info.Stderr))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// writer and reader keep a failed open from becoming an interface that is not nil.
func writer(f io.ReadWriteCloser, err error) (io.WriteCloser, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func reader(f io.ReadWriteCloser, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (p *processV2) pid() int { return p.id }

func (p *processV2) stdio() (in io.WriteCloser, out, err io.ReadCloser) { return p.in, p.out, p.er }

func (p *processV2) closeStdin(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	return p.p.Modify(ctx, hcsdoc.CloseStdin())
}

func (p *processV2) signal(ctx context.Context, number int, guest string) error {
	ctx, cancel := within(ctx)
	defer cancel()
	switch {
	case guest == "linux" && number == 0:
		// kill(2): "no signal is sent, but existence and permission checks are
		// still performed". The guest's agent would take 0 for SIGKILL.
		done, _, err := p.ended(ctx)
		if err == nil && done {
			return computecore.ErrProcessAlreadyExited
		}
		return err
	case guest == "linux":
		return p.p.Signal(ctx, hcsdoc.LinuxSignal(number))
	}
	if number == libcontainer.Terminate {
		return p.p.Terminate(ctx)
	}
	options, err := hcsdoc.Signal(number)
	if err != nil {
		return err
	}
	return p.p.Signal(ctx, options)
}

func (p *processV2) resize(ctx context.Context, width, height uint16) error {
	ctx, cancel := within(ctx)
	defer cancel()
	return p.p.Modify(ctx, hcsdoc.Resize(width, height))
}

func (p *processV2) wait(ctx context.Context) (uint32, error) { return p.p.WaitExit(ctx) }

func (p *processV2) ended(ctx context.Context) (bool, uint32, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	answer, err := p.p.Properties(ctx)
	if err != nil {
		return false, 0, err
	}
	var v struct {
		Exited   bool
		ExitCode uint32
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return false, 0, fmt.Errorf("reading the properties of process %d: %w", p.id, err)
	}
	return v.Exited, v.ExitCode, nil
}

// abandon ends a process whose caller will not hear of it.
func (p *processV2) abandon() {
	ctx, cancel := within(context.Background())
	defer cancel()
	_ = p.p.Terminate(ctx)
	for _, s := range []io.Closer{p.in, p.out, p.er} {
		if s != nil {
			_ = s.Close()
		}
	}
	p.close()
}

// close leaves streams that a relay has to the relay.
func (p *processV2) close() { p.p.Close() }
