package hcs

import (
	"errors"
	"strings"
)

// join is errors.Join in one line, which is what main prints.
func join(errs ...error) error {
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	return oneLine{err}
}

type oneLine struct{ error }

func (e oneLine) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }
func (e oneLine) Unwrap() error { return e.error }
