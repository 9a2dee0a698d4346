package hcs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wrun/tests/hcsemu/wire"
)

// memory is a machine without a machine: files are names, processes run until
// they are told to end. Programs named "exit N" have ended at once.
type memory struct {
	mu       sync.Mutex
	files    map[string]bool
	dirs     map[string]bool
	booted   int
	bootHang chan struct{} // a boot waits for it, when there
	bootErr  error
	died     func()
	rooms    map[string]int // silos' jobs that are open
	programs []*Program     // launched
}

// launched answers the last program of a Linux guest that has run.
func (m *memory) launched(name string) *Program {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range slices.Backward(m.programs) {
		if p.Linux && p.Args[0] == name {
			return p
		}
	}
	return nil
}

func newMemory() *memory {
	m := &memory{files: map[string]bool{}, dirs: map[string]bool{}, rooms: map[string]int{}}
	for _, d := range []string{`C:\base`, `C:\base\UtilityVM`, `C:\scratch`, `C:\data`} {
		m.dirs[strings.ToLower(d)] = true
	}
	return m
}

func (m *memory) has(of map[string]bool, path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return of[strings.ToLower(path)]
}

func (m *memory) IsDir(p string) bool  { return m.has(m.dirs, p) }
func (m *memory) IsFile(p string) bool { return m.has(m.files, p) }
func (m *memory) Processors() int      { return 2 }
func (m *memory) MemoryMB() uint64     { return 4096 }
func (m *memory) RemoveAll(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.dirs, strings.ToLower(p))
	return nil
}

