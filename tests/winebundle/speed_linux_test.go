package winebundle

import (
	"bufio"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wrun/tests/container"
	"wrun/tests/uvm/boot"
)

var rounds = flag.Int("speed", 0, "rounds of TestSpeed; it wants an otherwise idle machine")

// most is the promise: a container's first output against that of the same program
// under plain Wine.
const most = 1.3

// TestSpeed measures, by hand, from start to first output of `cmd /c ver`: plain
// Wine in a prefix that is warm, without a wineserver, and a container, by turns.
func TestSpeed(t *testing.T) {
	if *rounds == 0 {
		t.Skip("only by hand: go test ./tests/winebundle -run TestSpeed -v -args -speed 20")
	}
	r := newRig(t, "cmd", "/c", "ver")
	r.save()
	prefix := filepath.Join(r.dir, "prefix")
	plain := append(os.Environ(), "WINEPREFIX="+prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "DISPLAY=")
	made := exec.CommandContext(t.Context(), "wine", "wineboot", "-i")
	made.Env = plain
	r.must(made.Run())
	var times [2][]time.Duration
	for range *rounds + 1 { // the first fills caches
		times[0] = append(times[0], first(t, plain, "wine", "cmd", "/c", "ver"))
		down := exec.CommandContext(t.Context(), "wineserver", "-w")
		down.Env = plain
		_ = down.Run() // there may be none any more
		times[1] = append(times[1], first(t, os.Environ(), program, "--root", r.Root, "--log", filepath.Join(r.dir, "log"), "run", "--bundle", r.dir, r.id))
	}
	a, b := median(times[0][1:]), median(times[1][1:])
	t.Logf("plain Wine %v, container %v: %.2f", a, b, float64(b)/float64(a))
	if float64(b) > most*float64(a) {
		t.Errorf("more than %.2f", most)
	}
}

// TestSpeedInVM is the time to first output in a utility VM; nothing is promised.
func TestSpeedInVM(t *testing.T) {
	if *rounds == 0 {
		t.Skip("only by hand: go test ./tests/winebundle -run TestSpeedInVM -v -args -speed 3")
	}
	r := newRig(t, "cmd", "/c", "ver")
	r.hyperv(boot.Build(t).Image)
	r.save()
	var times []time.Duration
	for range *rounds + 1 {
		times = append(times, first(t, os.Environ(), program, "--root", r.Root, "--log", filepath.Join(r.dir, "log"), "run", "--bundle", r.dir, r.id))
	}
	t.Logf("first %v, then %v", times[0], median(times[1:]))
}

// first is the time until a program prints a line that says something.
func first(t *testing.T, env []string, argv ...string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*container.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	took := time.Duration(0)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if took == 0 && strings.Contains(lines.Text(), "Windows") {
			took = time.Since(begin)
		}
	}
	if err := cmd.Wait(); err != nil || took == 0 {
		t.Fatalf("%q: %v after %v", argv, err, took)
	}
	return took
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2].Round(100 * time.Microsecond)
}
