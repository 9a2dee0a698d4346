package leftovers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Snapshot is the state of the machine as far as this test can be answerable
// for it, one line a thing.
type Snapshot struct {
	dirs  []string
	lines []string
}

// Take looks at the machine, and at everything below dirs: all that the tested
// program could reach and has no right to change.
//
// Namespaces are not looked for by themselves: one exists as long as a process
// or a mount holds it, and both are seen.
func Take(t testing.TB, dirs ...string) *Snapshot {
	t.Helper()
	s := &Snapshot{dirs: dirs}
	var err error
	if s.lines, err = look(dirs); err != nil {
		t.Fatal(err)
	}
	return s
}

// Check fails the test for each thing that is there and was not, or the other
// way round. It waits for processes that are about to end and returns how long
// that took.
func (s *Snapshot) Check(t testing.TB, what string) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		now, err := look(s.dirs)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		if slices.Equal(s.lines, now) {
			return took
		}
		if took > Settle {
			for _, l := range missing(now, s.lines) {
				t.Errorf("%s: left: %s", what, l)
			}
			for _, l := range missing(s.lines, now) {
				t.Errorf("%s: gone: %s", what, l)
			}
			return took
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Processes waits until nothing runs any more that the test has started, and fails
// the test for those that do not end by themselves.
func Processes(t testing.TB, what string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		now, err := processes()
		if err != nil {
			t.Fatal(err)
		}
		if len(now) == 0 {
			return
		}
		if time.Since(begin) > Settle {
			t.Errorf("%s: left: %q", what, now)
			return
		}
	}
}

// missing lists what a has and b has not.
func missing(a, b []string) []string {
	count := map[string]int{}
	for _, l := range b {
		count[l]++
	}
	var list []string
	for _, l := range a {
		if count[l]--; count[l] < 0 {
			list = append(list, l)
		}
	}
	return list
}

func look(dirs []string) ([]string, error) {
	var lines []string
	for _, f := range []func() ([]string, error){mounts, processes, cgroups, hostNames} {
		l, err := f()
		if err != nil {
			return nil, err
		}
		lines = append(lines, l...)
	}
	for _, d := range dirs {
		l, err := files(d)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l...)
	}
	return lines, nil
}

// mounts is the mount table without the numbers, which are given anew.
func mounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		i := slices.Index(f, "-")
		if len(f) < 6 || i < 0 {
			return nil, fmt.Errorf("mountinfo has the line %q", line)
		}
		// A shared mount that is made private is a change, another peer group is none.
		shared := slices.ContainsFunc(f[6:i], func(s string) bool { return strings.HasPrefix(s, "shared:") })
		lines = append(lines, fmt.Sprintf("mount %s of %s at %s (%s, shared %v)", f[i+2], f[3], f[4], f[5], shared))
	}
	return lines, nil
}

// processes is all descendants of the reaper above this process but for itself.
func processes() ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	parent := map[int]int{}
	name := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		text := string(stat)
		i := strings.LastIndexByte(text, ')')
		f := strings.Fields(text[i+1:])
		if i < 0 || len(f) < 2 {
			return nil, fmt.Errorf("process %d has the status %q", pid, text)
		}
		parent[pid], _ = strconv.Atoi(f[1])
		name[pid] = text[:i+1]
	}
	var lines []string
	reaper := os.Getppid()
	for pid := range parent {
		for p := parent[pid]; p != 0 && pid != os.Getpid(); p = parent[p] {
			if p == reaper {
				lines = append(lines, "process "+name[pid])
				break
			}
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// cgroups is every tagged directory of every hierarchy.
func cgroups() ([]string, error) {
	var lines []string
	for _, root := range Hierarchies() {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // somebody else's, gone meanwhile
			}
			if !d.IsDir() {
				return nil
			}
			if strings.Contains(name, Tag()) {
				lines = append(lines, "cgroup "+name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// Hierarchies is where cgroup file systems are mounted.
func Hierarchies() []string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	var roots []string
	for line := range strings.Lines(string(data)) {
		if at, kind, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(kind, "cgroup") {
			roots = append(roots, strings.Fields(at)[4])
		}
	}
	return roots
}

// hostNames is what lies directly in some directories of the host that a
// container's lead to when something goes wrong.
func hostNames() ([]string, error) {
	var lines []string
	for _, dir := range []string{"/", "/dev", "/etc", "/sys"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			lines = append(lines, "name "+filepath.Join(dir, e.Name())+" "+e.Type().String())
		}
	}
	return lines, nil
}

// files is everything below dir with all that a program can change of it. A
// directory's times are left out: what was made and removed again is no harm.
func files(dir string) ([]string, error) {
	var lines []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: name, Err: err}
		}
		line := fmt.Sprintf("file %s mode %o owner %d:%d", name, st.Mode, st.Uid, st.Gid)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			line += fmt.Sprintf(" size %d changed %d.%09d", st.Size, st.Ctim.Sec, st.Ctim.Nsec)
		case unix.S_IFLNK:
			to, err := os.Readlink(name)
			if err != nil {
				return err
			}
			line += " to " + to
		}
		lines = append(lines, line)
		return nil
	})
	return lines, err
}
