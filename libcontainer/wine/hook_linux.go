package wine

import (
	"bytes"
	"context"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/memfd"
)

// RunHook runs a startContainer hook, before the program and in its session: "The
// value of path MUST resolve in the container namespace" (config.md), so it is a
// program of drive C:.
func (s *system) RunHook(ctx context.Context, h specs.Hook, state []byte) error {
	in, err := memfd.New("hook state", state)
	if err != nil {
		return err
	}
	defer in.Close()
	// No pipe: the wineserver, which may begin with this hook, would hold it open.
	out, err := memfd.New("hook output", nil)
	if err != nil {
		return err
	}
	defer out.Close()
	p := &specs.Process{Args: []string{h.Path}, Env: h.Env, Cwd: `C:\`, User: specs.User{Username: s.h.User.Name}}
	if len(h.Args) > 1 {
		p.Args = append(p.Args, h.Args[1:]...)
	}
	x, err := s.Exec(ctx, &libcontainer.Exec{Spec: p, Warn: func(string, ...any) {}}, libcontainer.Stdio{In: in, Out: out, Err: out})
	if err != nil {
		return err
	}
	code, err := x.Wait(ctx)
	if err != nil {
		_ = x.Signal(libcontainer.Terminate)
		return err
	}
	if code == 0 {
		return nil
	}
	text := make([]byte, 2048)
	n, _ := out.ReadAt(text, 0) // to the end of what there is
	return fmt.Errorf("exit status %d, output: %s", code, bytes.TrimSpace(text[:n]))
}
