package hcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
)

// service is one of the two ways to speak to the Host Compute Service. Their
// compute systems are the same, only not what their documents can say.
type service interface {
	// list answers what there is of these systems, in one call.
	list(ctx context.Context, ids ...string) (map[string]*properties, error)
	create(ctx context.Context, id string, document []byte) (computeSystem, error)
	open(ctx context.Context, id string) (computeSystem, error)
}

// computeSystem is an open container or utility VM.
type computeSystem interface {
	// watch is called once, before start and before an end is asked for, and
	// before createProcess where nothing else of these is called.
	watch(ctx context.Context) (*departure, error)
	start(ctx context.Context) error
	// shutdown and terminate ask; the end is seen by watch or find.
	shutdown(ctx context.Context) error
	terminate(ctx context.Context) error
	pause(ctx context.Context) error
	resume(ctx context.Context) error
	processes(ctx context.Context) ([]libcontainer.ProcessInfo, error)
	statistics(ctx context.Context) (*statistics, error)
	modify(ctx context.Context, document []byte) error
	createProcess(ctx context.Context, parameters []byte) (process, error)
	openProcess(ctx context.Context, pid int) (process, error)
	close()
}

// departure is the end of a compute system. The others are set when done is closed.
type departure struct {
	done chan struct{}
	how  string // in the service's words
	err  error  // nobody will tell its end any more: it may still be there
}

func newDeparture() *departure { return &departure{done: make(chan struct{})} }

// tell says once how the waiting for the end came out.
func (d *departure) tell(how string, err error) {
	if gone(err) {
		how, err = err.Error(), nil
	}
	d.how, d.err = how, err
	close(d.done)
}

// outcome waits for the end of p, and for that of the compute system in which it
// runs: of a system that is gone, nothing may be told about its processes.
func outcome(p process, system *departure) (uint32, error) {
	type result struct {
		code uint32
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		code, err := p.wait(context.Background())
		ended <- result{code, err}
	}()
	select {
	case r := <-ended:
		return r.code, r.err
	case <-system.done:
	}
	// The process's own end, if it had one, is known by now or never.
	select {
	case r := <-ended:
		return r.code, r.err
	case <-time.After(time.Second):
	}
	if system.err != nil {
		return 0, system.err
	}
	return 0, fmt.Errorf("the container ended: %s", system.how)
}

// process is an open process of a container.
type process interface {
	pid() int
	// stdio are the ends of the pipes that the parameters asked for; the others
	// are nil.
	stdio() (in io.WriteCloser, out, err io.ReadCloser)
	closeStdin(ctx context.Context) error
	signal(ctx context.Context, number int, os string) error
	resize(ctx context.Context, width, height uint16) error
	// wait returns the exit code. It may be called by one goroutine.
	wait(ctx context.Context) (uint32, error)
	// ended asks whether it has, without waiting.
	ended(ctx context.Context) (bool, uint32, error)
	close()
}

// properties are what the service says of a system without opening it.
type properties struct {
	ID, SystemType, Owner, State string
	Stopped                      bool
}

func (p *properties) ended() bool { return p == nil || p.Stopped || p.State == "Stopped" }

// byID finds the systems that were asked for, in whichever case the service
// gives their names.
func byID(all []*properties, ids []string) map[string]*properties {
	found := make(map[string]*properties, len(ids))
	for _, id := range ids {
		for _, p := range all {
			if strings.EqualFold(p.ID, id) {
				found[id] = p
			}
		}
	}
	return found
}

// find answers nil when there is no such system.
func find(ctx context.Context, on service, id string) (*properties, error) {
	found, err := on.list(ctx, id)
	return found[id], err
}

func serviceFor(api string) service {
	if api == apiV1 {
		return v1{}
	}
	return v2{}
}

// gone says that what was to be ended has ended.
func gone(err error) bool {
	return errors.Is(err, computecore.ErrSystemNotFound) || errors.Is(err, computecore.ErrAlreadyStopped) ||
		errors.Is(err, computecore.ErrUnexpectedExit)
}

// noProcess says that there is no such process any more.
func noProcess(err error) bool {
	return errors.Is(err, computecore.ErrProcessAlreadyStopped) || errors.Is(err, computecore.ErrNotFound) || gone(err)
}

// denied says that the service has the process, and not for us.
func denied(err error) bool { return errors.Is(err, computecore.ErrAccessDenied) }

// unanswered says that err is about the asking, and no answer.
func unanswered(err error) bool {
	return errors.Is(err, computecore.ErrTimeout) || errors.Is(err, computecore.ErrServiceNotAvailable) ||
		errors.Is(err, computecore.ErrServiceDisconnect) || errors.Is(err, computecore.ErrAccessDenied) ||
		errors.Is(err, computecore.ErrSharingViolation)
}

// hinted adds the cure that the table of the service's errors has.
func hinted(err error) error {
	var e *computecore.Error
	if errors.As(err, &e) && e.Hint() != "" && libcontainer.Hint(err) == "" {
		return libcontainer.WithHint(err, e.Hint())
	}
	return err
}
