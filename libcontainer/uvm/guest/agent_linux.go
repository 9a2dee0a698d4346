package guest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/silo"
	"wrun/libcontainer/uvm/network"
	"wrun/libcontainer/uvm/sockets"
	"wrun/libcontainer/uvm/wire"
)

// stateDir has a directory for each container, as /run/wrun has on a host.
const stateDir = "/run/wrun"

// agent is all that the VM knows.
type agent struct {
	conn  *wire.Conn
	host  *silo.Host
	files *filesRelay
	// modules loads those that are not needed for talking, and settle begins what
	// else no program needs for its start.
	modules, settle func()

	// births is held shared while a child is on its way to be known, so that
	// the reaper of orphans does not take its end from who waits for it.
	births sync.RWMutex

	mu    sync.Mutex
	tasks map[string]*task
	met   bool          // the host has said hello
	known chan struct{} // closed when that was answered
}

// task is a container's first process or a further one.
type task struct {
	id        string
	container *container
	process   libcontainer.Process // nil: the first
	streams   *relay
}

type container struct {
	config  *libcontainer.Config
	spec    func() (*specs.Spec, error) // as it is here
	system  libcontainer.System
	sockets *sockets.Listeners // nil without any
	ooms    *ooms              // nil until the host asks
}

// Main is the life of the VM's first process. It returns only when the VM could
// not be made work; then the kernel panics, which the host sees.
func Main(template bool) error {
	// A container's first process is one, too, and may be a script for /proc/self/exe.
	if os.Getpid() != 1 || os.Args[0] != initProgram {
		return errors.New("the agent is the first process of a utility VM; wrun starts one for a bundle with windows.hyperv")
	}
	a := &agent{host: silo.Guest(), tasks: map[string]*task{}, known: make(chan struct{})}
	var err error
	a.modules, err = boot(template)
	a.settle = sync.OnceFunc(func() {
		a.modules()
		go a.reap()
	})
	var fd int
	if err == nil {
		fd, err = openPort(AgentPort)
	}
	if err == nil {
		a.files, err = prepareFiles()
	}
	if err != nil {
		complain(err)
		return err
	}
	if template {
		err = errors.Join(loopbackUp(), a.rehearse())
		if err != nil {
			complain(fmt.Errorf("rehearsal: %w", err))
		}
	}
	a.conn = wire.New(port(fd), a.serve)
	a.conn.Trust()
	if _, err = port(fd).Write([]byte(wire.Ready)); err == nil && !template {
		err = loopbackUp() // while that is on its way to the host, and its answer back
	}
	if err == nil {
		err = a.conn.Run()
	}
	if err != nil && !errors.Is(err, errHostGone) {
		complain(err)
	}
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// complain tells whoever reads the VM's console.
func complain(err error) {
	f, open := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if open != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "<3>wrun agent: %v\n", err)
}

// serve answers the host. What it asks for before the two have met is done right
// after that: the host does not wait for the answer to its hello.
func (a *agent) serve(op string, in json.RawMessage) (any, error) {
	if op == wire.OpHello {
		return with(in, a.hello)
	}
	<-a.known
	return a.do(op, in)
}

func (a *agent) do(op string, in json.RawMessage) (any, error) {
	switch op {
	case wire.OpClock:
		return with(in, func(c wire.Clock) (any, error) { return nil, setClock(c.Time) })
	case wire.OpNetwork:
		return with(in, a.network)
	case wire.OpCreate:
		return with(in, a.create)
	case wire.OpExec:
		return with(in, a.exec)
	case wire.OpStart:
		return with(in, a.start)
	case wire.OpSignal:
		return with(in, a.signal)
	case wire.OpWait:
		return with(in, a.wait)
	case wire.OpResize:
		return with(in, a.resize)
	case wire.OpProcesses:
		return with(in, a.processes)
	case wire.OpTable:
		return with(in, a.table)
	case wire.OpPause:
		return with(in, func(t wire.Target) (any, error) { return nil, a.freeze(t, true) })
	case wire.OpResume:
		return with(in, func(t wire.Target) (any, error) { return nil, a.freeze(t, false) })
	case wire.OpUpdate:
		return with(in, a.update)
	case wire.OpStats:
		return with(in, a.stats)
	case wire.OpOOM:
		return with(in, a.oom)
	case wire.OpHook:
		return with(in, a.hook)
	case wire.OpClose:
		return with(in, a.close)
	case wire.OpSync:
		return nil, syncFiles()
	case wire.OpSettle:
		a.settle()
		return nil, nil
	}
	return nil, fmt.Errorf("the agent knows no request %q: host and image are of different versions", op)
}

