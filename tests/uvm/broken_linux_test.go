package uvm

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// refused is create and run of what must fail, with one error in which text is
// found, and without anything left.
func (r *rig) refused(most time.Duration, text string, options ...string) {
	r.Helper()
	r.save()
	res := r.bounded(most, append(append([]string{"create"}, options...), r.id)...)
	if res.code != 1 || !strings.Contains(res.err, text) || res.out != "" {
		r.Errorf("want an error with %q: %s", text, res)
	}
	if len(res.err) > 6<<10 {
		r.Errorf("an error of %d bytes", len(res.err))
	}
	if left, _ := os.ReadDir(r.root); len(left) > 0 {
		r.Errorf("left in the state root: %v", left)
	}
}

// TestRefusals: what cannot be kept inside a VM is refused, before anything is
// made.
func TestRefusals(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	joins := func(kind specs.LinuxNamespaceType, path string) func(*rig) {
		return func(r *rig) {
			for i, n := range r.spec.Linux.Namespaces {
				if n.Type == kind {
					r.spec.Linux.Namespaces[i].Path = path
				}
			}
		}
	}
	for _, c := range []struct {
		name    string
		edit    func(r *rig)
		want    string
		options []string
	}{
		{"descriptors", func(r *rig) { r.extra = []*os.File{null, null} }, "preserve-fds", []string{"--preserve-fds", "2"}},
		{"a joined pid namespace", joins(specs.PIDNamespace, "/proc/1/ns/pid"), "pid namespace", nil},
		{"a joined ipc namespace", joins(specs.IPCNamespace, "/proc/1/ns/ipc"), "ipc namespace", nil},
		{"a joined uts namespace", joins(specs.UTSNamespace, "/proc/1/ns/uts"), "uts namespace", nil},
		{"a joined mount namespace", joins(specs.MountNamespace, "/proc/1/ns/mnt"), "mount namespace", nil},
		{"a seccomp listener", func(r *rig) {
			r.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/run/x.sock",
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}}
		}, "seccomp", nil},
		{"intelRdt", func(r *rig) { r.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} }, "intelRdt", nil},
		{"a root image", func(r *rig) {
			r.spec.VM = &specs.VM{Kernel: specs.VMKernel{Path: "/x"}, Image: specs.VMImage{Path: "/x", Format: "raw"}}
		}, "vm.image", nil},
		{"parameters of QEMU", func(r *rig) {
			r.spec.VM = &specs.VM{Kernel: specs.VMKernel{Path: r.image + "/kernel"}, Hypervisor: specs.VMHypervisor{Path: "/usr/bin/qemu-system-x86_64", Parameters: []string{"-s"}}}
		}, "vm.hypervisor.parameters", nil},
		{"no root", func(r *rig) { r.spec.Root.Path = "" }, "root.path", nil},
		{"a root that is not there", func(r *rig) { r.spec.Root.Path = "nosuch" }, "nosuch", nil},
		{"a mount whose source is not there", func(r *rig) {
			r.mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/no/such", Options: []string{"bind"}})
		}, "/no/such", nil},
		{"a program that is not there", func(r *rig) { r.spec.Process.Args = []string{"/no/such/program"} }, "/no/such/program", nil},
		{"a directory to begin in that is a file", func(r *rig) { r.write("rootfs/file", ""); r.spec.Process.Cwd = "/file" }, "cwd", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			c.edit(r)
			r.refused(15*time.Second, c.want, c.options...)
		})
	}
	t.Run("descriptors of an exec", func(t *testing.T) {
		r := newRig(t, "sleep", "1000")
		r.start()
		r.extra = []*os.File{null}
		if res := r.wrun("exec", "--preserve-fds", "1", r.id, "true"); res.code != 255 || !strings.Contains(res.err, "preserve-fds") {
			t.Errorf("%s", res)
		}
		r.extra = nil
		if res := r.wrun("exec", r.id, "/no/such/program"); res.code == 0 || !strings.Contains(res.err, "/no/such/program") {
			t.Errorf("%s", res)
		}
		r.equal("afterwards", r.inside("echo on"), "on")
	})
}

// TestProgramIsAFifo: what nobody writes to is refused like any file that is no
// program, though the guest reads programs ahead.
func TestProgramIsAFifo(t *testing.T) {
	r := newRig(t, "/fifo")
	r.must(syscall.Mkfifo(filepath.Join(r.rootfs, "fifo"), 0o755))
	r.save()
	if res := r.bounded(15*time.Second, "run", r.id); res.code != 1 || !strings.Contains(res.err, "permission denied") {
		t.Errorf("%s", res)
	}
}

// copyImage is a boot image of the test's own.
func (r *rig) copyImage() string {
	r.Helper()
	dir := filepath.Join(r.dir, "image")
	r.must(os.Mkdir(dir, 0o755))
	for _, name := range []string{"kernel", "initrd"} {
		in, err := os.Open(filepath.Join(r.image, name))
		r.must(err)
		out, err := os.Create(filepath.Join(dir, name))
		r.must(err)
		_, err = io.Copy(out, in)
		r.must(err)
		r.must(out.Close())
		in.Close()
	}
	r.spec.Windows.HyperV.UtilityVMPath = dir
	return dir
}

// TestBrokenImage: a VM that cannot be booted is an error that says why, soon.
func TestBrokenImage(t *testing.T) {
	garbage := strings.Repeat("this is not what you think it is\n", 4000)
	for _, c := range []struct {
		name string
		edit func(r *rig, dir string)
		want string
	}{
		{"no folder", func(r *rig, dir string) { r.must(os.RemoveAll(dir)) }, "image/kernel"},
		{"no kernel", func(r *rig, dir string) { r.must(os.Remove(dir + "/kernel")) }, "image/kernel"},
		{"no initrd", func(r *rig, dir string) { r.must(os.Remove(dir + "/initrd")) }, "image/initrd"},
		{"garbage for a kernel", func(r *rig, _ string) { r.write("image/kernel", garbage) }, "utility VM"},
		{"an empty kernel", func(r *rig, _ string) { r.write("image/kernel", "") }, "utility VM"},
		{"garbage for an initrd", func(r *rig, _ string) { r.write("image/initrd", garbage) }, "utility VM"},
		{"half an initrd", func(r *rig, dir string) {
			st, err := os.Stat(dir + "/initrd")
			r.must(err)
			r.must(os.Truncate(dir+"/initrd", st.Size()/2))
		}, "utility VM"},
		{"no QEMU", func(r *rig, _ string) { r.hypervisor("/no/such/qemu") }, "/no/such/qemu"},
		{"no QEMU of that name", func(r *rig, _ string) { r.hypervisor("no-such-qemu") }, "no-such-qemu"},
		{"another program", func(r *rig, _ string) { r.hypervisor("/usr/bin/true") }, "utility VM"},
		{"too little memory", func(r *rig, _ string) {
			least := uint64(32 << 20)
			r.spec.VM = &specs.VM{Kernel: specs.VMKernel{Path: r.image + "/kernel"}, HwConfig: &specs.HWConfig{Memory: &least}}
		}, "32 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			c.edit(r, r.copyImage())
			r.refused(patience, c.want)
		})
	}
}

func (r *rig) hypervisor(path string) {
	r.spec.VM = &specs.VM{Hypervisor: specs.VMHypervisor{Path: path}, Kernel: specs.VMKernel{Path: r.image + "/kernel", InitRD: r.image + "/initrd"}}
}
