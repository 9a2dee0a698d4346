package silo

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// hook notes its kind, its mount, pid and uts namespace and the state it reads.
func (r *rig) hook(kind string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Env: []string{"PATH=/bin:/usr/bin", "KIND=" + kind}, Args: []string{"sh", "-c",
		`read -r state; echo "$KIND $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/uts) $(env | grep -c -v -e ^PATH -e ^KIND -e ^PWD -e ^_ -e ^SHLVL) $state" >>` + r.dir + "/hooks"}}
}

// TestHooks: order, namespaces, states; config.md, "POSIX-platform Hooks".
func TestHooks(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.spec.Annotations = map[string]string{"a": "b"}
	// startContainer hooks are the container's own programs.
	inside := r.hook("startContainer")
	inside.Args[2] = strings.ReplaceAll(inside.Args[2], r.dir+"/hooks", "/tmp/hooks")
	r.spec.Hooks = &specs.Hooks{
		Prestart:        []specs.Hook{r.hook("prestart")}, //nolint:staticcheck // dockerd 20.10 needs it
		CreateRuntime:   []specs.Hook{r.hook("createRuntime")},
		CreateContainer: []specs.Hook{r.hook("createContainer")},
		StartContainer:  []specs.Hook{inside},
		Poststart:       []specs.Hook{r.hook("poststart")},
		Poststop:        []specs.Hook{r.hook("poststop"), r.hook("poststop2")},
	}
	r.save()
	r.ok("create", r.id)
	if n := strings.Count(r.read(filepath.Join(r.dir, "hooks")), "\n"); n != 3 {
		t.Errorf("%d hooks ran in create", n)
	}
	pid := r.state(r.id).Pid
	own := [2]string{nsInode(pid, "mnt"), nsInode(pid, "uts")}
	host := [2]string{nsInode("self", "mnt"), nsInode("self", "uts")}
	r.ok("start", r.id)
	r.ok("kill", r.id, "KILL")
	r.until("end", func() bool { return r.state(r.id).Status == "stopped" })
	r.ok("delete", r.id)
	lines := strings.Split(strings.TrimSpace(r.read(filepath.Join(r.dir, "hooks"))), "\n")
	inner := strings.TrimSpace(r.read(filepath.Join(r.rootfs, "tmp/hooks")))
	lines = append(lines[:3], append([]string{inner}, lines[3:]...)...)
	for i, want := range []struct {
		kind, status string
		ns           [2]string
		pid          int
	}{
		{"prestart", "created", host, pid}, {"createRuntime", "creating", host, pid}, {"createContainer", "creating", own, 1},
		{"startContainer", "created", own, 1}, {"poststart", "running", host, pid},
		{"poststop", "stopped", host, 0}, {"poststop2", "stopped", host, 0},
	} {
		if i >= len(lines) {
			t.Fatalf("no %s", want.kind)
		}
		f := strings.SplitN(lines[i], " ", 5)
		var s specs.State
		if len(f) != 5 || json.Unmarshal([]byte(f[4]), &s) != nil {
			t.Errorf("%s: %q", want.kind, lines[i])
			continue
		}
		if f[0] != want.kind || f[1] != want.ns[0] || f[2] != want.ns[1] {
			t.Errorf("hook %d is %s in %s %s, want %s in %v", i, f[0], f[1], f[2], want.kind, want.ns)
		}
		if f[3] != "0" {
			t.Errorf("%s: %s variables too many", want.kind, f[3])
		}
		if string(s.Status) != want.status || s.ID != r.id || s.Bundle != r.dir || s.Pid != want.pid || s.Annotations["a"] != "b" {
			t.Errorf("%s: state %+v, want status %s and pid %d", want.kind, s, want.status, want.pid)
		}
	}
}

