package hcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/Microsoft/hcsshim"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
)

// v1 is the service through vmcompute.dll, by hcsshim, as Docker runs a single
// container under Hyper-V every day.
type v1 struct{}

// bounded waits for a call of hcsshim, which has no deadline of its own. One
// that does not come back is left alone: closing its handles would crash it.
func bounded(ctx context.Context, op, object string, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	late := time.NewTimer(callWait)
	defer late.Stop()
	select {
	case err := <-done:
		return asError(op, object, err)
	case <-late.C:
	case <-ctx.Done():
	}
	return &computecore.Error{Op: op, Object: object, HRESULT: timeoutResult, Message: "no answer in time"}
}

// notified is how long a notification of what has happened may take.
const notified = 200 * time.Millisecond

// timeoutResult is HCS_E_OPERATION_TIMEOUT.
const timeoutResult = 0x80370118

// asError words an error of hcsshim like those of computecore, so that both
// families have one table of causes and cures.
func asError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	var events []computecore.Event
	cause := err // hcsshim's errors do not unwrap
	var container *hcsshim.ContainerError
	var proc *hcsshim.ProcessError
	switch {
	case errors.As(err, &container):
		cause = container.Err
		for _, ev := range container.Events {
			events = append(events, computecore.Event{Message: ev.Message, Provider: ev.Provider, EventID: ev.EventID, Source: ev.Source})
		}
	case errors.As(err, &proc):
		cause = proc.Err
		for _, ev := range proc.Events {
			events = append(events, computecore.Event{Message: ev.Message, Provider: ev.Provider, EventID: ev.EventID, Source: ev.Source})
		}
	}
	var number syscall.Errno
	message := ""
	if !errors.As(cause, &number) {
		if !errors.As(hidden(cause), &number) {
			return fmt.Errorf("%s of %s: %w", op, object, err)
		}
		message = err.Error()
	}
	e := &computecore.Error{Op: op, Object: object, HRESULT: uint32(number), Message: message, Events: events}
	if number < 1<<16 {
		e.HRESULT = 0x80070000 | uint32(number) // HRESULT_FROM_WIN32
	}
	return e
}

// hidden is the error in the member Err of hcsshim's internal types, which layers
// and networks fail with: they do not unwrap, and no public function reads them.
func hidden(err error) error {
	v := reflect.Indirect(reflect.ValueOf(err))
	if v.Kind() != reflect.Struct {
		return nil
	}
	member := v.FieldByName("Err")
	if !member.IsValid() || !member.CanInterface() {
		return nil
	}
	inner, _ := member.Interface().(error)
	return inner
}

// accepted takes hcsshim's "pending" for what it is: the request was taken.
func accepted(err error) error {
	if hcsshim.IsPending(err) {
		return nil
	}
	return err
}

func (v1) list(ctx context.Context, ids ...string) (map[string]*properties, error) {
	var found []hcsshim.ContainerProperties
	err := bounded(ctx, "HcsEnumerateComputeSystems", ids[0], func() (err error) {
		found, err = hcsshim.GetContainers(hcsshim.ComputeSystemQuery{IDs: ids})
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]*properties, 0, len(found))
	for i := range found {
		p := &found[i]
		all = append(all, &properties{ID: p.ID, SystemType: p.SystemType, Owner: p.Owner, State: p.State, Stopped: p.Stopped})
	}
	return byID(all, ids), nil
}

