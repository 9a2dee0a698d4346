package hcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
	"wrun/libcontainer/hcsdoc"
)

// This file owns utility VMs that host containers as compute systems of their
// own: pods, Linux bundles, and what a single container's document cannot say.
// HCS owns the connection to the guest, so that any wrun can talk to it.

// machineName is the VM's compute system: runhcs's name for it.
func machineName(container string) string { return container + "@vm" }

// machine finds the container's VM or makes one, and attaches to it what the
// container needs.
func (b *birth) machine(ctx context.Context) error {
	if b.choice != hcsdoc.ChoiceVM && b.choice != hcsdoc.ChoiceLinuxVM {
		return nil
	}
	owner, err := b.vmOwner()
	if err != nil {
		return err
	}
	b.h.VM = &machine{System: machineName(owner), Owned: owner == b.config.ID, Dir: b.config.Dir}
	if !b.h.VM.Owned {
		b.h.VM.Dir = filepath.Join(filepath.Dir(b.config.Dir), owner)
	}
	b.in.Host = b.h.VM.System
	found, err := find(ctx, v2{}, b.h.VM.System)
	switch {
	case err != nil:
		return err
	case b.h.VM.Owned && found != nil:
		owned := *b.h.VM
		b.h.VM = nil // it is not ours to end
		return libcontainer.WithHint(fmt.Errorf("creating utility VM %s: the host compute service has a system of that name already", owned.System),
			"end it with hcsdiag kill, or choose another id")
	case !b.h.VM.Owned && found.ended():
		b.h.VM = nil
		return libcontainer.WithHint(fmt.Errorf("joining the utility VM of container %s: it does not run", owner), "create and start the sandbox first")
	case !b.h.VM.Owned && found.State == "Paused":
		b.h.VM = nil
		return libcontainer.WithHint(fmt.Errorf("joining the utility VM of container %s: it is paused", owner), "wrun resume "+owner)
	}
	if err := b.scratchDisk(ctx); err != nil {
		return err
	}
	return b.h.VM.account(func(l *ledger, save func() error) error { return b.furnish(ctx, l, save) })
}

// furnish plans all that the VM is for and gets, writes it down, and does it.
func (b *birth) furnish(ctx context.Context, l *ledger, save func() error) error {
	first := 1 // place 0 has the VM's own disk
	if b.h.OS == "linux" {
		first = 0
	}
	b.in.LUNs, b.in.Attached = l.free(first), l.disks()
	plan, err := hcsdoc.Attachments(b.in)
	if err != nil {
		return err
	}
	var document []byte
	if b.h.VM.Owned {
		if document, err = b.machineDocument(); err != nil {
			return err
		}
	}
	l.take(b.config.ID, plan.LUNs)
	for i := range plan.Steps {
		s := &plan.Steps[i]
		if s.Key != "" {
			l.use(b.config.ID, s.Key).Place = s.LUN
		}
		b.h.VM.Attached = append(b.h.VM.Attached, attachment{What: s.What, Undo: s.Undo, Key: s.Key, Grant: s.Grant})
	}
	if err := b.record(); err != nil {
		return err
	}
	if err := save(); err != nil {
		return err
	}
	vm, err := b.running(ctx, document)
	if err != nil {
		return err
	}
	defer vm.close()
	for i := range plan.Steps {
		s := &plan.Steps[i]
		if s.Key != "" && l.Shared[s.Key].Done {
			continue
		}
		if err := b.attach(ctx, vm, s, s.Key != "" && !l.alone(b.config.ID, s.Key)); err != nil {
			return fmt.Errorf("%s: %w", s.What, err)
		}
		if s.Key == "" {
			continue
		}
		l.Shared[s.Key].Done = true
		if err := save(); err != nil {
			return err
		}
	}
	for _, f := range plan.Folders {
		if err := makeFolder(ctx, vm, f); err != nil {
			return fmt.Errorf("making the folder %s in the utility VM: %w", f, err)
		}
	}
	return nil
}