func (m *memory) WriteFile(p string, _ []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[strings.ToLower(p)] = true
	m.dirs[strings.ToLower(p[:strings.LastIndex(p, `\`)])] = true
	return nil
}

func (m *memory) NewRoom(system string) (Room, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rooms[system]++
	return &memoryRoom{m: m, silo: system}, nil
}

func (m *memory) Boot(_ string, cancel <-chan struct{}, died func()) (VM, error) {
	if m.bootHang != nil {
		select {
		case <-m.bootHang:
		case <-cancel:
			return nil, fail(connectFailed, "the boot was cancelled")
		}
	}
	if m.bootErr != nil {
		return nil, m.bootErr
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.booted++
	m.died = died
	return &memoryVM{m}, nil
}

type memoryVM struct{ m *memory }

func (v *memoryVM) NewRoom(string) (Room, error) { return &memoryRoom{m: v.m}, nil }
func (v *memoryVM) Close() error {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.booted--
	return nil
}

type memoryRoom struct {
	m         *memory
	silo      string
	mu        sync.Mutex
	procs     []*memoryProcess
	suspended bool
}

func (r *memoryRoom) Launch(p *Program, exited func(uint32)) (Process, error) {
	if p.CommandLine == "nosuch" {
		return nil, fileNotFound
	}
	r.m.mu.Lock()
	r.m.programs = append(r.m.programs, p)
	r.m.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	q := &memoryProcess{pid: uint32(100 + len(r.procs)), exited: exited, handles: strings.HasPrefix(p.CommandLine, "handler")}
	r.procs = append(r.procs, q)
	if p.CommandLine == "exit 7" {
		go q.end(7)
	}
	return q, nil
}

func (r *memoryRoom) Terminate(code uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.procs {
		go p.end(code)
	}
	return nil
}

func (r *memoryRoom) Processes() ([]ProcessDetails, error) {
	var list []ProcessDetails
	for _, p := range r.procs {
		list = append(list, ProcessDetails{ProcessID: p.pid})
	}
	return list, nil
}
func (r *memoryRoom) Usage() (Usage, error) { return Usage{User100ns: 3, Kernel100ns: 4}, nil }
func (r *memoryRoom) Suspend(s bool) error  { r.suspended = s; return nil }

func (r *memoryRoom) Close() error {
	if r.silo != "" {
		r.m.mu.Lock()
		defer r.m.mu.Unlock()
		r.m.rooms[r.silo]--
	}
	return nil
}

type memoryProcess struct {
	pid     uint32
	once    sync.Once
	exited  func(uint32)
	handles bool
}

func (p *memoryProcess) end(code uint32)             { p.once.Do(func() { p.exited(code) }) }
func (p *memoryProcess) PID() uint32                 { return p.pid }
func (p *memoryProcess) Terminate(code uint32) error { go p.end(code); return nil }
func (p *memoryProcess) Signal(string) (bool, error) {
	if p.handles {
		go p.end(5)
	}
	return p.handles, nil
}
func (p *memoryProcess) CloseStd(int) error                  { return nil }
func (p *memoryProcess) Duplicate(uint32) ([3]uint64, error) { return [3]uint64{0, 11, 0}, nil }

// lab is a service on a machine in memory, and its clients.
type lab struct {
	*testing.T
	m       *memory
	s       *Service
	journal *syncBuffer
	last    uint64
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) entries(t *testing.T) []Entry {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Entry
	for in := bufio.NewScanner(bytes.NewReader(b.b.Bytes())); in.Scan(); {
		var e Entry
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatalf("journal line %s: %v", in.Text(), err)
		}
		all = append(all, e)
	}
	return all
}

func newLab(t *testing.T) *lab {
	l := &lab{T: t, m: newMemory(), journal: &syncBuffer{}}
	l.s = New(l.m, l.journal)
	t.Cleanup(func() {
		if err := l.s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return l
}

func (l *lab) dial() net.Conn {
	a, b := net.Pipe()
	go l.s.Serve(b)
	l.Cleanup(func() { a.Close() })
	return a
}

func (l *lab) on(c net.Conn, dll, function string, handle, fresh, number uint64, args ...string) *wire.Answer {
	l.Helper()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	q := &wire.Request{PID: 1, Handle: handle, Fresh: fresh, Number: number, DLL: dll, Function: function}
	for i := range args {
		q.Args = append(q.Args, &args[i])
	}
	if err := wire.WriteRequest(c, q); err != nil {
		l.Fatalf("%s: %v", function, err)
	}
	a, err := wire.ReadAnswer(c)
	if err != nil {
		l.Fatalf("%s: %v", function, err)
	}
	return a
}

// do calls once; v1 functions of layers and networks have their own DLL.
func (l *lab) do(function string, handle uint64, args ...string) *wire.Answer {
	l.Helper()
	c := l.dial()
	defer c.Close()
	return l.on(c, "computecore", function, handle, 0, 0xffffffff, args...)
}

func (l *lab) want(a *wire.Answer, hr Result, says ...string) {
	l.Helper()
	text := ""
	if a.Result != nil {
		text = *a.Result
	}
	if a.Value != nil {
		text += *a.Value
	}
	if Result(a.HR) != hr {
		l.Fatalf("%#08x %s; want %v", a.HR, text, hr)
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			l.Errorf("%q is not in %s", s, text)
		}
	}
}

// make makes a handle and answers it with the connection that holds it.
func (l *lab) make(function string, of uint64, args ...string) (uint64, net.Conn, *wire.Answer) {
	l.Helper()
	l.last++
	c := l.dial()
	return l.last, c, l.on(c, "computecore", function, of, l.last, 0, args...)
}

func (l *lab) create(id, document string) uint64 {
	l.Helper()
	h, _, a := l.make("HcsCreateComputeSystem", 0, id, document)
	l.want(a, ok)
	return h
}

// events registers a callback and answers its stream.
func (l *lab) events(dll, function string, handle uint64) net.Conn {
	l.Helper()
	c := l.dial()
	l.want(l.on(c, dll, function, handle, 0, 0), ok)
	return c
}

func (l *lab) next(c net.Conn) *wire.Event {
	l.Helper()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	e, err := wire.ReadEvent(c)
	if err != nil {
		l.Fatalf("no event: %v", err)
	}
	return e
}

func (l *lab) states(query string) map[string]string {
	l.Helper()
	a := l.do("HcsEnumerateComputeSystems", 0, query)
	l.want(a, ok)
	var list []struct{ ID, State string }
	if err := json.Unmarshal([]byte(*a.Value), &list); err != nil {
		l.Fatal(err)
	}
	m := map[string]string{}
	for _, s := range list {
		m[s.ID] = s.State
	}
	return m
}

const siloText = `{"Owner":"o","SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{"Layers":[{"Id":"11111111-2222-3333-4444-555555555555","Path":"C:\\base"}],"Path":"\\\\?\\Volume{aaaaaaaa-2222-3333-4444-555555555555}\\"}}}`

const vmText = `{"SchemaVersion":{"Major":2,"Minor":1},"VirtualMachine":{"Chipset":{"Uefi":{}},"ComputeTopology":{"Memory":{"SizeInMB":1024},"Processor":{"Count":2}},
	"Devices":{"Scsi":{"c0":{}},"VirtualSmb":{"Shares":[{"Name":"os","Path":"C:\\base"}]}},"GuestConnection":{}}}`
