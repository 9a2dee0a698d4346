package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"wrun/tests/hcsemu/hcs"
)

// virtualMachine is a utility VM: a second Wine prefix with a wineserver of its
// own, which is to Wine what a kernel is to a VM: processes, registry, named
// objects and drive C: are its own. On the host only vmwp.exe shows, and who
// ends that ends the VM. The guest's agent is this program again.
type virtualMachine struct {
	machine  *machine
	prefix   string // Unix path
	worker   windows.Handle
	listener net.Listener
	line     *line
	died     func()
	quiet    sync.Once // died is called once, and not after Close

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan *reply
	ended   map[uint32]func(code uint32) // by pid in the guest
	early   map[uint32]uint32            // codes that came before their launch's reply was read
	streams map[string]chan net.Conn
	broken  chan struct{} // closed when the guest is gone

	removing atomic.Bool
	watched  chan struct{} // closed when the prefix is gone, or stays
}

const (
	bootTime = 60 * time.Second
	goneTime = 20 * time.Second
)

func (m *machine) Boot(system string, cancel <-chan struct{}, died func()) (hcs.VM, error) {
	if strings.ContainsAny(m.template+m.vms, "'\"") {
		return nil, fmt.Errorf("booting %s: quotes in the path of -template or -vms", system)
	}
	if m.template == "" || m.vms == "" {
		return nil, fmt.Errorf("booting %s: the service has neither -template nor -vms: %w", system, hcs.Result(0x80370102))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("booting %s: %w", system, err)
	}
	v := &virtualMachine{
		machine: m, prefix: m.vms + "/vm-" + token(), listener: l, died: died, waiting: map[uint64]chan *reply{},
		ended: map[uint32]func(uint32){}, early: map[uint32]uint32{}, streams: map[string]chan net.Conn{}, broken: make(chan struct{}),
		watched: make(chan struct{}),
	}
	m.mu.Lock()
	m.running[v] = true
	m.mu.Unlock()
	if err := v.boot(system, cancel); err != nil {
		v.Close()
		return nil, fmt.Errorf("booting %s: %w", system, err)
	}
	return v, nil
}

func (v *virtualMachine) boot(system string, cancel <-chan struct{}) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if v.worker, err = startWorker(filepath.Join(filepath.Dir(exe), "vmwp.exe"), system); err != nil {
		return fmt.Errorf("starting vmwp.exe: %w", err)
	}
	// The registry must be copied: Wine writes into files of several links. And
	// a service of Wine's that crashes at its start, which happens on a loaded
	// machine, must not wait for a debugger.
	script := fmt.Sprintf("exec </dev/null >/dev/null 2>&1; unset WINESERVERSOCKET; export WINEDEBUG=-all WINEDLLOVERRIDES=winedbg.exe=d WINEPREFIX='%[1]s'; "+
		"echo $$ >'%[1]s.shell'; cp -al '%[2]s' '%[1]s' && rm '%[1]s'/*.reg && cp '%[2]s'/*.reg '%[1]s' && if [ ! -e '%[1]s.end' ]; then "+
		"wine '%[3]s' guest %[4]s & guest=$!; echo $guest >'%[1]s.guest'; [ -e '%[1]s.end' ] && kill -9 $guest; wait $guest; fi; "+
		"wineserver -k; timeout 10 wineserver -w; rm -rf '%[1]s'; rm -f '%[1]s'.*",
		v.prefix, v.machine.template, unixPath(exe), v.listener.Addr())
	if err := windows.AssignProcessToJobObject(v.machine.workers.job, v.worker); err != nil {
		return fmt.Errorf("taking vmwp.exe into a job: %w", err)
	}
	if err := startUnix(script); err != nil {
		return fmt.Errorf("starting the guest: %w", err)
	}
	timer := time.AfterFunc(bootTime, func() { v.listener.Close() })
	defer timer.Stop()
	booted := make(chan struct{})
	defer close(booted)
	go func() {
		select {
		case <-cancel:
			v.listener.Close()
		case <-booted:
		}
	}()
	c, err := v.listener.Accept()
	if err != nil {
		return fmt.Errorf("waiting for the guest: %w", errors.Join(err, hcs.Result(0x80370109)))
	}
	v.line = &line{c: c}
	go v.accept()
	go v.read()
	go func() { // the worker process is the VM
		_, _ = windows.WaitForSingleObject(v.worker, windows.INFINITE)
		c.Close()
	}()
	return nil
}

func startWorker(path, system string) (windows.Handle, error) {
	command, err := windows.UTF16FromString(windows.ComposeCommandLine([]string{path, "vmwp", system}))
	if err != nil {
		return 0, err
	}
	start := windows.StartupInfo{}
	start.Cb = uint32(unsafe.Sizeof(start))
	var info windows.ProcessInformation
	if err := windows.CreateProcess(nil, &command[0], nil, nil, false, windows.DETACHED_PROCESS, nil, nil, &start, &info); err != nil {
		return 0, err
	}
	windows.CloseHandle(info.Thread)
	return info.Process, nil
}