func with[T any](in json.RawMessage, do func(T) (any, error)) (any, error) {
	var v T
	if err := wire.Decode(in, &v); err != nil {
		return nil, fmt.Errorf("reading a request: %w", err)
	}
	return do(v)
}

// hello makes this VM one of its own: a restored one has had the clock and the
// randomness of its template until now.
func (a *agent) hello(h wire.Hello) (any, error) {
	if h.Version != wire.Version {
		return nil, fmt.Errorf("the host speaks version %d, the agent in the image %d", h.Version, wire.Version)
	}
	a.mu.Lock()
	again := a.met
	a.met = true
	a.mu.Unlock()
	if again {
		return nil, errors.New("the host has introduced itself already")
	}
	if err := setClock(h.Time); err != nil {
		return nil, err
	}
	if err := stir(h.Entropy); err != nil {
		return nil, err
	}
	if h.Files {
		if err := a.files.mount(); err != nil {
			return nil, err
		}
	}
	close(a.known)
	return nil, nil
}

func setClock(ns int64) error {
	now := unix.NsecToTimeval(ns)
	if err := unix.Settimeofday(&now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// stir gives the kernel's random numbers another beginning.
func stir(entropy []uint64) error {
	fd, err := unix.Open("/dev/urandom", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/urandom: %w", err)
	}
	defer unix.Close(fd)
	// random(4). The host's randomness counts as such: a kernel that trusts no
	// processor's would have none yet, and not reseed.
	const rndAddEntropy, rndReseedCRNG = 0x40085203, 0x5207
	size := uint32(len(entropy) * 8)
	pool := binary.NativeEndian.AppendUint32(nil, size*8)
	pool = binary.NativeEndian.AppendUint32(pool, size)
	for _, word := range entropy {
		pool = binary.NativeEndian.AppendUint64(pool, word)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), rndAddEntropy, uintptr(unsafe.Pointer(&pool[0]))); errno != 0 {
		return fmt.Errorf("add to the random numbers: %w", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), rndReseedCRNG, 0); errno != 0 {
		return fmt.Errorf("reseed the random numbers: %w", errno)
	}
	return nil
}

// network makes the VM's cards what the host's interfaces are.
func (a *agent) network(n wire.Network) (any, error) {
	a.modules()
	return nil, network.Configure(n.Interfaces)
}

func (a *agent) add(t *task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks[t.id] = t
}

func (a *agent) find(id string) (*task, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tasks[id]
	if t == nil {
		return nil, libcontainer.ErrNotRunning
	}
	return t, nil
}

func (a *agent) create(c wire.Create) (any, error) {
	if _, err := a.find(c.ID); err == nil {
		return nil, libcontainer.ErrExist
	}
	dir := stateDir + "/" + c.ID
	if err := unix.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	t := &task{id: c.ID, container: &container{spec: sync.OnceValues(c.ReadSpec)}}
	made := wire.Created{}
	t.container.config = &libcontainer.Config{
		ID: c.ID, Dir: dir, Bundle: "/", NoNewKeyring: c.NoNewKeyring, Run: true,
		Isolation: libcontainer.Isolation{Kind: libcontainer.Silo, OS: "linux", Host: "linux"},
		Warn:      func(format string, args ...any) { made.Warnings = append(made.Warnings, fmt.Sprintf(format, args...)) },
	}
	if err := a.bear(t, c); err != nil {
		t.container.sockets.Close()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	a.add(t)
	made.Pid = t.container.system.Pid()
	return made, nil
}

// bear makes the container's first process, of what the host has worked out or of
// the Spec.
func (a *agent) bear(t *task, c wire.Create) error {
	var start *silo.Prepared
	var err error
	if c.Start != nil {
		start, err = silo.ReadPrepared(c.Start)
	} else {
		err = a.complete(t.container, c)
	}
	if err != nil {
		return err
	}
	stdio, err := t.connect(a.conn, c.Streams)
	if err != nil {
		return err
	}
	a.births.RLock()
	defer a.births.RUnlock()
	if start != nil {
		t.container.system, err = a.host.CreatePrepared(context.Background(), t.container.config, start, stdio)
	} else {
		t.container.system, err = a.host.Create(context.Background(), t.container.config, stdio)
	}
	t.streams.begun()
	if err != nil {
		t.streams.drop()
	}
	return err
}

// complete puts into a Spec what only the VM knows.
func (a *agent) complete(of *container, c wire.Create) error {
	s, err := of.spec()
	if err != nil {
		return err
	}
	of.config.Spec = s
	if err := a.joinSandbox(s, c.Sandbox); err != nil {
		return err
	}
	return of.listen(a.conn, s, c)
}

// listen has the container mount sockets of the agent's where it asks for the
// host's.
func (c *container) listen(conn *wire.Conn, s *specs.Spec, w wire.Create) (err error) {
	if len(w.Sockets) == 0 {
		return nil
	}
	if c.sockets, err = sockets.Listen(conn, w.ID, filepath.Dir(stateDir), w.Sockets); err != nil {
		return err
	}
	of := filepath.Join(FilesDir, w.ID)
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if path := c.sockets.Path(filepath.Base(m.Source)); path != "" && filepath.Dir(m.Source) == of {
			m.Source = path
		}
	}
	return nil
}

// joinSandbox puts the paths of the sandbox's namespaces, as this VM has them, into
// a member's Spec.
func (a *agent) joinSandbox(s *specs.Spec, sandbox string) error {
	for i := range s.Linux.Namespaces {
		n := &s.Linux.Namespaces[i]
		if n.Path != wire.OfSandbox {
			continue
		}
		t, err := a.find(sandbox)
		if err != nil {
			return fmt.Errorf("join the %s namespace of the sandbox: %w", n.Type, err)
		}
		n.Path = fmt.Sprintf("/proc/%d/ns/%s", t.container.system.Pid(), n.Type)
	}
	return nil
}

func (a *agent) start(w wire.Target) (any, error) {
	t, err := a.find(w.ID)
	if err != nil {
		return nil, err
	}
	return nil, t.container.system.Start(context.Background())
}

func (a *agent) exec(e wire.Exec) (any, error) {
	of, err := a.find(e.Container)
	if err != nil {
		return nil, err
	}
	spec, err := of.container.spec()
	if err != nil {
		return nil, err
	}
	t := &task{id: e.ID, container: of.container}
	made := wire.Created{}
	stdio, err := t.connect(a.conn, e.Streams)
	if err != nil {
		return nil, err
	}
	a.births.RLock()
	defer a.births.RUnlock()
	t.process, err = of.container.system.Exec(context.Background(), &libcontainer.Exec{
		Spec: e.Process, Container: spec, Cgroup: e.Cgroup,
		Warn: func(format string, args ...any) { made.Warnings = append(made.Warnings, fmt.Sprintf(format, args...)) },
	}, stdio)
	t.streams.begun()
	if err != nil {
		t.streams.drop()
		return nil, err
	}
	a.add(t)
	made.Pid = t.process.Pid()
	return made, nil
}

func (a *agent) wait(w wire.Target) (any, error) {
	t, err := a.find(w.ID)
	if err != nil {
		return nil, err
	}
	var code int
	if t.process != nil {
		code, err = t.process.Wait(context.Background())
	} else {
		code, err = t.container.system.Wait(context.Background())
		t.container.sockets.Finish(sockets.LastWords)
	}
	if err != nil {
		return nil, err
	}
	t.streams.ended()
	if t.process != nil {
		a.mu.Lock()
		delete(a.tasks, t.id)
		a.mu.Unlock()
	}
	return wire.Exit{Code: code}, nil
}

func (a *agent) signal(s wire.Signal) (any, error) {
	t, err := a.find(s.ID)
	if err != nil {
		return nil, err
	}
	if t.process != nil {
		return nil, t.process.Signal(s.Number)
	}
	return nil, t.container.system.Signal(context.Background(), s.Number, s.All)
}

func (a *agent) close(w wire.Target) (any, error) {
	t, err := a.find(w.ID)
	if err != nil {
		return nil, nil //nolint:nilerr // it is gone, which is what is wanted
	}
	if err := t.container.system.Close(context.Background()); err != nil {
		return nil, err
	}
	t.streams.ended()
	t.container.sockets.Close()
	a.mu.Lock()
	delete(a.tasks, w.ID)
	a.mu.Unlock()
	return nil, os.RemoveAll(t.container.config.Dir)
}

// syncFiles has the host know all that was written: what the kernel keeps of
// files that a program has mapped.
func syncFiles() error {
	fd, err := unix.Open(FilesDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Syncfs(fd); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
