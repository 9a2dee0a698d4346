package hcs

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/Microsoft/hcsshim"

	"wrun/libcontainer/hcs/computecore"
)

// TestErrorsOfHcsshim: none of its error types unwraps, and callers decide by the
// number within.
func TestErrorsOfHcsshim(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{&hcsshim.ContainerError{Err: syscall.Errno(0xC037010E)}, computecore.ErrSystemNotFound},
		{&hcsshim.ProcessError{Err: syscall.Errno(0x490)}, computecore.ErrNotFound},
		{fmt.Errorf("wrapped: %w", syscall.Errno(0x80070020)), computecore.ErrSharingViolation},
	} {
		if err := asError("op", "c1", c.err); !errors.Is(err, c.want) {
			t.Errorf("%T: %v is not %v", c.err, err, c.want)
		}
	}
	if err := asError("op", "c1", nil); err != nil {
		t.Error(err)
	}
	other := errors.New("no number")
	if err := asError("op", "c1", other); !errors.Is(err, other) || !strings.Contains(err.Error(), "c1") {
		t.Errorf("%v", err)
	}
}

// TestIsVolume: the mount path of a layer that is not mounted may be its folder.
func TestIsVolume(t *testing.T) {
	for path, want := range map[string]bool{
		anyVolume: true, `\\?\VOLUME{00000000-0000-0000-0000-000000000000}`: true,
		"": false, `C:\scratch`: false, `\\?\C:\scratch`: false, `\\?\Volume{`: false,
	} {
		if got := isVolume(path); got != want {
			t.Errorf("isVolume(%q) = %v", path, got)
		}
	}
}

// TestLayerError: also that of a layer function, whose type is not public.
func TestLayerError(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "none")
	info, id := driver(folder)
	err := hcsshim.DeactivateLayer(info, id)
	if err == nil {
		t.Fatal("a folder that is not there was a layer")
	}
	var e *computecore.Error
	if got := asError("DeactivateLayer", folder, err); !errors.As(got, &e) || e.HRESULT == 0 || !strings.Contains(e.Message, "DeactivateLayer") {
		t.Errorf("%v", got)
	}
}
