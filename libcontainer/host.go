package libcontainer

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Host does the work of one kind of isolation: namespaces, a QEMU machine or
// the Host Compute Service. The core decides, a Host only obeys.
type Host interface {
	// Create builds the container and parks it before the user program.
	// Everything it changes on the machine it first announces through
	// Config.Record. On error nothing is left behind; what cannot be undone makes
	// it an ErrLeft, and the handle recorded last is enough to try again.
	Create(ctx context.Context, c *Config, io Stdio) (System, error)
	// Open finds a container again from what was recorded, also from the
	// remains of a Create that died half way. It fails with ErrNotFound only
	// when there is nothing to close either.
	Open(ctx context.Context, h Handle) (System, error)
}

// Handle is a host's own record of one container: opaque JSON to the core.
type Handle = json.RawMessage

// System is one container as its host sees it.
type System interface {
	// Pid is the host process that lives as long as the container and ends
	// with its exit code; 0 when none was made yet. It is the container's first
	// process, or where that is none of the host's, or not yet there, a monitor.
	Pid() int
	// Live observes; it never remembers.
	Live(ctx context.Context) (Live, error)
	// Start releases the parked program and returns once it runs. A program
	// that cannot be executed is an error of Start.
	Start(ctx context.Context) error
	// Signal sends sig, a number of the bundle's operating system (ParseSignal),
	// to the init process, or with all to every process of the container.
	// ErrNotRunning when there is none.
	Signal(ctx context.Context, sig int, all bool) error
	// Exec starts a further process and returns once it runs.
	Exec(ctx context.Context, p *Exec, io Stdio) (Process, error)
	// Wait blocks until the init process ends and returns its exit code
	// (128+n after signal n). Only the process that called Create may wait.
	Wait(ctx context.Context) (int, error)
	// Processes lists process ids, init first: the host's where its kernel is
	// the container's, the utility VM's otherwise.
	Processes(ctx context.Context) ([]int, error)
	// Close kills what still runs, waits for its end and removes everything
	// the host made. It is idempotent and works on remains.
	Close(ctx context.Context) error
}

// Pauser freezes and thaws every process of the container.
type Pauser interface {
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
}

// Updater changes limits of a living container. Fields that are nil stay.
type Updater interface {
	Update(ctx context.Context, r *specs.LinuxResources) error
}

// WindowsUpdater is Updater for a Windows bundle.
type WindowsUpdater interface {
	UpdateWindows(ctx context.Context, r *specs.WindowsResources) error
}

// Resizer changes the size of the terminal of a process: of one of Processes,
// or of the init process for pid 0. In characters.
type Resizer interface {
	Resize(ctx context.Context, pid int, width, height uint16) error
}

// Tabler describes the container's processes, where no ps of the host can.
type Tabler interface {
	ProcessTable(ctx context.Context) ([]ProcessInfo, error)
}

// ProcessInfo is one process as its own kernel describes it.
type ProcessInfo struct {
	Pid     int           `json:"pid"`
	Image   string        `json:"image"` // the program's file name
	Created time.Time     `json:"created"`
	User    time.Duration `json:"userTime"`          // CPU time, ns
	Kernel  time.Duration `json:"kernelTime"`        // CPU time, ns
	Memory  uint64        `json:"memory"`            // committed, bytes
	Command string        `json:"command,omitempty"` // with its arguments, where the host knows
}

// Keeper is a System whose handle may say more than what was recorded last:
// the core saves it when Create and Update have returned.
type Keeper interface {
	Handle() Handle
}

// Settler is a System that still ends with the process that created it when
// Create returns. The core settles it once its facts are complete on disk, so
// a creator that dies before leaves nothing running. Start implies Settle.
type Settler interface {
	Settle() error
}

// Meter reads the container's resource usage: a value that marshals into the
// "data" object of `wrun events --stats`, in runc's shape.
type Meter interface {
	Stats(ctx context.Context) (any, error)
}

// OOMWatcher tells of processes that the kernel killed for want of memory.
type OOMWatcher interface {
	// WatchOOM calls oom at each of them until ctx ends or the container is no
	// more; neither is an error.
	WatchOOM(ctx context.Context, oom func()) error
}

// HookRunner runs a hook inside the container's namespaces, as config.md asks
// for startContainer.
type HookRunner interface {
	RunHook(ctx context.Context, h specs.Hook, state []byte) error
}

