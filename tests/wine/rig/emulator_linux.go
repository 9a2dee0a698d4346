package rig

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wrun/tests/hcsemu/build"
	"wrun/tests/hcsemu/hcs"
)

// Hcsemu is the emulated service's program, on the machine and in its VMs.
const Hcsemu = `C:\wrun\hcsemu.exe`

// readyTime bounds the start of the service; it takes 0.5 s.
const readyTime = time.Minute

// emulator is the service while it runs.
type emulator struct {
	site    *Site
	journal string // file of Linux
	serving *Running
}

func startEmulator(s *Site) (*emulator, error) {
	vms := filepath.Join(s.dir, "vms")
	if err := os.MkdirAll(vms, 0o700); err != nil {
		return nil, err
	}
	e := &emulator{site: s, journal: filepath.Join(s.dir, "journal.jsonl")}
	if _, err := os.Stat(e.journal); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(e.journal, nil, 0o600); err != nil {
			return nil, err
		}
	}
	var err error
	e.serving, err = s.Host.Start(s.dir, Call{
		Program: Hcsemu, Limit: time.Hour,
		Args: []string{"serve", "-journal", s.Host.Windows(e.journal), "-template", filepath.Join(s.dir, "template"), "-vms", vms},
	})
	if err != nil {
		return nil, err
	}
	for begin := time.Now(); !strings.Contains(readAll(e.serving.result.out), "ready"); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > readyTime {
			return nil, errors.Join(fmt.Errorf("the service was not ready within %v", readyTime), e.stop())
		}
	}
	return e, nil
}

// stop ends the service politely, so that its VMs end too.
func (e *emulator) stop() error {
	_, err := e.control("stop")
	if err != nil {
		e.serving.Kill()
	}
	_, waited := e.serving.Wait()
	return errors.Join(err, waited)
}

// gone collects a service whose machine was switched off.
func (e *emulator) gone() {
	e.serving.Kill()
	_, _ = e.serving.Wait()
}

// control is `hcsemu ctl`.
func (e *emulator) control(words ...string) (string, error) {
	r, err := e.site.Host.Run(e.site.dir, Call{Program: Hcsemu, Args: append([]string{"ctl"}, words...)})
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("hcsemu ctl %s: %s", strings.Join(words, " "), r)
	}
	return r.Stdout, err
}

// Fault has the service fail from now to the end of the test, in the words of
// `hcsemu ctl fault`: op=HcsStartComputeSystem nth=1 hr=0x80370109, delay=5s,
// drop, vanish.
func (t *Test) Fault(words ...string) {
	t.Helper()
	_, err := t.emu.control(append([]string{"fault"}, words...)...)
	t.Must(err)
	t.faulty = true
}

// Mend takes the faults back.
func (t *Test) Mend() {
	t.Helper()
	_, err := t.emu.control("faults-clear")
	t.Must(err)
	t.faulty = false
}

// Left is what the service holds: after a test, nothing.
func (t *Test) Left() *hcs.Leftovers {
	t.Helper()
	out, err := t.emu.control("leftovers")
	t.Must(err)
	l := new(hcs.Leftovers)
	if err := json.Unmarshal([]byte(out), l); err != nil {
		t.Fatalf("leftovers: %v in %s", err, out)
	}
	return l
}

// Nothing checks that the service holds nothing and no process of a container
// or of wrun is alive, after a moment for what is about to end. What an earlier
// test left is that test's failure alone.
func (t *Test) Nothing() bool {
	t.Helper()
	var left []string
	for begin := time.Now(); time.Since(begin) < Settle; time.Sleep(50 * time.Millisecond) {
		left = slices.DeleteFunc(t.remains(), func(s string) bool { return slices.Contains(t.spoiled, s) })
		if len(left) == 0 {
			return true
		}
		if !slices.ContainsFunc(left, mayEnd) {
			break
		}
	}
	t.spoiled = append(t.spoiled, left...)
	t.Errorf("left on the machine: %s", strings.Join(left, "; "))
	return false
}

// mayEnd says that something is about to end by itself, as a monitor is behind
// its container; all else has to be gone when a command returns.
func mayEnd(left string) bool {
	kind, _, _ := strings.Cut(left, " ")
	return slices.Contains([]string{"process", "handle", "machine", "system"}, kind)
}

// remains names what there is, a line each that begins with its kind.
func (t *Test) remains() []string {
	var left []string
	l := t.Left()
	for _, s := range l.Systems {
		left = append(left, fmt.Sprintf("system %s, a %s %s, with %v %v", s.ID, s.State, s.Type, s.Resources, s.Processes))
	}
	for _, m := range l.Layers {
		left = append(left, "layer "+m.Path)
	}
	for name, list := range map[string][]string{
		"network": l.Networks, "endpoint": l.Endpoints, "namespace": l.Namespaces,
		"credential guard": l.Credentials, "access": l.Access, "machine": l.Machines, "handle": l.Handles,
	} {
		for _, one := range list {
			if !slices.Contains(t.own, one) {
				left = append(left, name+" "+one)
			}
		}
	}
	for _, p := range t.Processes() {
		if slices.Contains(programs, strings.TrimSuffix(p.Image, ".exe")) && p.Pid != t.listing {
			left = append(left, fmt.Sprintf("process %d %s", p.Pid, p.Image))
		}
	}
	slices.Sort(left)
	return left
}

// programs are what wrun and the tests' containers consist of.
var programs = append([]string{"wrun", "wrun-fault", "runhcs", "vmwp", "probe", "ping"}, build.Programs()...)
