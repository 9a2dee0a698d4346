//go:build windows

// Command client leads a container's life through Microsoft's public client of
// runhcs, github.com/Microsoft/hcsshim/pkg/go-runhcs, which runs the runhcs.exe
// that lies beside it: in the tests that is wrun under another name. It is a
// module of its own, since the product needs none of this.
//
//	client BUNDLE STATE DIRECTORY   0 if all went well, else what did not
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Microsoft/hcsshim/pkg/go-runhcs"
	"github.com/containerd/go-runc"
)

const id = "by-client"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "client: BUNDLE STATE DIRECTORY")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir := os.Args[3]
	r := &runhcs.Runhcs{
		Debug: true, Log: filepath.Join(dir, "log"), LogFormat: runhcs.JSON, Owner: "client", Root: os.Args[2],
	}
	err := life(ctx, r, os.Args[1], dir)
	// Whatever happened, nothing stays.
	if err := errors.Join(err, r.Delete(ctx, id, &runhcs.DeleteOpts{Force: true})); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func life(ctx context.Context, r *runhcs.Runhcs, bundle, dir string) error {
	pidFile := filepath.Join(dir, "pid")
	err := r.Create(ctx, id, bundle, &runhcs.CreateOpts{IO: null(), PidFile: pidFile, ShimLog: filepath.Join(dir, "shim.log"), VMLog: filepath.Join(dir, "vm.log")})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if pid, err := os.ReadFile(pidFile); err != nil || len(pid) == 0 {
		return fmt.Errorf("pid file: %q, %w", pid, err)
	}
	if err := is(ctx, r, "created"); err != nil {
		return err
	}
	if err := r.Start(ctx, id); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := is(ctx, r, "running"); err != nil {
		return err
	}
	if pids, err := r.Ps(ctx, id); err != nil || len(pids) != 1 {
		return fmt.Errorf("ps: %v, %w", pids, err)
	}
	process := filepath.Join(dir, "process.json")
	if err := os.WriteFile(process, []byte(`{"args":["sh","-c","exit 0"],"cwd":"C:\\"}`), 0o600); err != nil {
		return err
	}
	if err := r.Exec(ctx, id, process, &runhcs.ExecOpts{IO: null()}); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	if err := os.WriteFile(process, []byte(`{"args":["sleep","1000"],"cwd":"C:\\"}`), 0o600); err != nil {
		return err
	}
	err = r.Exec(ctx, id, process, &runhcs.ExecOpts{IO: null(), Detach: true, PidFile: filepath.Join(dir, "execpid"), ShimLog: filepath.Join(dir, "exec.log")})
	if err != nil {
		return fmt.Errorf("exec --detach: %w", err)
	}
	if pids, err := r.Ps(ctx, id); err != nil || len(pids) != 2 {
		return fmt.Errorf("ps: %v, %w", pids, err)
	}
	if err := r.Pause(ctx, id); err == nil || !strings.Contains(err.Error(), "not supported") {
		return fmt.Errorf("pause of a silo: %w", err)
	}
	if err := r.Kill(ctx, id, "KILL"); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	for is(ctx, r, "stopped") != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("after kill: %w", is(context.WithoutCancel(ctx), r, "stopped"))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := r.Delete(ctx, id, nil); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if all, err := r.List(ctx); err != nil || len(all) != 0 {
		return fmt.Errorf("list after delete: %v, %w", all, err)
	}
	return nil
}

// null is NUL three times, for one process: the client closes it.
func null() runc.IO {
	io, err := runc.NewNullIO()
	if err != nil {
		panic(err)
	}
	return io
}

// is compares what state and list say with a status.
func is(ctx context.Context, r *runhcs.Runhcs, status string) error {
	s, err := r.State(ctx, id)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	all, err := r.List(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if s.ID != id || s.Status != status || len(all) != 1 || all[0].Status != status {
		return fmt.Errorf("want %s: state %+v, list %+v", status, s, all)
	}
	return nil
}
