package libcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/bundle"
)

// Prepare reads the bundle, decides and checks, and touches nothing. The
// Config has no Record and no Namespaces yet.
func (r *Runtime) Prepare(id string, o CreateOptions) (*Config, error) {
	c, _, err := r.prepare(id, o)
	return c, err
}

func (r *Runtime) prepare(id string, o CreateOptions) (*Config, *bundle.Bundle, error) {
	if err := validID(id); err != nil {
		return nil, nil, err
	}
	b, err := bundle.Load(o.Bundle)
	if err != nil {
		return nil, nil, err
	}
	if !utf8.ValidString(b.Dir) {
		return nil, nil, fmt.Errorf("bundle path %q is not UTF-8: the container's state could not name it", b.Dir)
	}
	isolation := Decide(b.Spec)
	target := bundle.Target{OS: isolation.OS, VM: isolation.Kind == UVM}
	if err := b.Check(target); err != nil {
		return nil, nil, err
	}
	for _, p := range b.Warnings(target) {
		r.warn("%s", p)
	}
	return &Config{
		ID:            id,
		Dir:           filepath.Join(r.Root, id),
		Bundle:        b.Dir,
		Spec:          b.Spec,
		Isolation:     isolation,
		NoPivot:       o.NoPivot,
		NoNewKeyring:  o.NoNewKeyring,
		SystemdCgroup: r.SystemdCgroup,
		Rootless:      r.Rootless,
		Owner:         r.Owner,
		MonitorLog:    o.MonitorLog,
		VMLog:         o.VMLog,
		VMConsole:     o.VMConsole,
		VMAccel:       o.VMAccel,
		VMTemplate:    o.VMTemplate,
		VM:            o.VM,
		Warn:          r.warn,
		Debug:         r.Debug,
	}, b, nil
}

// Create makes container id and parks it before its program. On error nothing
// is left and the id is free.
func (r *Runtime) Create(ctx context.Context, id string, o CreateOptions) error {
	c, u, err := r.create(ctx, id, o, false)
	if err != nil {
		return err
	}
	if s, ok := c.sys.(Settler); ok {
		if err := s.Settle(); err != nil {
			c.abandon(u)
			return err
		}
	}
	c.lock.release()
	return nil
}

// create returns a created container, still locked, and what takes it back.
// With run it may be on its way to the start gate only: start waits for it.
func (r *Runtime) create(ctx context.Context, id string, o CreateOptions, run bool) (_ *container, _ *undo, err error) {
	cfg, b, err := r.prepare(id, o)
	if err != nil {
		return nil, nil, err
	}
	host, err := r.Hosts(cfg.Isolation)
	if err != nil {
		return nil, nil, err
	}

	if o.Streams != nil {
		p := cfg.Spec.Process
		if p == nil {
			p = new(specs.Process)
		}
		if o.Stdio, err = o.Streams(cfg.Isolation.OS, p); err != nil {
			return nil, nil, err
		}
	}

	if err := trustRoot(r.Root); err != nil {
		return nil, nil, err
	}
	c := &container{rt: r, dir: cfg.Dir, spec: cfg.Spec, facts: newFacts(cfg)}
	if c.lock, err = reserve(ctx, c.dir); err != nil {
		return nil, nil, err
	}
	var u undo
	// An interrupted caller must not interrupt the undoing.
	calm := context.WithoutCancel(ctx)
	defer func() {
		if err != nil {
			c.abandon(&u)
		}
	}()
	u.push(func() error { return remove(c.dir, c.lock) })
	fault(FaultCreateReserved)

	c.raw = b.Raw
	// From here on the environment exists (lifecycle step 2): whatever takes it
	// away again is followed by the poststop hooks (steps 12 and 13).
	exists := false
	begin := func() {
		if !exists {
			exists = true
			u.push(func() error { c.poststop(calm); return nil })
		}
	}
	// startContainer hooks run in a container that stands.
	cfg.Run = run && (cfg.Spec.Hooks == nil || len(cfg.Spec.Hooks.StartContainer) == 0)
	cfg.Private = c.lock.descriptors()
	cfg.Record = func(h Handle) error { return c.record(h) }
	if h := cfg.Spec.Hooks; h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0 { //nolint:staticcheck // dockerd 20.10 needs prestart
		cfg.Namespaces = func(ctx context.Context, pid int, inside RunHook) error {
			begin()
			return c.createHooks(ctx, pid, inside)
		}
	}
	if c.sys, err = host.Create(ctx, cfg, o.Stdio); err != nil {
		if errors.Is(err, ErrLeft) {
			u = nil // the record is what delete needs
			err = WithHint(err, "delete --force tries again")
		}
		return nil, nil, err
	}
	begin()
	u.push(func() error { return c.sys.Close(calm) })
	fault(FaultCreateBuilt)

	c.keep()
	if len(c.facts.Handle) == 0 {
		return nil, nil, fmt.Errorf("creating container %s: its host recorded no handle", id)
	}
	if err := c.copyConfig(); err != nil {
		return nil, nil, err
	}
	if o.PidFile != "" {
		if err := writePidFile(o.PidFile, c.sys.Pid()); err != nil {
			return nil, nil, err
		}
		u.push(func() error { return os.Remove(o.PidFile) })
		fault(FaultCreatePidFile)
	}
	c.facts.Complete = true
	if err := save(c.dir, c.facts); err != nil {
		return nil, nil, err
	}
	fault(FaultCreateComplete)
	return c, &u, nil
}

