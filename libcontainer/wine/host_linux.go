package wine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// Host runs Windows bundles in whatever the host inner makes: silos or utility VMs.
type Host struct {
	inner libcontainer.Host
	silo  libcontainer.Host // where templates are made
	vm    bool              // inner's containers have a kernel of their own
	// Tools is the folder of what `make wine` builds, "" to look for it.
	Tools string
}

// NewSilo and NewVM return the host for one kind of isolation. They ask nothing yet.
func NewSilo(silo libcontainer.Host) *Host { return &Host{inner: silo, silo: silo} }

// NewVM needs silo as well: templates are made on the host.
func NewVM(vm, silo libcontainer.Host) *Host { return &Host{inner: vm, silo: silo, vm: true} }

// Files that the host keeps in a container's state directory.
const (
	hostsName   = "wine-hosts"
	resolvName  = "wine-resolv.conf"
	mountedName = "wine-drive"
)

// Open finds a container by its handle.
func (h *Host) Open(ctx context.Context, raw libcontainer.Handle) (libcontainer.System, error) {
	if len(raw) == 0 {
		return nil, libcontainer.ErrNotFound // its creator died before it made anything
	}
	own, err := decodeHandle(raw)
	if err != nil {
		return nil, err
	}
	s := &system{host: h, h: own}
	if len(own.Inner) > 0 {
		if s.inner, err = h.inner.Open(ctx, own.Inner); err != nil && !errors.Is(err, libcontainer.ErrNotFound) {
			return nil, err
		}
	}
	return s, nil
}

// birth is one Create in progress.
type birth struct {
	host   *Host
	config *libcontainer.Config
	system *system
	wants  *Wants
	site   *Site
	made   bool // something was announced, and perhaps made
}

// Create prepares drive C: and registry, and has the inner host make the container.
func (h *Host) Create(ctx context.Context, c *libcontainer.Config, io libcontainer.Stdio) (_ libcontainer.System, err error) {
	b := &birth{host: h, config: c, system: &system{host: h, h: &handle{Dir: c.Dir, VM: h.vm, CPUs: runtime.NumCPU()}}}
	if b.wants, err = Read(c.Spec, c.Bundle); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("Windows bundles on linux need root: their drive C: is an overlay mount, and their users are not the caller")
	}
	for _, w := range b.wants.Warnings {
		c.Warn("%s", w)
	}
	defer func() {
		if err != nil && b.made {
			if left := b.system.Close(context.WithoutCancel(ctx)); left != nil {
				err = fmt.Errorf("%w; %w: %w", err, libcontainer.ErrLeft, left)
			}
		}
	}()
	for _, step := range []func(context.Context) error{b.prepare, b.files, b.mount} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return b.system, b.delegate(ctx, io)
}

// record announces the container's own handle together with the inner one.
func (b *birth) record() error {
	b.made = true
	return b.config.Record(b.system.h.encode())
}

// prepare has everything ready that drive C: and registry are made of.
func (b *birth) prepare(ctx context.Context) error {
	w, err := findWine(winePlaces())
	if err != nil {
		return err
	}
	folders := toolFolders()
	if b.host.Tools != "" {
		folders = []string{b.host.Tools}
	}
	tools, err := findTools(folders)
	if err != nil {
		return err
	}
	own := b.system.h
	if own.Nonce, err = nonce(); err != nil {
		return err
	}
	m := &maker{silo: b.host.silo, config: b.config, record: func(raw libcontainer.Handle) error {
		own.Making = raw
		return b.record()
	}}
	t, err := m.template(ctx, w, tools)
	if err != nil {
		return err
	}
	own.Making = nil
	layers, err := lower(b.wants.Layers, t)
	if err != nil {
		return err
	}
	s := &scratch{dir: b.wants.Scratch, wants: b.wants, from: t}
	if err := b.record(); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	if err := s.claim(waiting, b.config, own.Nonce); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("prepare the scratch %s: %w", s.dir, err)
	}
	if layers, err = s.whiteouts(layers); err != nil {
		return err
	}
	upper := filepath.Join(s.dir, filesFolder)
	drive := merged(append([]string{upper}, layers...))
	places, err := drive.places(b.wants)
	if err != nil {
		return err
	}
	if err := drive.runnable(b.config.Spec.Process); err != nil {
		return err
	}
	own.Wine, own.User, own.Prefix = t.Wine, b.wants.User, s.prefix()
	if !b.host.vm { // where a disk of the host's is none
		own.Disk = disk(s.dir)
	}
	b.site = &Site{
		Root: t.root(), Wine: t.Wine, Runtime: t.Runtime, Tools: tools, Prefix: s.prefix(),
		Drive:  Overlay{Lower: layers, Upper: upper, Work: filepath.Join(s.dir, workFolder)},
		Places: places, Nonce: own.Nonce, CPUs: own.CPUs, Disk: own.Disk,
	}
	if n := len(strings.Join(b.site.Drive.Options(), ",")); n >= longestOptions {
		return libcontainer.WithHint(fmt.Errorf("windows.layerFolders: an overlay of these folders needs %d bytes of options, and mount(2) takes %d", n, longestOptions-1),
			"have fewer layers, or shorter paths: a directory of symbolic links will do")
	}
	return nil
}

