// Package rootfs looks into a container's root file system from outside.
package rootfs

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Tries bounds how often an openat2 is repeated. openat2(2), EAGAIN: with
// RESOLVE_IN_ROOT and a ".." on the way, a mount or rename anywhere on the
// machine in that instant makes the kernel give up; "the caller may choose to
// retry".
const Tries = 10000

// Open opens a path that cannot leave root, a descriptor, whoever has made its links.
func Open(root int, name string, flags uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for range Tries {
		if fd, err = unix.Openat2(root, name, &how); err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

// Environment is a program's, completed by HOME from the container's own
// /etc/passwd, as runc does and programs expect. root is a descriptor of the
// container's root directory. Of a variable that is given twice the last value
// counts; an empty HOME is none.
func Environment(p *specs.Process, root int) []string {
	env, home := lastValues(p.Env)
	if home != "" {
		return env
	}
	return append(env[:len(env):len(env)], "HOME="+homeIn(root, p.User.UID))
}

// lastValues removes the earlier values of variables that come again, and HOME
// where it is empty; home is its value.
func lastValues(env []string) (out []string, home string) {
	seen := make(map[string]bool, len(env))
	out = make([]string, 0, len(env)+1)
	for i := len(env) - 1; i >= 0; i-- {
		name, value, _ := strings.Cut(env[i], "=")
		if seen[name] {
			continue
		}
		seen[name] = true
		if name == "HOME" {
			if home = value; home == "" {
				continue
			}
		}
		out = append(out, env[i])
	}
	slices.Reverse(out)
	return out, home
}

func homeIn(root int, uid uint32) string {
	home := "/"
	fd, err := Open(root, "/etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err == nil {
		buf := make([]byte, 64<<10) // what lies beyond is no system user's line
		n, _ := unix.Read(fd, buf)
		unix.Close(fd)
		if h := homeOf(buf[:max(n, 0)], uid); h != "" {
			home = h
		}
	}
	return home
}

// homeOf finds a user's directory in a passwd file: name:pw:uid:gid:gecos:dir.
func homeOf(passwd []byte, uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	for line := range bytes.Lines(passwd) {
		f := bytes.Split(bytes.TrimSpace(line), []byte(":"))
		if len(f) >= 6 && string(f[2]) == id {
			return string(f[5])
		}
	}
	return ""
}
