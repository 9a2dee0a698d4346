package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds each wait for which the caller's context sets no nearer end.
const patience = 10 * time.Second

// Processes lists the processes of the group and its sub-groups, by pids of
// wrun's pid namespace (0 for one that is not in it). A group that is not there has none.
func (g *Group) Processes() ([]int, error) {
	d := g.tracker()
	if d == nil {
		return nil, nil
	}
	return processes(nil, g.dir(d))
}

// Holds says whether systemd has put a process into the group.
func (g *Group) Holds(pid int) bool {
	for i := range g.Dirs {
		d := &g.Dirs[i]
		if !d.managed() {
			continue
		}
		if at, err := holder(g.dir(d), pid); err == nil && at != "" {
			return true
		}
	}
	return false
}

// Entrance is the group that a further process of a living container joins: g
// itself, or, where the container has divided its v2 group, the sub-group that
// init is in. For a group that distributes controllers to sub-groups takes no
// processes (cgroup-v2.rst, "No Internal Process Constraint"): clone(2) says
// EBUSY.
func (g *Group) Entrance(init int) (*Group, error) {
	d, ok := g.find("")
	if !ok {
		return g, nil
	}
	dir := g.dir(d)
	divided, err := read(dir + "/cgroup.subtree_control")
	if err != nil && !gone(err) {
		return nil, err
	}
	if len(fields(string(divided))) == 0 {
		return g, nil
	}
	at, err := holder(dir, init)
	if err != nil || at == "" || at == dir {
		return g, err // somebody moved init out: the kernel says what it thinks
	}
	e := &Group{Path: g.Path, Dirs: append([]Dir(nil), g.Dirs...)}
	for i := range e.Dirs {
		if e.Dirs[i].Controllers == "" {
			e.Dirs[i].Path = strings.TrimPrefix(at, d.Mount)
		}
	}
	return e, nil
}

// holder finds the group that a process is in: dir or one below; "" for none.
func holder(dir string, pid int) (string, error) {
	b, err := read(dir + "/cgroup.procs")
	if err != nil && !gone(err) && !errors.Is(err, unix.EOPNOTSUPP) {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if strings.TrimSuffix(line, "\n") == strconv.Itoa(pid) {
			return dir, nil
		}
	}
	subs, err := subgroups(dir)
	for i := 0; i < len(subs) && err == nil; i++ {
		var at string
		if at, err = holder(subs[i], pid); at != "" {
			return at, err
		}
	}
	return "", err
}

// tracker is the directory asked for the group's processes. All hold the same;
// freezer is the one that also keeps them from multiplying.
func (g *Group) tracker() *Dir {
	for _, c := range [...]string{"freezer", "pids", "memory", ""} {
		if d, ok := g.find(c); ok {
			return d
		}
	}
	if len(g.Dirs) > 0 {
		return &g.Dirs[0]
	}
	return nil
}

// processes appends the processes in dir and below.
func processes(pids []int, dir string) ([]int, error) {
	b, err := read(dir + "/cgroup.procs")
	// A threaded group of v2 does not tell: what runs in it, its nearest ancestor
	// that is a domain lists too (cgroup-v2.rst, "Threads").
	if err != nil && !gone(err) && !errors.Is(err, unix.EOPNOTSUPP) {
		return pids, err
	}
	for n, i := 0, 0; i < len(b); i++ {
		if b[i] == '\n' {
			pids = append(pids, n)
			n = 0
		} else {
			n = n*10 + int(b[i]-'0')
		}
	}
	subs, err := subgroups(dir)
	if err != nil {
		return pids, err
	}
	for _, s := range subs {
		if pids, err = processes(pids, s); err != nil {
			return pids, err
		}
	}
	return pids, nil
}

// subgroups lists the directories in dir. Most groups have none, which the link
// count tells for less than reading the directory costs.
func subgroups(dir string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		if gone(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("stat %s: %w", dir, err)
	}
	if st.Nlink <= 2 {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if gone(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list sub-groups: %w", err)
	}
	var subs []string
	for _, e := range entries {
		if e.IsDir() {
			subs = append(subs, dir+"/"+e.Name())
		}
	}
	return subs, nil
}

// files lists the names in dir; none when it is not there.
func files(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return names
}

// Kill sends SIGKILL to every process of the group and its sub-groups, so that
// none escapes by forking, and thaws what is frozen, for in v1 a frozen process
// does not die. It does not wait for their end; Remove does.
func (g *Group) Kill(ctx context.Context) error {
	if d, ok := g.find(""); ok {
		err := write(g.dir(d)+"/cgroup.kill", "1")
		if err == nil && g.pure() {
			return nil
		}
		if err != nil && !gone(err) {
			return err
		}
	}
	d := g.tracker()
	if d == nil {
		return nil
	}
	pids, err := processes(nil, g.dir(d))
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return nil
	}
	// One process is killed before it can fork a second; more are first stopped.
	// Where that does not succeed in time, killing goes on until none is left.
	frozen := false
	if len(pids) > 1 {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		frozen = g.Freeze(short) == nil
		cancel()
	}
	deadline := time.Now().Add(patience)
	seen := make(map[int]bool, len(pids))
	for {
		if pids, err = processes(pids[:0], g.dir(d)); err != nil {
			return err
		}
		fresh := 0
		for _, pid := range pids {
			if !seen[pid] {
				seen[pid] = true
				fresh++
			}
			if pid == 0 { // kill(0) would hit wrun's own process group
				return fmt.Errorf("kill cgroup %s: it holds a process of another pid namespace", g.dir(d))
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill process %d of cgroup %s: %w", pid, g.dir(d), err)
			}
		}
		if frozen || fresh == 0 {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("kill cgroup %s: new processes keep appearing", g.dir(d))
		}
	}
	return g.Thaw(ctx)
}

// awaitExit waits until one of pids has ended, told by their pidfds.
func awaitExit(pids []int, deadline time.Time) error {
	fds := make([]unix.PollFd, 0, len(pids))
	defer func() {
		for i := range fds {
			unix.Close(int(fds[i].Fd))
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH || err == unix.EINVAL {
			return nil // EINVAL: before Linux 6.9, of a process just being reaped
		}
		if err != nil {
			return fmt.Errorf("open pidfd of process %d: %w", pid, err)
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		if len(fds) == 64 { // enough to be told of progress
			break
		}
	}
	for {
		_, err := unix.Poll(fds, millis(deadline))
		if err == unix.EINTR && time.Now().Before(deadline) {
			continue
		}
		return err
	}
}

// due is the end of a wait: the context's, if nearer than patience.
func due(ctx context.Context) time.Time {
	end := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		return d
	}
	return end
}
