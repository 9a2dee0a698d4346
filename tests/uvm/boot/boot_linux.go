// Package boot gives tests the utility VM's boot image: built from this tree, as
// `make uvm` does, once for all test programs of a run.
package boot

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"wrun/tests/container"
)

// advice says how to get what the tests need.
const advice = "sh tests/setup.sh qemu-system-x86 busybox-static"

// Need skips a test where no utility VM can be booted.
func Need(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: a utility VM needs cgroups, mounts and namespaces")
	}
	if os.Getenv(container.Built) != "" {
		t.Skip("a utility VM in a machine that is translated itself takes too long")
	}
	for _, program := range []string{"qemu-system-x86_64", "busybox", "apt-get"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no utility VM can be booted: %v; %s", err, advice)
		}
	}
}

// Built is what the tests run.
type Built struct {
	Wrun  string // the program, static
	Image string // folder with kernel and initrd, whose agent is of the same tree
}

var build = sync.OnceValues(func() (Built, error) {
	var b Built
	cache, err := os.UserCacheDir()
	if err != nil {
		return b, err
	}
	cache = filepath.Join(cache, "wrun-uvm")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return b, err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "test.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return b, err
	}
	defer lock.Close() // and with that the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return b, err
	}
	wrun := filepath.Join(cache, "test-wrun")
	if err := run("go", "build", "-trimpath", "-tags", container.Tags, "-ldflags", "-s -w", "-o", wrun, "wrun"); err != nil {
		return b, err
	}
	agent := filepath.Join(cache, "test-agent")
	if err := run("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", agent, "wrun/libcontainer/uvm/guest/agent"); err != nil {
		return b, err
	}
	maker := filepath.Join(cache, "test-make")
	if err := run("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", maker, "wrun/libcontainer/uvm/image/make"); err != nil {
		return b, err
	}
	sum := sha256.New()
	for _, program := range []string{wrun, agent, maker} {
		data, err := os.ReadFile(program)
		if err != nil {
			return b, err
		}
		sum.Write(data)
	}
	// Whoever boots an image keeps it, whatever the next run builds.
	b.Image = filepath.Join(cache, fmt.Sprintf("test-%x", sum.Sum(nil))[:len("test-")+12])
	b.Wrun = filepath.Join(b.Image, "wrun")
	if _, err := os.Stat(b.Wrun); err == nil {
		return b, nil
	}
	if err := run(maker, "-init", agent, "-o", b.Image); err != nil {
		return b, err
	}
	return b, os.Rename(wrun, b.Wrun)
})

// Build answers the program and its boot image, or skips the test.
func Build(t testing.TB) Built {
	t.Helper()
	Need(t)
	b, err := build()
	if err != nil {
		t.Fatalf("build the boot image: %v", err)
	}
	return b
}

func run(argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w: %s", argv, err, out)
	}
	return nil
}
