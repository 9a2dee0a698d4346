package silo

import (
	"fmt"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// CompileExec turns a process into the Plan that starts it in a living
// container: the same steps as a start but for the file systems, which exist.
func CompileExec(in *Input, p *specs.Process) (*Plan, error) {
	in.Visits = true
	b := &builder{plan: &Plan{Steps: make([]Step, 0, 96)}}
	cred := b.credentials(p, in.Facts.Grantable)
	if a := p.ExecCPUAffinity; a != nil {
		for _, list := range []string{a.Initial, a.Final} {
			if _, err := numberMask(list, maxCPUs); list != "" && err != nil {
				return nil, fmt.Errorf("process.execCPUAffinity: %w", err)
			}
		}
		in.Affinity = a
	}
	b.begin(in)
	b.enterContainer(in)
	b.call("", "setsid")
	b.root = b.save("the container's root", "openat2", Int(atFdcwd), Str("/"), inside(oPath, 0), Int(sizeofHow))
	var slave Slot
	if p.Terminal {
		slave = b.terminal(p)
	}
	cwd := p.Cwd
	if cwd == "" {
		cwd = "/"
	}
	if !path.IsAbs(cwd) {
		return nil, fmt.Errorf("process.cwd %q is not an absolute path", cwd)
	}
	dir := b.save("process.cwd "+cwd, "openat2", b.root, Str(cwd), inside(oPath, 0), Int(sizeofHow))
	b.enter("process.cwd "+cwd, dir)
	if p.Terminal {
		b.stdio(slave)
	}
	b.label(in, p)
	if err := b.scheduling(p, in.linux()); err != nil {
		return nil, err
	}
	if err := b.become(in, p, cred, in.Filter); err != nil {
		return nil, err
	}
	program := b.program(p)
	b.listen(in, p, cred)
	b.arrived(in)
	b.execute(in, p, cred, in.Filter, program)
	return b.plan, nil
}

// CompileHook is the Plan of a hook inside the container's namespaces: a host
// program with the caller's own rights (config.md, "createContainer Hooks":
// the path resolves in the runtime namespace; "startContainer Hooks": in the
// container's).
func CompileHook(in *Input, h specs.Hook) *Plan {
	in.Visits = true
	b := &builder{plan: &Plan{Steps: make([]Step, 0, 16)}}
	b.begin(in)
	b.enterContainer(in)
	b.call("", "setsid")
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	if in.Dir != "" {
		b.call("the hook's directory", "chdir", Str(in.Dir))
	}
	program := b.program(&specs.Process{Args: []string{h.Path}})
	all := credentials{effective: in.Facts.Grantable, permitted: in.Facts.Grantable}
	p := &specs.Process{Args: args}
	b.listen(in, p, all)
	b.arrived(in)
	b.execute(in, p, all, in.Filter, program)
	return b.plan
}

// enterContainer joins every namespace the container has of
// its own, in one call on the init process's pidfd: no path, no race.
func (b *builder) enterContainer(in *Input) {
	var flags uint64
	for _, n := range namespaceOrder {
		if in.hasNamespace(specs.LinuxNamespaceType(n.kind)) {
			flags |= n.flag
		}
	}
	if flags&cloneNewPID != 0 && !in.forks() {
		b.plan.Pids = fileInit
		flags &^= cloneNewPID
	}
	if flags != 0 {
		b.call("the container's namespaces"+namespaceNames(flags), "setns", fileInit, Flags(flags))
	}
	if flags&cloneNewUser != 0 {
		b.root0()
	}
	if flags&(cloneNewPID|cloneNewTime) != 0 {
		b.call("a process enters a pid namespace by being born in it", callFork)
	}
	if in.Facts.Rooted || !in.hasNamespace(specs.MountNamespace) {
		// setns(2) leads to the namespace's root. That is not the container's
		// where wrun's own root was another one, in a chroot.
		b.enter("the container's root by descriptor", b.save("", callLet, fileRoot))
		b.call("", "chroot", Str("."))
	}
}

// forks tells whether a visitor has to fork to get into the container's
// namespaces: an ordinary user has rights over the pid namespace only from the
// user namespace, and into a time namespace no thread of a Go program gets.
func (in *Input) forks() bool {
	return in.hasNamespace(specs.TimeNamespace) || in.hasNamespace(specs.PIDNamespace) && !in.Facts.Privileged
}

// arrived lets the parent do to the process what is done from outside.
func (b *builder) arrived(in *Input) {
	if in.Alone {
		b.call("the parent waits by itself from here on", "setitimer", Int(itimerReal), make(Bytes, 32), Int(0))
		return
	}
	b.talk("the parent knows the process", codeReady)
}

// fileRoot is the container's root directory.
const fileRoot File = "root"
