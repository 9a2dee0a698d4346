package silo

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// describe turns an error record into the error an operator reads. step is nil
// for codeStub. The texts about the program and its directory are runc's:
// dockerd and podman match them to choose exit code 126 or 127.
func describe(step *Step, errno unix.Errno, program, cwd string) error {
	const start = "unable to start container process: "
	if step == nil {
		return executeError(program, errno)
	}
	switch {
	case step.Why == notInPath:
		return fmt.Errorf(start+"exec: %q: %s", program, notInPath)
	case strings.HasPrefix(step.Why, "process.args[0]"):
		if errno == unix.ENOENT || errno == unix.ENOTDIR {
			return fmt.Errorf(start+"exec: %q: stat %s: %w", program, program, errno)
		}
		return fmt.Errorf(start+"exec: %q: %w", program, errno)
	case step.Why == "process.args":
		return executeError(program, errno)
	case strings.HasPrefix(step.Why, "process.cwd"):
		return fmt.Errorf(start+"chdir to cwd (%q) set in config.json: %w", cwd, errno)
	case step.Call == "setns" && errno == unix.ESRCH && step.Args[0] == fileInit:
		return libcontainer.ErrNotRunning // it is ending
	case step.Call == "prlimit64":
		return fmt.Errorf(start+"error setting rlimits: %s: %w", step.Why, errno)
	}
	where := step.Why
	if where != "" {
		where += ": "
	}
	err := fmt.Errorf(start+"%s%s: %w", where, step.describeCall(), errno)
	return libcontainer.WithHint(err, hint(step, errno))
}

// executeError is what the kernel said when it looked into the program file.
func executeError(program string, errno unix.Errno) error {
	err := fmt.Errorf("exec %s: %w", program, errno)
	switch errno {
	case unix.ENOENT:
		return libcontainer.WithHint(err, "the file is there, so its interpreter (the #! line, or the dynamic loader) is not")
	case unix.ENOEXEC:
		return libcontainer.WithHint(err, "the file is no program for this machine, or a script without a #! line")
	case unix.EACCES:
		return libcontainer.WithHint(err, "the file or its file system does not allow execution")
	}
	return err
}

// describeCall names the call with the paths it was about.
func (s *Step) describeCall() string {
	words := []string{s.Call}
	for _, a := range s.Args {
		if t, ok := a.(Str); ok && t != "" && t != "." {
			words = append(words, string(t))
		}
	}
	return strings.Join(words, " ")
}

// hint knows the usual cures.
func hint(s *Step, errno unix.Errno) string {
	switch {
	case errno == unix.ENOSYS:
		return "the silo needs Linux 5.12 or newer (mount_setattr, openat2, clone3)"
	case errno == unix.ELOOP && s.Call == "openat2":
		return "the path leads over a symbolic link that is not followed there"
	case errno == unix.EROFS:
		return "the mount point does not exist and the file system it would be made in is read-only"
	case s.Call == "mknodat" && errno == unix.EPERM:
		return "a user namespace cannot make device nodes; bind the host's instead"
	case s.Call == "move_mount" && errno == unix.EINVAL:
		return "a directory is not mounted onto a file, nor what is not a directory onto one"
	case s.Call == "seccomp" && errno == unix.EINVAL:
		return "the kernel does not know one of the filter's flags or actions"
	}
	return ""
}

var errDied = libcontainer.WithHint(errors.New("the process died before it could say why"),
	"a memory limit that is too low for its start does that, or a seccomp filter that forbids it")