func newFacts(cfg *Config) *facts {
	f := &facts{
		Version:     factsVersion,
		ID:          cfg.ID,
		Bundle:      cfg.Bundle,
		Isolation:   cfg.Isolation,
		Created:     time.Now().UTC(),
		NoProcess:   cfg.Spec.Process == nil,
		Annotations: cfg.Spec.Annotations,
	}
	if cfg.Spec.Root != nil {
		f.Rootfs = cfg.Spec.Root.Path
	}
	if h := cfg.Spec.Hooks; h != nil {
		f.Hooks = len(h.StartContainer)+len(h.Poststart)+len(h.Poststop) > 0
	}
	return f
}

// keep takes over what the host knows by now; the next save has it.
func (c *container) keep() {
	if k, ok := c.sys.(Keeper); ok {
		c.facts.Handle = k.Handle()
	}
}

// copyConfig keeps config.json for later commands (runtime.md: "Any updates to
// config.json after this step MUST NOT affect the container"), unless it did.
func (c *container) copyConfig() error {
	if c.raw == nil {
		return nil
	}
	if err := writeFile(filepath.Join(c.dir, configFile), c.raw); err != nil {
		return fmt.Errorf("copying config.json: %w", err)
	}
	c.raw = nil
	fault(FaultCreateCopied)
	return nil
}

// record saves the host's handle before the side effect it speaks of. The
// first call also is the first save of the facts: until then there is nothing
// to undo but the directory.
func (c *container) record(h Handle) error {
	if c.facts.Hooks { // to undo what is recorded includes them; else there is time for it at the end
		if err := c.copyConfig(); err != nil {
			return err
		}
	}
	if c.facts.Boot == "" {
		c.facts.Boot = bootID()
	}
	if !json.Valid(h) {
		return fmt.Errorf("saving the state of container %s: the host's handle is no JSON value: %q", c.facts.ID, h)
	}
	c.facts.Handle = append(c.facts.Handle[:0], h...)
	if err := save(c.dir, c.facts); err != nil {
		return err
	}
	fault(FaultCreateRecorded)
	return nil
}

// abandon undoes a create or run. What cannot be undone stays on record, for
// delete --force; the caller's error is the one that counts.
func (c *container) abandon(u *undo) {
	if err := u.run(); err != nil {
		c.rt.warn("undoing the creation of container %s: %v; delete --force tries again", c.facts.ID, err)
	}
	c.lock.release()
}