// startUnix starts a Unix shell, of which Wine gives neither a handle nor an
// exit code.
func startUnix(script string) error {
	shell, err := windows.UTF16PtrFromString(`Z:\bin\sh`)
	if err != nil {
		return err
	}
	command, err := windows.UTF16FromString(`/bin/sh -c "` + script + `"`)
	if err != nil {
		return err
	}
	start := windows.StartupInfo{}
	start.Cb = uint32(unsafe.Sizeof(start))
	var info windows.ProcessInformation
	return windows.CreateProcess(shell, &command[0], nil, nil, false, windows.DETACHED_PROCESS, nil, nil, &start, &info)
}

// unixPath makes /a/b of Z:\a\b, and of C:\a\b what the prefix has there.
func unixPath(p string) string {
	drive, rest := p[:2], strings.ReplaceAll(p[2:], `\`, "/")
	if strings.EqualFold(drive, "C:") {
		return os.Getenv("WINEPREFIX") + "/drive_c" + rest
	}
	return rest
}

// accept takes the connections of standard pipes.
func (v *virtualMachine) accept() {
	for {
		c, err := v.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			var name [tokenLength]byte
			_ = c.SetReadDeadline(time.Now().Add(streamTime))
			_, err := io.ReadFull(c, name[:])
			_ = c.SetReadDeadline(time.Time{})
			v.mu.Lock()
			stream := v.streams[string(name[:])]
			delete(v.streams, string(name[:]))
			v.mu.Unlock()
			if err != nil || stream == nil {
				c.Close()
				return
			}
			stream <- c
		}()
	}
}

func (v *virtualMachine) read() {
	d := lines(v.line.c)
	for {
		r := &reply{}
		if d.Decode(r) != nil {
			break
		}
		v.mu.Lock()
		switch answer, asked := v.waiting[r.Seq]; {
		case asked:
			delete(v.waiting, r.Seq)
			answer <- r
		case r.Seq == 0 && v.ended[r.PID] != nil:
			go v.ended[r.PID](r.Code)
			delete(v.ended, r.PID)
		case r.Seq == 0:
			v.early[r.PID] = r.Code
		}
		v.mu.Unlock()
	}
	close(v.broken)
	v.mu.Lock()
	for pid, exited := range v.ended {
		go exited(hcs.Lost)
		delete(v.ended, pid)
	}
	v.mu.Unlock()
	v.quiet.Do(func() { go v.died() })
}

func (v *virtualMachine) ask(q *question) (*reply, error) {
	answer := make(chan *reply, 1)
	v.mu.Lock()
	v.last++
	q.Seq = v.last
	v.waiting[q.Seq] = answer
	v.mu.Unlock()
	if err := v.line.send(q); err != nil {
		return nil, fmt.Errorf("asking the guest: %w", errors.Join(err, hcs.Result(0x8037010A)))
	}
	select {
	case r := <-answer:
		return r, r.err()
	case <-v.broken:
		return nil, fmt.Errorf("the guest is gone: %w", hcs.Result(0x8037010A))
	case <-time.After(answerTime):
		return nil, fmt.Errorf("the guest does not answer: %w", hcs.Result(0x80370109))
	}
}

// Close ends guest and worker. The shell that removes the prefix cannot be
// waited for, so its work is looked at, beside: Machines waits for it.
func (v *virtualMachine) Close() error {
	v.quiet.Do(func() {})
	v.listener.Close()
	if v.line != nil {
		v.line.c.Close()
	}
	if v.worker != 0 {
		_ = windows.TerminateProcess(v.worker, 0)
		if _, err := windows.WaitForSingleObject(v.worker, uint32(goneTime.Milliseconds())); err != nil {
			return fmt.Errorf("waiting for vmwp.exe's end: %w", result(err))
		}
	}
	if !v.removing.Swap(true) {
		if v.line == nil { // its Wine may hang, and then the shell does
			v.force()
		}
		go v.watchRemoval()
	}
	return nil
}

// force ends the guest, whose Wine may have lost its server and then waits for
// ever, and the prefix's Wine; the shell goes on and removes what there is. One
// that has not come to the guest yet finds .end and leaves it out.
func (v *virtualMachine) force() {
	_ = startUnix(fmt.Sprintf("exec </dev/null >/dev/null 2>&1; : >'%[1]s.end'; kill -9 $(cat '%[1]s.guest'); WINEPREFIX='%[1]s' wineserver -k; "+
		"[ -e '%[1]s.shell' ] || rm -f '%[1]s.end'", v.prefix))
}

func (v *virtualMachine) watchRemoval() {
	defer close(v.watched)
	// Once in some 300 ends, on a loaded machine, the prefix stayed; it is not
	// known what of the shell's commands hung.
	late := time.AfterFunc(goneTime/4, v.force)
	defer late.Stop()
	for deadline := time.Now().Add(goneTime); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		_, prefix := os.Stat("Z:" + v.prefix)
		_, shell := os.Stat("Z:" + v.prefix + ".shell") // there as long as the shell is
		if os.IsNotExist(prefix) && os.IsNotExist(shell) {
			v.machine.mu.Lock()
			delete(v.machine.running, v)
			v.machine.mu.Unlock()
			return
		}
	}
}
