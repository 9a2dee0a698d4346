package hcs

import (
	"context"
	"errors"
	"io"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
)

// service is one of the two ways to speak to the Host Compute Service. Their
// compute systems are the same, only not what their documents can say.
type service interface {
	// find answers nil when there is no such system.
	find(ctx context.Context, id string) (*properties, error)
	create(ctx context.Context, id string, document []byte) (computeSystem, error)
	open(ctx context.Context, id string) (computeSystem, error)
}

// computeSystem is an open container or utility VM.
type computeSystem interface {
	// watch is called once, before start and before an end is asked for; the
	// channel then gets the system's end, and is closed.
	watch(ctx context.Context) (<-chan string, error)
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

// hinted adds the cure that the table of the service's errors has.
func hinted(err error) error {
	var e *computecore.Error
	if errors.As(err, &e) && e.Hint() != "" && libcontainer.Hint(err) == "" {
		return libcontainer.WithHint(err, e.Hint())
	}
	return err
}