// running opens the VM, which document makes when it is the container's own.
func (b *birth) running(ctx context.Context, document []byte) (computeSystem, error) {
	if document == nil {
		return v2{}.open(ctx, b.h.VM.System)
	}
	if b.h.OS == "windows" {
		if err := copyNew(filepath.Join(b.in.UtilityVM, "SystemTemplate.vhdx"), hcsdoc.VMScratch(b.in.Scratch)); err != nil {
			return nil, fmt.Errorf("making the utility VM's disk: %w", err)
		}
	}
	for _, path := range b.h.VM.Grants {
		if err := computecore.GrantVMAccess(b.h.VM.System, path); err != nil {
			return nil, err
		}
	}
	vm, err := v2{}.create(ctx, b.h.VM.System, document)
	if errors.Is(err, computecore.ErrSystemAlreadyExists) {
		// Somebody was faster since machine looked: it is not ours to end.
		b.h.VM.Foreign = true
		return nil, join(err, b.record())
	}
	if err != nil {
		return nil, err
	}
	if err := vm.start(ctx); err != nil {
		vm.close()
		return nil, err
	}
	return vm, nil
}

// attach does one step. again: another container was to do it and died over it,
// and nobody knows how far it came.
func (b *birth) attach(ctx context.Context, vm computeSystem, s *hcsdoc.Step, again bool) error {
	if again && s.Undo != nil {
		_ = vm.modify(ctx, s.Undo)
	}
	if s.Grant != "" {
		if err := computecore.GrantVMAccess(b.h.VM.System, s.Grant); err != nil {
			return err
		}
	}
	return vm.modify(ctx, s.Add)
}

// machineDocument makes the VM's document, and notes what it boots from.
func (b *birth) machineDocument() ([]byte, error) {
	if b.h.OS == "linux" {
		b.h.VM.Grants = []string{b.in.UtilityVM}
		return hcsdoc.LinuxUtilityVM(b.in)
	}
	b.h.VM.Grants = []string{hcsdoc.VMScratch(b.in.Scratch)}
	return hcsdoc.UtilityVM(b.in)
}

// vmOwner is the container whose VM this one lives in.
func (b *birth) vmOwner() (string, error) {
	role, sandbox, err := hcsdoc.Pod(b.config.Spec)
	if err != nil {
		return "", err
	}
	for _, id := range []string{sandbox, b.config.VM} {
		// The VM's ledger lies in the owner's state directory, and nowhere else.
		if strings.ContainsAny(id, `\/:`) || id == "." || id == ".." {
			return "", fmt.Errorf("%q, whose utility VM is to be shared, is no container id", id)
		}
	}
	switch {
	case role == hcsdoc.RoleSandbox && sandbox != b.config.ID:
		return "", fmt.Errorf("the annotations make this the sandbox %s, and its id is %s", sandbox, b.config.ID)
	case role == hcsdoc.RoleContainer && b.config.VM != "" && b.config.VM != sandbox:
		return "", fmt.Errorf("the annotations put this container into the sandbox %s, and --host says %s", sandbox, b.config.VM)
	case role == hcsdoc.RoleContainer:
		return sandbox, nil
	case b.config.VM != "":
		return b.config.VM, nil
	}
	return b.config.ID, nil
}

