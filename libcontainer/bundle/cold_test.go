package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A runtime reads one config.json in its life, so only the first call counts:
// it pays for page faults and for whatever is built lazily. Each measurement is
// a process of its own, this test binary started again with these variables.
const (
	coldVar    = "WRUN_TEST_COLD"     // "bundle" or "standard"
	coldDirVar = "WRUN_TEST_COLD_DIR" // the bundle
)

func TestMain(m *testing.M) {
	if how := os.Getenv(coldVar); how != "" {
		took, err := readOnce(how, os.Getenv(coldDirVar))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(took.Nanoseconds())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// readOnce is Load and Check, or the same file by os.ReadFile and encoding/json
// without any check.
func readOnce(how, dir string) (time.Duration, error) {
	start := time.Now()
	if how == "standard" {
		data, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			return 0, err
		}
		err = json.Unmarshal(data, new(specs.Spec))
		return time.Since(start), err
	}
	b, err := Load(dir)
	if err != nil {
		return 0, err
	}
	err = b.Check(Target{OS: "linux"})
	return time.Since(start), err
}

// coldTimes alternates both ways and returns them sorted.
func coldTimes(t testing.TB, dir string, runs int) (ours, standard []time.Duration) {
	t.Helper()
	for range runs {
		for _, how := range []string{"bundle", "standard"} {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), coldVar+"="+how, coldDirVar+"="+dir)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var ns int64
			if _, err := fmt.Sscan(string(out), &ns); err != nil {
				t.Fatal(err)
			}
			if how == "bundle" {
				ours = append(ours, time.Duration(ns))
			} else {
				standard = append(standard, time.Duration(ns))
			}
		}
	}
	slices.Sort(ours)
	slices.Sort(standard)
	return ours, standard
}

// The generated decoder is there for one reason only; without it this fails.
func TestColdReadIsCheap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the figure is promised for Linux")
	}
	for _, name := range []string{"runc-spec", "docker"} {
		ours, standard := coldTimes(t, lay(t, filepath.Join(corpus, "good", name+".json")), 30)
		mid := len(ours) / 2
		t.Logf("%s, cold: read and check %v (median %v), encoding/json alone %v (median %v)", name, ours[0], ours[mid], standard[0], standard[mid])
		if ours[0]*2 > standard[0] {
			t.Errorf("%s: reading and checking takes %v, more than half of encoding/json's %v", name, ours[0], standard[0])
		}
	}
}
