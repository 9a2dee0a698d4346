package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"wrun/libcontainer/uvm/image"
)

func TestParse(t *testing.T) {
	got, err := parse("Package: linux-image-cloud-amd64\nSource: linux (1)\nVersion: 1:6.1.192-2\nArchitecture: amd64\n" +
		"Depends: kmod, linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), a (>= 1) | b\nDescription: text\n more: of it\nSHA256: 00be\n\nPackage: another\n")
	want := deb{
		Name: "linux-image-cloud-amd64", Version: "1:6.1.192-2", Arch: "amd64", SHA256: "00be",
		Depends: []string{"kmod", "linux-image-6.1.0-56-cloud-amd64", "a"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got.file() != "linux-image-cloud-amd64_1%3a6.1.192-2_amd64.deb" {
		t.Errorf("its file is %s", got.file())
	}
	for _, bad := range []string{"", "Package: a\n", "Package: ../a\nVersion: 1\nArchitecture: amd64\n"} {
		if got, err := parse(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

func TestKernelOf(t *testing.T) {
	for _, tt := range []struct {
		name, depends, want string
	}{
		{"linux-image-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"},
		{"linux-image-6.1.0-56-cloud-amd64", "kmod linux-base", "linux-image-6.1.0-56-cloud-amd64"},
		{"linux-image-generic", "linux-firmware linux-image-5.15.0-1-generic", "linux-image-5.15.0-1-generic"},
		{"linux-image-amd64-dbg", "linux-image-", ""},
		{"bash", "libc6", ""},
	} {
		got, ok := kernelOf(deb{Name: tt.name, Depends: strings.Fields(tt.depends)})
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, ok, tt.want)
		}
	}
}

// debian puts programs into PATH that answer as Debian's do, for a metapackage
// and its kernel, and note their calls in the file of that name. State is in
// files, so that a test can change it: known (apt's lists have the packages),
// network (there is one).
func debian(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, script := range map[string]string{
		"apt-cache": `
			[ -e $STATE/known ] || { echo 'E: No packages found' >&2; exit 100; }
			case "$4" in
			linux-image-test) echo Package: linux-image-test; echo 'Depends: linux-image-6.1.0-1-test (= 6.1-1)';;
			linux-image-6.1.0-1-test) echo Package: linux-image-6.1.0-1-test; echo SHA256: $(echo deb | sha256sum | cut -d ' ' -f 1);;
			*) exit 100;;
			esac
			echo Version: 6.1-1; echo Architecture: amd64`,
		"apt-get": `
			[ -e $STATE/network ] || { echo 'E: no network' >&2; exit 100; }
			case "$2" in
			update) : >$STATE/known;;
			download) echo deb >linux-image-6.1.0-1-test_6.1-1_amd64.deb;;
			esac`,
		"dpkg-deb": `
			case "$1" in
			-x) cat $2 >$3/contents;;
			-f) echo Package: linux-image-6.1.0-1-test; echo Version: 6.1-1; echo Architecture: amd64;;
			esac`,
	} {
		text := "#!/bin/sh\necho " + name + " \"$@\" >>$STATE/calls\n" + script
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("STATE", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir())
	return dir
}

func touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// networkCalls are the calls of apt-get since the last question.
func networkCalls(t *testing.T, state string) (calls []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(state, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if line, ok := strings.CutPrefix(strings.TrimSpace(line), "apt-get -qq "); ok {
			calls = append(calls, line)
		}
	}
	if err := os.Truncate(filepath.Join(state, "calls"), 0); err != nil {
		t.Fatal(err)
	}
	return calls
}

func checkUnpacked(t *testing.T, o options) {
	t.Helper()
	dir, pkg, err := unpacked(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	contents, err := os.ReadFile(filepath.Join(dir, "contents"))
	if string(contents) != "deb\n" || err != nil || pkg.Name != "linux-image-6.1.0-1-test" || pkg.Version != "6.1-1" {
		t.Errorf("got %q, %v of %+v", contents, err, pkg)
	}
}

func TestUnpacked(t *testing.T) {
	state := debian(t)
	o := options{cache: t.TempDir(), pkg: "linux-image-test"}
	file := filepath.Join(o.cache, "linux-image-6.1.0-1-test_6.1-1_amd64.deb")
	known, network := filepath.Join(state, "known"), filepath.Join(state, "network")
	const download = "download linux-image-6.1.0-1-test=6.1-1"
	step := func(what string, calls ...string) {
		t.Helper()
		checkUnpacked(t, o)
		if got := networkCalls(t, state); !reflect.DeepEqual(got, calls) {
			t.Errorf("%s: apt-get was called for %q, want %q", what, got, calls)
		}
	}
	if dir, _, err := unpacked(t.Context(), o); err == nil || !strings.Contains(err.Error(), "as root, with a network") || !strings.HasSuffix(err.Error(), "E: no network") {
		t.Errorf("nothing known, no network, nothing cached: %q, %v", dir, err)
	}
	networkCalls(t, state)
	touch(t, network)
	step("nothing known, nothing cached", "update", download)
	step("known and cached")
	if err := os.Remove(network); err != nil {
		t.Fatal(err)
	}
	step("known and cached, no network")
	if err := os.Remove(known); err != nil {
		t.Fatal(err)
	}
	step("cached, nothing known, no network", "update")
	touch(t, known)
	touch(t, network)
	touch(t, file) // half a package
	step("damaged in the cache", download)

	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	kept, err := os.ReadDir(o.cache)
	if err != nil || len(kept) != 3 { // the package, the link to it, the lock
		t.Errorf("kept: %v, %v", kept, err)
	}
}

func TestUnpackedTogether(t *testing.T) {
	state := debian(t)
	touch(t, filepath.Join(state, "network"))
	o := options{cache: t.TempDir(), pkg: "linux-image-test"}
	var runs sync.WaitGroup
	for range 4 {
		runs.Go(func() {
			dir, _, err := unpacked(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			os.RemoveAll(dir)
		})
	}
	runs.Wait()
	if got := networkCalls(t, state); len(got) != 2 {
		t.Errorf("four runs together called apt-get for %q", got)
	}
}

func TestUnpackedRefuses(t *testing.T) {
	state := debian(t)
	touch(t, filepath.Join(state, "network"))
	o := options{cache: t.TempDir(), pkg: "no-such"}
	if _, _, err := unpacked(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is no-such a package of this distribution?") {
		t.Errorf("unknown package: %v", err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	networkCalls(t, state)
	if _, _, err := unpacked(interrupted, o); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := unpacked(t.Context(), o); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "give a kernel with -kernel") {
		t.Errorf("no Debian: %v", err)
	}
}

func TestLockEnds(t *testing.T) {
	cache := t.TempDir()
	unlock, err := lock(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, cache); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted while another run has the cache: %v", err)
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin", "uvm")
	want := image.Manifest{Release: "6.1", Modules: []string{"virtio"}, BuiltIn: []string{}, Missing: []string{"pvpanic"}}
	for _, kernel := range []string{"first", "2nd"} {
		if err := write(dir, &image.Result{Kernel: []byte(kernel), Initrd: []byte("cpio"), Manifest: want}); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"kernel": kernel, "initrd": "cpio"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want || err != nil {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got image.Manifest
	if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, %v", data, err)
	}
	if left, err := os.ReadDir(dir); len(left) != 3 || err != nil {
		t.Errorf("the directory has %v, %v", left, err)
	}
}

func TestRunRefuses(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("on other machines the command refuses everything, for one reason")
	}
	for _, tt := range []struct {
		o    options
		args []string
		want string
	}{
		{options{}, []string{"all"}, `unexpected argument "all"`},
		{options{modules: "m"}, nil, "-modules needs -kernel"},
		{options{init: "/nowhere/agent"}, nil, "reading the agent, which becomes /init (make uvm builds it"},
		{options{init: os.Args[0], kernel: "/nowhere/bzImage"}, nil, "reading the kernel: open /nowhere/bzImage"},
	} {
		if err := run(t.Context(), tt.o, tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.o, err, tt.want)
		}
	}
}
