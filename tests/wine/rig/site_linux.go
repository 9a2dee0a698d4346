package rig

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"wrun/tests/hcsemu/build"
)

// Site is the Windows machine of one test program: a prefix with the emulated
// service running in it, and the programs under test.
type Site struct {
	Host       *Prefix
	Why        string // why nothing can be tested here; "" if it can
	Tags       string // for building wrun
	Plain      bool   // build wrun as it is shipped, without counting its statements
	dir        string // of this site; removed at its end
	unlock     func()
	emu        *emulator
	tests      int
	buildFault func() error // WrunFault, once
	spoiled    []string     // what failed tests have left
}

// Where the programs lie on the Windows machine.
const (
	Wrun      = `C:\wrun\wrun.exe`
	WrunFault = `C:\wrun\wrun-fault.exe` // Test.UseFaultBuild
	Probe     = `C:\wrun\probe.exe`
)

// Main is TestMain for a package that needs a site.
func (s *Site) Main(m *testing.M) int {
	if s.Why = WhyNot(); s.Why != "" {
		return m.Run()
	}
	begin := time.Now()
	if err := s.Up(); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, s.Down()))
		return 1
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-interrupted
		_ = s.Down()
		os.Exit(1)
	}()
	fmt.Fprintf(os.Stderr, "the Windows machine is up after %.1f s\n", time.Since(begin).Seconds())
	code := m.Run()
	s.reportCoverage()
	if err := s.Down(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// Up builds the programs and starts the machine.
func (s *Site) Up() error {
	dir, err := cache()
	if err != nil {
		return err
	}
	if s.dir, s.unlock, err = claim(dir); err != nil {
		return err
	}
	bin := filepath.Join(s.dir, "bin")
	s.buildFault = sync.OnceValue(func() error {
		p := goProgram{name: "wrun-fault", from: "wrun", tags: productTags + ",wrunfault", cover: true}
		if err := p.build(bin); err != nil {
			return err
		}
		return s.Host.install(filepath.Join(bin, "wrun-fault.exe"), WrunFault)
	})
	var base string
	err = together(
		func() (err error) { base, err = template(); return err },
		func() error { return s.build(bin) },
	)
	if err != nil {
		return err
	}
	pattern := &Prefix{Dir: filepath.Join(s.dir, "template")}
	if err := build.Clone(base, pattern.Dir); err != nil {
		return err
	}
	if err := furnish(pattern, bin); err != nil {
		return err
	}
	s.Host = &Prefix{Dir: filepath.Join(s.dir, "host"), Env: []string{"GOCOVERDIR=" + `C:\cover`}}
	if err := build.Clone(pattern.Dir, s.Host.Dir); err != nil {
		return err
	}
	for _, d := range []string{`C:\cover`, `C:\t`, `C:\wrun`, `C:\calls`} {
		if err := os.MkdirAll(s.Host.Unix(d), 0o755); err != nil {
			return err
		}
	}
	if err := s.Host.install(filepath.Join(bin, "wrun.exe"), Wrun); err != nil {
		return err
	}
	if err := s.Host.install(filepath.Join(bin, "probe.exe"), Probe); err != nil {
		return err
	}
	s.emu, err = startEmulator(s)
	return err
}

// Down ends everything that Up began, also half of it.
func (s *Site) Down() error {
	var errs []error
	if s.emu != nil {
		errs = append(errs, s.emu.stop())
	}
	if s.dir != "" {
		errs = append(errs, raze(s.dir))
	}
	if s.unlock != nil {
		s.unlock()
	}
	return errors.Join(errs...)
}

// Reboot ends every process of the machine at once, as a power failure does,
// and starts the service anew.
func (s *Site) Reboot() error {
	s.emu.gone()
	if err := s.Host.stop(); err != nil {
		return err
	}
	var err error
	s.emu, err = startEmulator(s)
	return err
}

// furnish gives every machine, virtual ones too, the emulator's DLLs and the
// programs that containers run.
func furnish(p *Prefix, bin string) error {
	if err := build.Install(bin, p.Dir); err != nil {
		return err
	}
	for place, file := range map[string]string{
		`C:\windows\system32\probe.exe`: "probe.exe",
		Hcsemu:                          "hcsemu.exe", `C:\wrun\vmwp.exe`: "vmwp.exe",
	} {
		if err := p.install(filepath.Join(bin, file), place); err != nil {
			return err
		}
	}
	return nil
}

// claim makes a directory for this test program and removes those of test
// programs that were killed: the lock on theirs is free.
func claim(dir string) (site string, unlock func(), err error) {
	done, err := lock(filepath.Join(dir, "sites.lock"))
	if err != nil {
		return "", nil, err
	}
	defer done()
	old, err := filepath.Glob(filepath.Join(dir, "site-*"))
	if err != nil {
		return "", nil, err
	}
	for _, d := range old {
		if f, err := os.OpenFile(filepath.Join(d, living), os.O_RDWR, 0); err == nil {
			err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			f.Close()
			if err != nil {
				continue // somebody's
			}
		}
		if err := raze(d); err != nil {
			return "", nil, err
		}
	}
	if site, err = os.MkdirTemp(dir, "site-"); err != nil {
		return "", nil, err
	}
	unlock, err = lock(filepath.Join(site, living))
	return site, unlock, err
}

// living is the file that a site's owner keeps locked.
const living = "living"

// raze ends whatever runs in the prefixes of a site and removes it.
func raze(site string) error {
	var errs []error
	for _, pattern := range []string{"*/system.reg", "*/*/system.reg"} {
		found, err := filepath.Glob(filepath.Join(site, pattern))
		errs = append(errs, err)
		for _, f := range found {
			errs = append(errs, (&Prefix{Dir: filepath.Dir(f)}).stop())
		}
	}
	// What is about to end still writes, and a killed test program's own end may
	// be under way.
	var err error
	for begin := time.Now(); time.Since(begin) < stopTime; time.Sleep(100 * time.Millisecond) {
		if err = os.RemoveAll(site); err == nil {
			break
		}
	}
	return errors.Join(append(errs, err)...)
}
