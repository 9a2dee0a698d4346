package silo

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// device is one node to make.
type device struct {
	path         string
	mode         uint64 // S_IF* and permission bits
	major, minor int64
	uid, gid     uint32
	why          string
}

// defaultDevices are the ones config-linux.md, "Default Devices", says the
// runtime MUST supply; /dev/ptmx, /dev/console and the links come beside them.
var defaultDevices = [...]device{
	{path: "/dev/null", mode: sIFCHR | 0o666, major: 1, minor: 3},
	{path: "/dev/zero", mode: sIFCHR | 0o666, major: 1, minor: 5},
	{path: "/dev/full", mode: sIFCHR | 0o666, major: 1, minor: 7},
	{path: "/dev/random", mode: sIFCHR | 0o666, major: 1, minor: 8},
	{path: "/dev/urandom", mode: sIFCHR | 0o666, major: 1, minor: 9},
	{path: "/dev/tty", mode: sIFCHR | 0o666, major: 5, minor: 0},
}

// devSymlinks: config-linux.md, "Runtime Configuration … /dev symbolic links".
var devSymlinks = [...][2]string{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
}

// ownDev tells whether the container has a /dev of its own to fill. When the
// bundle binds a ready-made one (the host's, say) its nodes are left alone.
func ownDev(mounts []specs.Mount) bool {
	own := true
	for i := range mounts {
		if path.Clean(mounts[i].Destination) != "/dev" {
			continue
		}
		own = !optionsOf(&mounts[i]).bind
	}
	return own
}

func (b *builder) devices(in *Input) error {
	if !ownDev(in.Spec.Mounts) {
		return nil
	}
	list := make([]device, 0, len(defaultDevices)+len(in.linux().Devices))
	for _, d := range defaultDevices {
		d.why = "default device " + d.path
		list = append(list, d)
	}
	for i := range in.linux().Devices {
		d, err := specDevice(i, &in.linux().Devices[i])
		if err != nil {
			return err
		}
		list = override(list, d)
	}
	dev := b.target("/dev", "/dev", false, 0)
	if !in.fillsLater(list) || b.readonlyDev != "" {
		b.fill(in, dev, list)
		return nil
	}
	b.errand(func() {
		if !b.onErrand {
			b.fill(in, dev, list)
			return
		}
		const why = "modes are taken as they are written"
		own := b.save(why, "umask", Int(0))
		b.fill(in, dev, list)
		b.call("the parent's own umask", "umask", own)
	})
	return nil
}

// fillsLater tells whether the devices can be made when the root may be read-only
// already: they are all on a file system of their own.
func (in *Input) fillsLater(list []device) bool {
	return slices.ContainsFunc(in.Spec.Mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == "/dev" }) &&
		!slices.ContainsFunc(list, func(d device) bool { return !strings.HasPrefix(d.path, "/dev/") })
}

// fill makes what belongs into the directory dev.
func (b *builder) fill(in *Input, dev Slot, list []device) {
	for i := range list {
		if !in.Facts.Present[list[i].path] {
			b.device(in, dev, &list[i])
		}
	}
	for _, l := range devSymlinks {
		if in.Facts.Present["/dev/"+l[0]] {
			continue
		}
		s := b.call("default link /dev/"+l[0], "symlinkat", Str(l[1]), dev, Str(l[0]))
		s.Rescue = []Rescue{{Errno: eEXIST}}
	}
	// config-linux.md: "/dev/ptmx: a bind-mount or symlink of the container's
	// /dev/pts/ptmx"; whatever an image put there gives way.
	if in.Facts.Present["/dev/ptmx"] {
		return
	}
	why := "/dev/ptmx is the container's own"
	b.call(why, "unlinkat", dev, Str("ptmx"), Int(0)).Rescue = []Rescue{{Errno: eNOENT}}
	b.call(why, "symlinkat", Str(ownPtmx), dev, Str("ptmx")).Rescue = []Rescue{{Errno: eEXIST}}
}

// ownPtmx is where /dev/ptmx leads.
const ownPtmx = "pts/ptmx"

// override lets a device of the bundle replace a default one of the same path.
func override(list []device, d device) []device {
	for i := range list {
		if list[i].path == d.path {
			list[i] = d
			return list
		}
	}
	return append(list, d)
}