// claimTime bounds what a create waits for another that looks at the same scratch.
const claimTime = 10 * time.Second

// longestOptions is the page that mount(2) copies.
const longestOptions = 4096

// nonce tells a container's reports from those of an earlier one of its scratch.
func nonce() (string, error) {
	var b [8]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", fmt.Errorf("ask for a random number: %w", err)
	}
	return fmt.Sprintf("%x", b), nil
}

// files writes those of /etc that are this container's.
func (b *birth) files(context.Context) error {
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the host's name servers: %w", err)
	}
	for _, f := range []struct{ name, text, at string }{
		{hostsName, hosts(b.config.Spec.Hostname), "/etc/hosts"},
		{resolvName, resolver(string(resolv), b.wants), "/etc/resolv.conf"},
	} {
		name := filepath.Join(b.config.Dir, f.name)
		if err := os.WriteFile(name, []byte(f.text), 0o644); err != nil {
			return fmt.Errorf("write the container's %s: %w", f.at, err)
		}
		b.site.Files = append(b.site.Files, Bind{Source: name, At: f.at})
	}
	return nil
}

// mount makes drive C: on the host where the container's kernel is another one.
// That of a silo is mounted in its own namespace, by its own plan.
func (b *birth) mount(context.Context) error {
	if !b.host.vm {
		return nil
	}
	dir := filepath.Join(b.config.Dir, mountedName)
	b.system.h.Mounted = true
	if err := b.record(); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make a place for drive C:: %w", err)
	}
	if err := unix.Mount("overlay", dir, "overlay", unix.MS_NOSUID|unix.MS_NODEV, strings.Join(b.site.Drive.Options(), ",")); err != nil {
		return overlayHint(fmt.Errorf("mount drive C: at %s: %w", driveDir, err))
	}
	b.site.Mounted = dir
	return visible(dir, b.config.Spec)
}

// delegate has the inner host make the container.
func (b *birth) delegate(ctx context.Context, io libcontainer.Stdio) error {
	spec, warnings, err := Translate(b.config.Spec, b.wants, b.site)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		b.config.Warn("%s", w)
	}
	c := *b.config
	c.Spec, c.Isolation.OS = spec, "linux"
	c.Record = func(raw libcontainer.Handle) error {
		b.system.h.Inner = raw
		return b.record()
	}
	inner, err := b.host.inner.Create(ctx, &c, io)
	if errors.Is(err, libcontainer.ErrLeft) {
		// Close tries again to remove it, and what it uses stays until then.
		left, opened := b.host.inner.Open(ctx, b.system.h.Inner)
		b.system.inner = left
		return errors.Join(err, opened)
	}
	if err != nil {
		b.system.h.Inner = nil // nothing of it is left
		return overlayHint(err)
	}
	b.system.inner = inner
	return nil
}

// overlayHint: what an overlay does not like of its folders it says with EINVAL.
func overlayHint(err error) error {
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), driveDir) || libcontainer.Hint(err) != "" {
		return err
	}
	return libcontainer.WithHint(err, "drive C: is an overlay mount: the scratch has to be on a file system that can carry one, such as ext4, xfs or btrfs, not on another overlay or a network's")
}