// TestHookFails: every kind but poststop ends the container, and nothing is left.
func TestHookFails(t *testing.T) {
	fails := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo because >&2; exit 3"}}
	hangs := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 100"}, Env: []string{"PATH=/bin:/usr/bin"}, Timeout: ptr(1)}
	missing := specs.Hook{Path: "/no/such/hook"}
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart"} {
		for text, h := range map[string]specs.Hook{"exit status 3": fails, "timeout of 1s": hangs, "no such file or directory": missing} {
			if text == "timeout of 1s" && (kind == "prestart" || kind == "poststart") {
				continue // the way of createRuntime, and each takes its second
			}
			t.Run(kind+" "+text, func(t *testing.T) {
				r := newRig(t, "sleep", "100")
				h.Env = append(h.Env, marker+"="+r.id)
				r.spec.Hooks = hooksOf(kind, h)
				res := r.run("--detach")
				for _, want := range []string{"error running " + kind + " hook #0", text} {
					if res.code == 0 || !strings.Contains(res.err, want) {
						t.Errorf("no %q: %s", want, res)
					}
				}
				if text == "exit status 3" && !strings.Contains(res.err, "because") {
					t.Errorf("the hook's own words are lost: %s", res)
				}
				if list := r.ok("list", "-q"); list != "" {
					t.Errorf("left: %s", list)
				}
			})
		}
	}
	t.Run("poststop", func(t *testing.T) {
		r := newRig(t, "true")
		r.spec.Hooks = &specs.Hooks{Poststop: []specs.Hook{fails, r.hook("poststop")}}
		res := r.run()
		if res.code != 0 || !strings.Contains(res.err, "poststop hook #0") {
			t.Errorf("want a warning: %s", res)
		}
		if !strings.Contains(r.read(filepath.Join(r.dir, "hooks")), "poststop") {
			t.Error("the second hook did not run")
		}
	})
}

func hooksOf(kind string, h specs.Hook) *specs.Hooks {
	data, err := json.Marshal(map[string][]specs.Hook{kind: {h}})
	if err != nil {
		panic(err)
	}
	hooks := &specs.Hooks{}
	if err := json.Unmarshal(data, hooks); err != nil {
		panic(err)
	}
	return hooks
}

// TestHookSeesMounts: a createContainer hook finds the bundle's files at the
// host's paths and the container's mounts, and what it mounts in the root file
// system is there.
func TestHookSeesMounts(t *testing.T) {
	r := newRig(t, sh("cat /tmp/late/file")...)
	r.write("rootfs/tmp/late/.keep", "")
	r.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/sh", Env: []string{"PATH=/bin:/usr/bin:/sbin"}, Args: []string{"sh", "-ec",
		fmt.Sprintf("cd %s; test -e rootfs/proc/self; mount -t tmpfs tmpfs rootfs/tmp/late; echo late >rootfs/tmp/late/file", r.dir)}}}}
	r.equal("inside", r.output(), "late")
}

// TestStartContainerHook: it has what the container's first process would hand
// on, the seccomp filter and, without an environment of its own, the process's.
func TestStartContainerHook(t *testing.T) {
	r := newRig(t, "true")
	r.spec.Process.Env = append(r.spec.Process.Env, "ONE=two")
	r.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", `echo "$ONE $HOME" >/tmp/env`}}}}
	if res := r.run(); res.code != 0 {
		t.Fatalf("run: %s", res)
	}
	r.equal("environment", r.read(filepath.Join(r.rootfs, "tmp/env")), "two /")
	r.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}}
	r.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActKillProcess}}}
	r.spec.Hooks.StartContainer[0].Args = []string{"sh", "-c", "exec mkdir /tmp/a"}
	r.refused("error running startContainer hook #0: signal: bad system call")
}

// TestCreateContainerHookDirectory: the hook starts in the root file system, as
// with runc, whose hooks name files of the image relative to it.
func TestCreateContainerHookDirectory(t *testing.T) {
	r := newRig(t, "cat", "/hooked")
	r.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo yes >./hooked"}}}}
	r.equal("file", r.output(), "yes")
}