// copyNew copies a file unless there is one already: a restarted container goes
// on with its own.
func copyNew(from, to string) error {
	if _, err := os.Stat(to); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	tmp := to + ".new"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	err = join(err, out.Close())
	if err == nil {
		err = os.Rename(tmp, to)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// lockName is the machine's lock for a VM's ledger.
func (m *machine) lockName() string { return `Global\wrun-vm-` + m.System }

// account works with the VM's ledger, which nobody else does meanwhile.
func (m *machine) account(work func(l *ledger, save func() error) error) error {
	return exclusively(m.lockName(), func() error {
		l := new(ledger)
		if _, err := readRecord(m.Dir, ledgerFile, l); err != nil {
			return err
		}
		return work(l, func() error { return writeRecord(m.Dir, ledgerFile, l) })
	})
}

// makeFolder makes a folder in a Windows guest, outside of any container.
func makeFolder(ctx context.Context, vm computeSystem, folder string) error {
	line := `cmd /c if not exist "` + folder + `" mkdir "` + folder + `"`
	parameters, err := hcsdoc.Process(&specs.Process{Cwd: `C:\`, CommandLine: line}, hcsdoc.Streams{})
	if err != nil {
		return err
	}
	p, err := vm.createProcess(ctx, parameters)
	if err != nil {
		return err
	}
	defer p.close()
	waiting, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	code, err := p.wait(waiting)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit status %d", code)
	}
	return err
}

// detach takes back what the container attached to a VM that lives on. It
// continues behind what cannot be taken back, keeps that in the ledger and may
// be repeated.
func (h *handle) detach(ctx context.Context) error {
	if h.VM == nil || h.VM.Owned || len(h.VM.Attached) == 0 {
		return nil
	}
	found, err := find(ctx, v2{}, h.VM.System)
	switch {
	case err != nil:
		return err
	case found.ended():
		return h.forget()
	case found.State == "Paused":
		err := fmt.Errorf("detaching container %s: its utility VM %s is paused", h.System, h.VM.System)
		return libcontainer.WithHint(err, "resume, or delete, the container that owns the VM")
	}
	vm, err := v2{}.open(ctx, h.VM.System)
	if gone(err) {
		return h.forget()
	}
	if err != nil {
		return err
	}
	defer vm.close()
	err = h.VM.account(func(l *ledger, save func() error) error {
		if !l.knows(h.System) {
			// Nothing was done yet, or this is a later VM of that name: its places
			// and shares are others'. The files are ours.
			return h.VM.revokeAll(func(a *attachment) bool { return l.Shared[a.Key] == nil })
		}
		var errs error
		for i := len(h.VM.Attached) - 1; i >= 0; i-- {
			a := &h.VM.Attached[i]
			if a.Key == "" || l.alone(h.System, a.Key) {
				if err := h.undo(ctx, vm, a); err != nil {
					errs = join(errs, err)
					continue
				}
			}
			if a.Key != "" {
				l.leave(h.System, a.Key)
			}
		}
		if errs == nil {
			l.release(h.System)
		}
		return join(errs, save())
	})
	if err == nil {
		h.VM.Attached = nil
	}
	return err
}

// undo takes one attachment back, and is done where it was only written down.
func (h *handle) undo(ctx context.Context, vm computeSystem, a *attachment) error {
	if a.Undo == nil {
		return nil
	}
	if err := vm.modify(ctx, a.Undo); err != nil && !noProcess(err) {
		return fmt.Errorf("undo %s: %w", a.What, err)
	}
	if a.Grant == "" {
		return nil
	}
	return revoke(h.VM.System, a.Grant)
}

// forget takes the container out of the ledger of a VM that is gone, and its
// access to files with it.
func (h *handle) forget() error {
	vm := h.VM
	var err error
	if _, gone := os.Stat(vm.Dir); errors.Is(gone, fs.ErrNotExist) {
		err = vm.revokeAll(nil) // the ledger went with its owner
	} else {
		err = vm.account(func(l *ledger, save func() error) error {
			errs := vm.revokeAll(func(a *attachment) bool { return l.leave(h.System, a.Key) })
			l.release(h.System)
			return join(errs, save())
		})
	}
	if errors.Is(err, errDamaged) {
		err = vm.revokeAll(nil) // the machine's end took ledger and VM
	}
	if err == nil {
		h.VM = nil
	}
	return err
}

// revokeAll gives the access back that was for this container, and of what it
// shared that of which last says that nobody else uses it; nil: nobody does.
func (m *machine) revokeAll(last func(*attachment) bool) error {
	var errs error
	for i := range m.Attached {
		a := &m.Attached[i]
		if mine := a.Key == "" || last == nil || last(a); mine && a.Grant != "" {
			errs = join(errs, revoke(m.System, a.Grant))
		}
	}
	return errs
}

func revoke(vm, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := computecore.RevokeVMAccess(vm, path); err != nil && !noProcess(err) {
		return err
	}
	return nil // also when it was written down and never given
}

// powerOff ends the container's own VM.
func (h *handle) powerOff(ctx context.Context) error {
	if h.VM == nil || !h.VM.Owned {
		return nil
	}
	if !h.VM.Foreign {
		ending, cancel := context.WithTimeout(ctx, terminateWait+callWait)
		defer cancel()
		if err := terminateByName(ending, v2{}, h.VM.System); err != nil {
			return fmt.Errorf("ending utility VM %s: %w", h.VM.System, err)
		}
	}
	errs := h.VM.revokeAll(nil)
	for _, path := range h.VM.Grants {
		errs = join(errs, revoke(h.VM.System, path))
	}
	if errs == nil {
		h.VM = nil
	}
	return errs
}
