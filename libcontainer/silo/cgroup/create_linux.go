package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Detect reads the Layout of the machine wrun runs on.
func Detect() (*Layout, error) {
	self, err := read("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	foreign := false
	whole := func(dir string, v2 bool) bool {
		owner, whole := wholeHierarchy(dir, v2)
		foreign = foreign || whole && owner != 0
		return whole
	}
	if l := usualLayout(string(self), whole); l != nil {
		l.foreign = foreign
		return l, nil
	}
	mountinfo, err := read("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	l, err := ParseLayout(mountinfo, self)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if unix.Stat(l.hierarchies[0].mount, &st) == nil {
		l.foreign = st.Uid != 0
	}
	return l, nil
}

// wholeHierarchy says whether dir is the root of a cgroup hierarchy, and not of
// a part of one as a container sees it, and who owns it. In v1 only the root has a release_agent;
// in v2 the root is the first inode of its file system.
func wholeHierarchy(dir string, v2 bool) (owner uint32, whole bool) {
	var st unix.Stat_t
	if !v2 {
		err := unix.Stat(dir+"/release_agent", &st)
		return st.Uid, err == nil
	}
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil || int64(fs.Type) != unix.CGROUP2_SUPER_MAGIC {
		return 0, false
	}
	err := unix.Stat(dir, &st)
	return st.Uid, err == nil && st.Ino == 1
}

// Check looks whether the group is fit for a new container: none of its
// directories may hold processes or be frozen, or what happens to one container
// would happen to another (config-linux.md, "Control groups"). It notes in g
// which directories Create will make; who records g between the two can undo a
// Create that was cut short.
func (g *Group) Check() error {
	for i := range g.Dirs {
		d := &g.Dirs[i]
		d.Made = 0
		dir := g.dir(d)
		there, err := exists(dir)
		if err != nil {
			return err
		}
		if there {
			if err := fit(dir, d.Controllers); err != nil {
				return err
			}
			if g.Unit != "" {
				d.Made = 1 // left by an earlier container: a scope is its container's alone
			}
			continue
		}
		for p := dir; p != d.Mount; {
			d.Made++
			if p = path.Dir(p); p == d.Mount {
				break
			}
			there, err := exists(p)
			if err != nil {
				return err
			}
			if there {
				break
			}
		}
		if g.Unit != "" && d.managed() {
			d.Made = min(d.Made, 1) // the slices above are systemd's to remove
		}
	}
	g.checked = true
	return nil
}

// Writable says whether this process may make the group, or use the one that is
// there: in every hierarchy, the nearest directory that exists is its own.
func (g *Group) Writable() bool {
	for i := range g.Dirs {
		dir := g.dir(&g.Dirs[i])
		for {
			err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS)
			if err == nil {
				break
			}
			if err != unix.ENOENT || dir == g.Dirs[i].Mount {
				return false
			}
			dir = path.Dir(dir)
		}
	}
	return true
}

// fit refuses a directory that was there before and is in use.
func fit(dir, controllers string) error {
	pids, err := processes(nil, dir)
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return fmt.Errorf("container's cgroup is not empty: %d process(es) found in %s", len(pids), dir)
	}
	if controllers != "" && !has(controllers, "freezer") {
		return nil
	}
	frozen, err := frozenDir(dir, controllers == "")
	if err != nil {
		return err
	}
	if frozen {
		return fmt.Errorf("container's cgroup unexpectedly frozen: %s", dir)
	}
	return nil
}

// Create makes the group's directories, after Check if that was not done
// before. On error it has made nothing.
func (g *Group) Create() error {
	if !g.checked {
		if err := g.Check(); err != nil {
			return err
		}
	}
	for i := range g.Dirs {
		if err := g.make(&g.Dirs[i]); err != nil {
			return errors.Join(err, g.removeFirst(context.Background(), i))
		}
	}
	return nil
}

// make makes the directory of d.
func (g *Group) make(d *Dir) error {
	dir := g.dir(d)
	if d.Made == 0 {
		return nil
	}
	if g.Unit != "" {
		// systemd has made most of them by now.
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make cgroup %s: %w", dir, err)
		}
		return nil
	}
	// A parent that two containers share may vanish with the other one between
	// our making it and our using it.
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for up := d.Made - 1; up > 0; up-- {
			p := dir
			for range up {
				p = path.Dir(p)
			}
			if err := unix.Mkdir(p, 0o755); err != nil && err != unix.EEXIST && err != unix.ENOENT {
				return fmt.Errorf("make cgroup %s: %w", p, err)
			}
		}
		err := unix.Mkdir(dir, 0o755)
		switch err {
		case nil:
			return nil
		case unix.ENOENT:
			continue
		case unix.EEXIST:
			d.Made = 0 // not ours to remove
			return fmt.Errorf("make cgroup %s: somebody else made it meanwhile", dir)
		}
		return fmt.Errorf("make cgroup %s: %w", dir, err)
	}
	return fmt.Errorf("make cgroup %s: its parent directory keeps vanishing", dir)
}