// StartHookRunner is a HookRunner that gives a startContainer hook what the
// container's process would hand on; spec is the container's.
type StartHookRunner interface {
	RunStartHook(ctx context.Context, h specs.Hook, spec *specs.Spec, state []byte) error
}

// Process is one process started by Exec.
type Process interface {
	Pid() int
	Signal(sig int) error
	// Wait returns the exit code, 128+n after signal n.
	Wait(ctx context.Context) (int, error)
}

// Live is what a host observes at one instant.
type Live struct {
	Exists  bool // the init process is there and no zombie
	Started bool // it has left the start gate: the user program runs
	Paused  bool

	Exited   bool   // the exit code is known
	ExitCode uint32 // all 32 bits of it, which a Windows program may use
	Init     int    // the first process among Processes, when Pid is not in it; 0 before Start
}

// Config is all a host needs to create a container.
type Config struct {
	ID        string
	Dir       string // the container's state directory; the host may keep files in it
	Bundle    string // absolute
	Spec      *specs.Spec
	Isolation Isolation

	NoPivot       bool
	NoNewKeyring  bool
	SystemdCgroup bool
	Rootless      bool

	Owner      string // who made it, for hosts whose service shows that
	MonitorLog string // file or pipe of the monitor's log, "" none
	VMLog      string // the same of the utility VM
	VMConsole  string // named pipe for the utility VM's first serial port, "" none
	VMAccel    string // "kvm" or "tcg" for a utility VM of QEMU, "" the annotations and the machine say
	VMTemplate string // "off" has such a VM booted and not restored, "" the annotations say
	VM         string // id of the container whose utility VM is to be shared, "" the annotations say

	// Run says that the process that creates the container starts it, too: Create
	// may return before the container is parked, and what goes wrong then is
	// Start's error. A container that it leaves without starting it ends with it.
	Run bool

	// Record saves the host's handle; called before each kind of side effect
	// with a handle that is enough to undo it, and again when facts are added. nil:
	// the container is known to the process that creates it only, as in a VM, whose
	// end undoes all.
	Record func(Handle) error
	// Namespaces is nil when no hook wants it. The host calls it once the
	// container's namespaces and mounts exist and before the root is switched
	// (config.md, "createRuntime Hooks" and "createContainer Hooks"); inside
	// runs one hook in the container's namespaces. An error aborts Create.
	Namespaces func(ctx context.Context, pid int, inside RunHook) error
	// Warn tells the operator of something that was asked for and left out.
	Warn func(format string, args ...any)
	// Debug is nil, or tells what only --debug shows.
	Debug func(format string, args ...any)
	// Private are descriptors of this process that no process of the container
	// may keep open, not even before its exec: the container's lock is among
	// them, which must end with a killed wrun.
	Private []int
}

// RunHook executes one hook with the OCI state on its standard input.
type RunHook func(ctx context.Context, h specs.Hook, state []byte) error

// Stdio is what a new process gets as its standard streams. When Console is
// set the process has a terminal: a pty is made inside the container and its
// master sent to Console, a connected unix socket (SCM_RIGHTS).
type Stdio struct {
	In, Out, Err *os.File
	Console      *os.File
	Attached     func() error // nil, or called when the master was sent and before the program runs
	PreserveFDs  int          // descriptors 3..3+n-1 are passed on, same numbers
	ListenFDs    int          // of those, how many came by LISTEN_FDS (sd_listen_fds(3))
	PidfdSocket  string       // path of a unix socket that gets the new process's pidfd
}

// Exec is a further process in a living container.
type Exec struct {
	Spec *specs.Process
	// Container is the container's own Spec, for what a process inherits
	// (seccomp, capabilities' bounds, cgroup path).
	Container *specs.Spec
	// Cgroup maps controller to a path relative to the container's cgroup
	// ("" for all); from exec --cgroup.
	Cgroup     map[string]string
	Paused     bool   // the container may be paused: the process waits for its resume
	Detach     bool   // the caller does not stay with the process
	MonitorLog string // as in Config, of the monitor of a detached process
	Warn       func(format string, args ...any)
	Debug      func(format string, args ...any) // as in Config
	State      func() *specs.State              // the container's; may be nil
}