func specDevice(i int, d *specs.LinuxDevice) (device, error) {
	out := device{
		path: path.Clean(d.Path), major: d.Major, minor: d.Minor, mode: 0o666,
		why: "linux.devices[" + strconv.Itoa(i) + "] " + d.Path,
	}
	if d.FileMode != nil {
		out.mode = permissions(*d.FileMode)
	}
	if d.UID != nil {
		out.uid = *d.UID
	}
	if d.GID != nil {
		out.gid = *d.GID
	}
	switch d.Type {
	case "c", "u":
		out.mode |= sIFCHR
	case "b":
		out.mode |= sIFBLK
	case "p":
		out.mode |= sIFIFO
		out.major, out.minor = 0, 0 // a fifo has no numbers
	default:
		return out, fmt.Errorf("linux.devices[%d] %s: device type %q is none of c, b, u, p", i, d.Path, d.Type)
	}
	return out, nil
}

// permissions reads fileMode, in which engines send plain permission bits with
// Unix' set-id and sticky bits where they are in st_mode (0o7777).
func permissions(m os.FileMode) uint64 { return uint64(m) & 0o7777 }

func (b *builder) device(in *Input, dev Slot, d *device) {
	dir, name := dev, path.Base(d.path)
	if path.Dir(d.path) != "/dev" {
		dir = b.target(d.why, path.Dir(d.path), false, 0)
	}
	if in.userNamespace() || in.Facts.Foreign {
		// mknod(2) is refused in a user namespace: the host's node is bound.
		t := b.save(d.why+": the host's", "open_tree", Int(atFdcwd), Str(d.path), Flags(openTreeClone|oCloexec))
		b.attach(d.why, t, b.target(d.why, d.path, true, 0))
		return
	}
	s := b.call(d.why, "mknodat", dir, Str(name), Flags(d.mode), Int(makedev(d.major, d.minor)))
	made := b.here() - 1
	if d.uid != 0 || d.gid != 0 {
		b.call(d.why, "fchownat", dir, Str(name), Int(d.uid), Int(d.gid), Flags(atSymlinkNoFol))
		s = b.step(made)
	}
	// A node that an image or a mount brought along stays as it is.
	s.Rescue = []Rescue{{Errno: eEXIST, Skip: b.skipFrom(made)}}
}

// makedev packs device numbers as the kernel's new_encode_dev does.
func makedev(major, minor int64) int64 {
	return minor&0xff | major&0xfff<<8 | minor&^0xff<<12 | major&^0xfff<<32
}

// terminal makes the pty inside the container, sends its master away and keeps
// the slave. TIOCGPTPEER opens the slave without a path, so nothing in the
// container can put another file in its place (CVE-2025-52565).
func (b *builder) terminal(p *specs.Process) (slave Slot) {
	const why = "process.terminal"
	dir := Arg(b.root)
	if b.root == 0 {
		dir = Int(atFdcwd)
	}
	master := b.save(why, "openat2", dir, Str("/dev/pts/ptmx"), inside(oRdwr|oNoctty, 0), Int(sizeofHow))
	b.call(why, "ioctl", master, Flags(tiocSPTLCK), make(Bytes, 4))
	if s := p.ConsoleSize; s != nil && (s.Height > 0 || s.Width > 0) {
		ws := make(Bytes, 8)
		ws[0], ws[1] = byte(s.Height), byte(s.Height>>8)
		ws[2], ws[3] = byte(s.Width), byte(s.Width>>8)
		b.call("process.consoleSize", "ioctl", master, Flags(tiocSWINSZ), ws)
	}
	slave = b.save(why, "ioctl", master, Flags(tiocGPTPEER), Flags(oRdwr|oNoctty|oCloexec))
	b.call(why+": its owner is the user", "fchown", slave, Int(p.User.UID), Int(-1))
	b.call(why+": master to the console socket", "sendmsg", fileConsole, SendFD{master}, Int(0))
	return slave
}

// console binds the pty onto /dev/console: config-linux.md, "/dev/console is
// set up if terminal is enabled in the config by bind mounting the
// pseudoterminal pty to /dev/console".
func (b *builder) console(slave Slot) {
	const why = "/dev/console"
	s := b.target(why, "/dev/console", true, resolveNoSymlinks)
	t := b.save(why, "open_tree", slave, Str(""), Flags(openTreeClone|oCloexec|atEmptyPath))
	b.attach(why, t, s)
}

// stdio puts the pty where standard streams are and makes it the controlling
// terminal.
func (b *builder) stdio(slave Slot) {
	const why = "process.terminal: standard streams"
	b.call("process.terminal: controlling terminal", "ioctl", slave, Flags(tiocSCTTY), Int(0))
	for fd := range 3 {
		b.call(why, "dup3", slave, Int(fd), Int(0))
	}
}
