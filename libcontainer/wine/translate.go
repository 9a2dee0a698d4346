package wine

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Site is what the host has prepared: where everything lies that the Linux Spec
// names. Two equal Sites give equal Specs, on any operating system.
type Site struct {
	Root    string // directory with nothing in it but mount points, users and groups
	Wine    Wine
	Runtime []Bind // of the host, read-only: Wine and the libraries it needs
	Tools   string // directory with session and launcher.exe
	Prefix  string // directory with the container's registry
	// Drive is the overlay of drive C:, topmost layer first; with Mounted the host
	// has mounted it there, for a kernel that cannot see its parts.
	Drive   Overlay
	Mounted string
	Files   []Bind            // of /etc, made for this container
	Places  map[string]string // destination of a mount on drive C: by its number, with the spelling that is there
	Nonce   string
	CPUs    int
	Disk    Disk
}

// Bind is a file or directory of the host and its place in the container.
type Bind struct {
	Source string `json:"source"`
	At     string `json:"at"`
}

// Overlay is an overlay mount's parts, on the host.
type Overlay struct {
	Lower       []string // topmost first
	Upper, Work string
}

// Options are those of mount(2).
func (o Overlay) Options() []string {
	lower := make([]string, len(o.Lower))
	for i, l := range o.Lower {
		lower[i] = escape(l, `\:,`)
	}
	return []string{"lowerdir=" + strings.Join(lower, ":"), "upperdir=" + escape(o.Upper, `\,`), "workdir=" + escape(o.Work, `\,`),
		// The scratch may be used again when the layers have moved.
		"index=off", "metacopy=off", "redirect_dir=off", "xino=off"}
}

// escape puts a backslash before what separates.
func escape(s, special string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Translate makes the Linux Spec that runs a Windows one, and the warnings about
// what it cannot keep.
func Translate(s *specs.Spec, w *Wants, site *Site) (*specs.Spec, []string, error) {
	l := &specs.Spec{
		Version:     specs.Version,
		Root:        &specs.Root{Path: site.Root, Readonly: true},
		Hostname:    s.Hostname,
		Hooks:       s.Hooks,
		Annotations: s.Annotations,
		Windows:     &specs.Windows{HyperV: s.Windows.HyperV},
		VM:          machine(s, site.Mounted != ""),
		Linux:       confinement(w.Network),
	}
	var warnings []string
	var err error
	if l.Linux.Resources, warnings, err = Resources(s.Windows.Resources, site.CPUs, site.Disk); err != nil {
		return nil, nil, err
	}
	if w.Network == "" { // ping, without privileges; a namespace that is joined is its maker's
		l.Linux.Sysctl = map[string]string{"net.ipv4.ping_group_range": strconv.Itoa(int(w.User.ID)) + " " + strconv.Itoa(int(w.User.ID))}
	}
	// None of the host's, whatever numbers a program may find.
	l.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	if s.Process != nil {
		if l.Process, err = Process(s.Process, w.User, site.Wine, "run", statusPath, site.Nonce); err != nil {
			return nil, nil, err
		}
		for i, p := range w.Pipes { // the session serves them
			l.Process.Env = append(l.Process.Env, "WRUN_PIPE_"+strconv.Itoa(i)+"="+p.Name)
		}
	}
	l.Mounts = site.mounts(w)
	return l, warnings, nil
}

// machine is what a utility VM needs for Wine. QEMU's translation lets an iret of a
// user's program, which Wine starts threads with, read the stack as the kernel
// would; where SMAP forbids the kernel that, the program dies (QEMU 7.2).
func machine(s *specs.Spec, vm bool) *specs.VM {
	if !vm {
		return s.VM
	}
	m := new(specs.VM)
	if s.VM != nil {
		*m = *s.VM
	}
	m.Kernel.Parameters = append([]string{"clearcpuid=smap"}, m.Kernel.Parameters...)
	return m
}

// container is what a further process has to know of the Linux container it joins.
func container() *specs.Spec { return &specs.Spec{Version: specs.Version, Linux: confinement("")} }

// confinement is what a silo is on Linux, by the default of engines.
func confinement(network string) *specs.Linux {
	return &specs.Linux{
		Seccomp: filter(),
		// Wine needs the page at 0x7ffe0000. Its program begins at 0x7d000000, and
		// Debian's has no preloader that reserves what it needs: where the kernel puts
		// the heap somewhere in the gigabyte behind a program, once in some thousand
		// starts the page is taken, and Wine ends without a word.
		Personality: &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"ADDR_NO_RANDOMIZE"}},
		Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
			{Type: specs.MountNamespace}, {Type: specs.CgroupNamespace}, {Type: specs.NetworkNamespace, Path: network}},
		MaskedPaths: []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
			"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"},
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}
}

func (site *Site) mounts(w *Wants) []specs.Mount {
	owner := "uid=" + strconv.Itoa(int(w.User.ID)) + ",gid=" + strconv.Itoa(int(w.User.ID))
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		// The wineserver's socket, and the memory that programs share.
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=700", owner}},
	}
	bind := func(source, at string, readOnly bool) {
		o := []string{"rbind", "nosuid", "nodev", "rw"}
		if readOnly {
			o = []string{"rbind", "nosuid", "nodev", "rro"}
		}
		list = append(list, specs.Mount{Destination: at, Type: "bind", Source: source, Options: o})
	}
	for _, b := range site.Runtime {
		bind(b.Source, b.At, true)
	}
	bind(site.Tools, toolsDir, true)
	for _, b := range site.Files {
		bind(b.Source, b.At, true)
	}
	bind(site.Prefix, prefixDir, false)
	if site.Mounted != "" {
		bind(site.Mounted, driveDir, false)
	} else {
		list = append(list, specs.Mount{Destination: driveDir, Type: "overlay", Source: "overlay",
			Options: append([]string{"nosuid", "nodev"}, site.Drive.Options()...)})
	}
	// What lies within another is mounted behind it.
	own := slices.Clone(w.Mounts)
	slices.SortStableFunc(own, func(a, b Mount) int { return cmp.Compare(len(a.Names), len(b.Names)) })
	for _, m := range own {
		at := site.Places[m.at]
		if at == "" {
			at = strings.Join(m.Names, "/")
		}
		bind(m.Source, path.Join(driveDir, at), m.ReadOnly)
	}
	for i, p := range w.Pipes {
		bind(p.Socket, path.Join(pipesDir, strconv.Itoa(i)), true)
	}
	return list
}