func (v1) create(ctx context.Context, id string, document []byte) (computeSystem, error) {
	config := new(hcsshim.ContainerConfig)
	if err := json.Unmarshal(document, config); err != nil {
		return nil, fmt.Errorf("reading the document of container %s: %w", id, err)
	}
	c := &systemV1{id: id}
	err := bounded(ctx, "HcsCreateComputeSystem", id, func() (err error) {
		c.c, err = hcsshim.CreateContainer(id, config)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (v1) open(ctx context.Context, id string) (computeSystem, error) {
	c := &systemV1{id: id}
	err := bounded(ctx, "HcsOpenComputeSystem", id, func() (err error) {
		c.c, err = hcsshim.OpenContainer(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

type systemV1 struct {
	c     hcsshim.Container
	id    string
	asked atomic.Bool // to shut down
}

func (c *systemV1) do(ctx context.Context, op string, call func() error) error {
	return bounded(ctx, op, c.id, call)
}

func (c *systemV1) watch(context.Context) (*departure, error) {
	d := newDeparture()
	go func() { d.tell("", asError("waiting for the end", c.id, c.c.Wait())) }()
	return d, nil
}

func (c *systemV1) start(ctx context.Context) error {
	return c.do(ctx, "HcsStartComputeSystem", c.c.Start)
}

func (c *systemV1) shutdown(ctx context.Context) error {
	if c.asked.Swap(true) {
		return nil // it is at it since a friendly signal
	}
	return c.do(ctx, "HcsShutdownComputeSystem", func() error { return accepted(c.c.Shutdown()) })
}

func (c *systemV1) terminate(ctx context.Context) error {
	return c.do(ctx, "HcsTerminateComputeSystem", func() error { return accepted(c.c.Terminate()) })
}

func (c *systemV1) pause(ctx context.Context) error {
	return c.do(ctx, "HcsPauseComputeSystem", c.c.Pause)
}

func (c *systemV1) resume(ctx context.Context) error {
	return c.do(ctx, "HcsResumeComputeSystem", c.c.Resume)
}

// modify knows only what v1 can change of a living container, its network.
func (c *systemV1) modify(context.Context, []byte) error {
	return libcontainer.WithHint(fmt.Errorf("changing container %s: %w", c.id, libcontainer.ErrUnsupported),
		`the annotation org.wrun.hyperv.schema "v2" makes a container under Hyper-V whose limits can change`)
}

func (c *systemV1) processes(ctx context.Context) (all []libcontainer.ProcessInfo, err error) {
	err = c.do(ctx, "HcsGetComputeSystemProperties", func() error {
		list, err := c.c.ProcessList()
		for _, p := range list {
			all = append(all, libcontainer.ProcessInfo{Pid: int(p.ProcessId), Image: p.ImageName, Created: p.CreateTimestamp,
				User: ticks(int64(p.UserTime100ns)), Kernel: ticks(int64(p.KernelTime100ns)), Memory: p.MemoryCommitBytes})
		}
		return err
	})
	if err != nil {
		return nil, err // a call that was left alone may write to the list still
	}
	return all, nil
}

func (c *systemV1) statistics(ctx context.Context) (st *statistics, err error) {
	err = c.do(ctx, "HcsGetComputeSystemProperties", func() error {
		v, err := c.c.Statistics()
		if err != nil {
			return err
		}
		data, err := json.Marshal(v) // the same names in both schemas
		if err == nil {
			st = new(statistics)
			err = json.Unmarshal(data, st)
		}
		return err
	})
	return st, err
}

func (c *systemV1) createProcess(ctx context.Context, parameters []byte) (process, error) {
	config := new(hcsshim.ProcessConfig)
	if err := json.Unmarshal(parameters, config); err != nil {
		return nil, fmt.Errorf("reading the parameters of a process of container %s: %w", c.id, err)
	}
	p := &processV1{c: c}
	err := c.do(ctx, "HcsCreateProcess", func() (err error) {
		if p.p, err = c.c.CreateProcess(config); err != nil {
			return err
		}
		if p.in, p.out, p.er, err = p.p.Stdio(); err != nil {
			_ = p.p.Kill() // nobody will hear of it
			_ = p.p.Close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (c *systemV1) openProcess(ctx context.Context, pid int) (process, error) {
	p := &processV1{c: c}
	err := c.do(ctx, "HcsOpenProcess", func() (err error) {
		p.p, err = c.c.OpenProcess(pid)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (c *systemV1) close() {
	ctx, cancel := context.WithTimeout(context.Background(), dialWait)
	defer cancel()
	_ = c.do(ctx, "HcsCloseComputeSystem", c.c.Close) // a handle that does not close goes with the process
}

type processV1 struct {
	c       *systemV1
	p       hcsshim.Process
	init    bool // the container's first: to end it in a friendly way is to shut that down
	in      io.WriteCloser
	out, er io.ReadCloser
}

func (p *processV1) pid() int { return p.p.Pid() }

func (p *processV1) stdio() (in io.WriteCloser, out, err io.ReadCloser) { return p.in, p.out, p.er }

func (p *processV1) closeStdin(ctx context.Context) error {
	return p.c.do(ctx, "HcsModifyProcess", p.p.CloseStdin)
}

// signal: hcsshim's public package has no signals, so anything but the hard one
// shuts the container down, as Docker has it; of a further process it is the end.
func (p *processV1) signal(ctx context.Context, number int, _ string) error {
	if number == libcontainer.Terminate || !p.init {
		return p.c.do(ctx, "HcsTerminateProcess", p.p.Kill)
	}
	return p.c.shutdown(ctx)
}

func (p *processV1) resize(ctx context.Context, width, height uint16) error {
	return p.c.do(ctx, "HcsModifyProcess", func() error { return p.p.ResizeConsole(width, height) })
}

func (p *processV1) wait(ctx context.Context) (uint32, error) {
	done := make(chan error, 1)
	go func() { done <- p.p.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return 0, asError("waiting for the end", p.c.id, err)
		}
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	code, err := p.p.ExitCode()
	return uint32(code), asError("HcsGetProcessProperties", p.c.id, err)
}

func (p *processV1) ended(ctx context.Context) (done bool, code uint32, err error) {
	err = p.c.do(ctx, "HcsGetProcessProperties", func() error {
		// hcsshim knows of the end from a notification, which is on its way when the
		// process was opened after it.
		if err := p.p.WaitTimeout(notified); hcsshim.IsTimeout(err) {
			return nil // it runs
		} else if err != nil {
			return err
		}
		n, err := p.p.ExitCode()
		done, code = err == nil, uint32(n)
		return err
	})
	return done, code, err
}

func (p *processV1) close() {
	ctx, cancel := context.WithTimeout(context.Background(), dialWait)
	defer cancel()
	_ = p.c.do(ctx, "HcsCloseProcess", p.p.Close)
}
