package libcontainer

import "errors"

// The texts are runc's: engines match them (containerd's shim, CRI-O, podman
// and dockerd compare substrings of the runtime's last error line).
var (
	ErrNotExist    = errors.New("container does not exist")
	ErrExist       = errors.New("container with given ID already exists")
	ErrInvalidID   = errors.New("invalid container ID format")
	ErrNotRunning  = errors.New("container not running")
	ErrNotPaused   = errors.New("container not paused")
	ErrUnsupported = errors.New("operation not supported by this kind of isolation")
	// ErrLeft is a host's answer to a create that failed and could not be undone
	// altogether: the container's record is kept, for delete --force.
	ErrLeft = errors.New("taking back what was made failed")
	// ErrNotFound is a host's answer to a handle that names nothing any more.
	ErrNotFound = errors.New("not found on this host")
)

// hinted is an error together with its cure.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// WithHint adds a cure to err; main prints it behind the error.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// Hint returns the cure that travels with err, or "".
func Hint(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

// exitCoder carries the process exit code an error stands for.
type exitCoder struct {
	error
	code int
}

func (e exitCoder) Unwrap() error { return e.error }

// WithExitCode says with which code wrun ends because of err. runc ends with
// 255 when exec could not start its process and with 1 otherwise.
func WithExitCode(err error, code int) error {
	if err == nil {
		return nil
	}
	return exitCoder{err, code}
}

// ExitCode is the code for err: 0 for nil, 1 unless WithExitCode said so.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	var e exitCoder
	if errors.As(err, &e) {
		return e.code
	}
	return 1
}