// Join is how a child enters the group by itself; all descriptors are
// close-on-exec.
//
// For a v1 hierarchy it writes "0" to a tasks file while it has one thread
// only: 0.01 to 0.03 ms measured, where a parent's write of the child's pid
// to cgroup.procs waits for an RCU grace period, 6 ms. In v2 only the clone itself is that
// cheap, by CLONE_INTO_CGROUP.
type Join struct {
	Tasks []int // write "0" to each
	Into  int   // directory for clone_args.cgroup, or -1
}

// Open opens what a child needs to join the group.
func (g *Group) Open() (*Join, error) {
	j := &Join{Tasks: make([]int, 0, len(g.Dirs)), Into: -1}
	for i := range g.Dirs {
		d := &g.Dirs[i]
		file, flags := g.dir(d), unix.O_PATH|unix.O_DIRECTORY
		if d.Controllers != "" {
			file, flags = file+"/tasks", unix.O_WRONLY
		}
		fd, err := open(file, flags)
		if err != nil {
			j.Close()
			return nil, fmt.Errorf("open %s: %w", file, err)
		}
		if d.Controllers == "" {
			j.Into = fd
		} else {
			j.Tasks = append(j.Tasks, fd)
		}
	}
	return j, nil
}

// Close closes all descriptors.
func (j *Join) Close() {
	for _, fd := range j.Tasks {
		unix.Close(fd)
	}
	if j.Into >= 0 {
		unix.Close(j.Into)
	}
	j.Tasks, j.Into = nil, -1
}

// Within runs do on a thread that is in the group's v1 hierarchies meanwhile: what
// it clones is born there. into is the directory of v2 to clone it into, or -1.
//
// It is for a process that cannot enter by itself while it has one thread; to be
// moved by another costs a grace period (see Join).
func (l *Layout) Within(g *Group, do func(into int) error) (err error) {
	there, err := g.Open()
	if err != nil {
		return err
	}
	defer there.Close()
	back, err := l.own(g).Open()
	if err != nil {
		return err
	}
	defer back.Close()
	runtime.LockOSThread()
	defer func() {
		left := back.enter()
		if err = errors.Join(err, left); left == nil {
			runtime.UnlockOSThread() // else nothing more is to run on this thread
		}
	}()
	if err := there.enter(); err != nil {
		return err
	}
	return do(there.Into)
}

// own is where this process is in the v1 hierarchies of g.
func (l *Layout) own(g *Group) *Group {
	o := &Group{}
	for i := range l.hierarchies {
		h := &l.hierarchies[i]
		if d, ok := g.find(h.controllers); ok && d.Controllers == h.controllers && h.controllers != "" {
			o.Dirs = append(o.Dirs, Dir{Controllers: h.controllers, Mount: h.mount, Path: h.own})
		}
	}
	return o
}

// enter moves the calling thread.
func (j *Join) enter() error {
	for _, fd := range j.Tasks {
		if err := writeTo(fd, "a cgroup's tasks", "0"); err != nil {
			return err
		}
	}
	return nil
}

// Delegate gives the group to a user, as config-linux.md, "Cgroup ownership",
// wants it for a container with a cgroup namespace and a writable cgroup mount.
// In v1, where delegation is not secure, it does nothing.
func (g *Group) Delegate(uid int) error {
	if !g.pure() {
		return nil
	}
	dir := g.dir(&g.Dirs[0])
	if err := unix.Chown(dir, uid, -1); err != nil {
		return fmt.Errorf("give cgroup %s to user %d: %w", dir, uid, err)
	}
	files := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if list, err := read("/sys/kernel/cgroup/delegate"); err == nil {
		files = fields(string(list))
	}
	for _, f := range files {
		if err := unix.Chown(dir+"/"+f, uid, -1); err != nil && err != unix.ENOENT {
			return fmt.Errorf("give %s/%s to user %d: %w", dir, f, uid, err)
		}
	}
	return nil
}
