// Package build makes what the emulated HCS is of, for whoever runs tests on
// it: the DLLs (C, by mingw), hcsemu.exe and box, and a Wine prefix with all of
// them installed. It runs on Linux and knows the files, not what they do.
package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// compiler is Debian's gcc-mingw-w64-x86-64-win32.
const compiler = "x86_64-w64-mingw32-gcc"

// Programs are the names under which box is installed.
func Programs() []string {
	return []string{"sh", "sleep", "cat", "echo", "true", "false", "env", "pwd"}
}

// library is a DLL and its sources, from dll/.
type library struct {
	name    string
	sources []string
	link    []string
}

func libraries() []library {
	return []library{
		{"computecore.dll", []string{"computecore.c", "operation.c", "wire.c"}, nil},
		{"vmcompute.dll", []string{"vmcompute.c", "layers.c", "wire.c"}, nil},
		{"computenetwork.dll", []string{"computenetwork.c", "wire.c"}, []string{"-lole32"}},
		{"bcryptprimitives.dll", []string{"../../../libcontainer/wine/windows/bcryptprimitives.c"}, []string{"-ladvapi32", "-lntdll"}},
	}
}

// Missing says which programs of Debian the machine lacks, "" for none.
func Missing() string {
	var lacks []string
	for program, of := range map[string]string{compiler: "gcc-mingw-w64-x86-64-win32", "wine": "wine", "wineserver": "wine", "wineboot": "wine", "setarch": "util-linux"} {
		if _, err := exec.LookPath(program); err != nil {
			lacks = append(lacks, program+" (Debian: "+of+")")
		}
	}
	return strings.Join(lacks, ", ")
}

// source is the directory of tests/hcsemu.
func source() (string, error) {
	_, file, _, known := runtime.Caller(0)
	if !known {
		return "", errors.New("the sources of tests/hcsemu are not known")
	}
	return filepath.Dir(filepath.Dir(file)), nil
}

// All builds everything into dir: the four DLLs, hcsemu.exe with vmwp.exe
// beside it, and box.exe.
func All(dir string) error {
	from, err := source()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, l := range libraries() {
		args := []string{"-Wall", "-Wextra", "-Werror", "-O2", "-s", "-shared", "-o", filepath.Join(dir, l.name)}
		for _, s := range l.sources {
			args = append(args, filepath.Join(from, "dll", s))
		}
		if err := run(from, nil, append(append([]string{compiler}, args...), l.link...)...); err != nil {
			return fmt.Errorf("building %s: %w", l.name, err)
		}
	}
	windows := []string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}
	for exe, pkg := range map[string]string{"hcsemu.exe": "./service", "box.exe": "./box"} {
		if err := run(from, windows, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, exe), pkg); err != nil {
			return fmt.Errorf("building %s: %w", exe, err)
		}
	}
	return copyFile(filepath.Join(dir, "hcsemu.exe"), filepath.Join(dir, "vmwp.exe"))
}

// Prefix makes a Wine prefix with what All has built in dir installed, and
// with the version of Windows Server 2022; it takes 4 to 8 s.
func Prefix(dir, prefix string) error {
	if err := os.MkdirAll(filepath.Dir(prefix), 0o755); err != nil {
		return err
	}
	env := Env(prefix)
	if err := run("/", env, Fixed("wineboot", "-i")...); err != nil {
		return fmt.Errorf("making a Wine prefix: %w", err)
	}
	if err := run("/", env, "wineserver", "-w"); err != nil {
		return fmt.Errorf("waiting for the new prefix: %w", err)
	}
	if err := Install(dir, prefix); err != nil {
		return err
	}
	if err := Version(prefix, "20348"); err != nil {
		return err
	}
	return run("/", env, "wineserver", "-w")
}

// Install puts DLLs and box into a prefix. They must be in system32: Go loads
// its DLLs from nowhere else.
func Install(dir, prefix string) error {
	system := filepath.Join(prefix, "drive_c", "windows", "system32")
	for _, l := range libraries() {
		if err := copyFile(filepath.Join(dir, l.name), filepath.Join(system, l.name)); err != nil {
			return fmt.Errorf("installing %s: %w", l.name, err)
		}
	}
	for _, name := range Programs() {
		if err := copyFile(filepath.Join(dir, "box.exe"), filepath.Join(system, name+".exe")); err != nil {
			return fmt.Errorf("installing box as %s: %w", name, err)
		}
	}
	return nil
}

// Version has the prefix say that it is that build of Windows 10 Server, to
// programs started from now on.
func Version(prefix, number string) error {
	file, err := os.CreateTemp("", "version-*.reg")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	// With CurrentVersion 6.3, which Windows has, Wine would say 6.3.
	_, err = fmt.Fprintf(file, `REGEDIT4

[HKEY_LOCAL_MACHINE\Software\Microsoft\Windows NT\CurrentVersion]
"ProductName"="Windows Server 2022 Datacenter"
"CurrentVersion"="10.0"
"CurrentBuild"="%[1]s"
"CurrentBuildNumber"="%[1]s"
"CurrentMajorVersionNumber"=dword:0000000a
"CurrentMinorVersionNumber"=dword:00000000
"CSDVersion"=""
"InstallationType"="Server Core"
"EditionID"="ServerDatacenter"

[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Control\ProductOptions]
"ProductType"="ServerNT"

[HKEY_CURRENT_USER\Software\Wine]
"Version"=-
`, number)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := run("/", Env(prefix), Fixed("wine", "regedit", "/S", "Z:"+file.Name())...); err != nil {
		return fmt.Errorf("setting the version of Windows: %w", err)
	}
	return nil
}

// Clone makes a prefix of another by hard links, in some 50 ms. The registry is
// copied: Wine replaces its files only while they have one link, and otherwise
// writes into them, which all clones would see.
func Clone(template, prefix string) error {
	if err := run("/", nil, "cp", "-al", template, prefix); err != nil {
		return err
	}
	registry, err := filepath.Glob(filepath.Join(template, "*.reg"))
	if err != nil {
		return err
	}
	if len(registry) == 0 {
		return fmt.Errorf("cloning %s: there is no registry in it", template)
	}
	for _, file := range registry {
		if err := copyFile(file, filepath.Join(prefix, filepath.Base(file))); err != nil {
			return fmt.Errorf("cloning %s: %w", template, err)
		}
	}
	return nil
}

// Env is what wine is to be run with for a prefix, beside the process's own
// environment. A program that crashes ends, and waits for no debugger.
func Env(prefix string) []string {
	return []string{"WINEPREFIX=" + prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=;winedbg.exe=d"}
}

// copyFile copies, and replaces what is there, which may be in use or be a hard
// link of another prefix. It never links: Wine tells the programs of one file
// apart by nothing, and a list of processes would show the wrong names.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// Fixed is the command line of one of Wine's programs that it is to be started
// with. Debian's Wine has no preloader that keeps the page at 0x7ffe0000 for it:
// where the kernel puts the heap somewhere in the gigabyte behind wine64, once in
// some thousand starts that page is taken, and Wine ends without a word. All that
// is started from there on inherits this.
func Fixed(argv ...string) []string {
	return append([]string{"setarch", "--addr-no-randomize"}, argv...)
}

// run runs a program with its output in a file: what Wine starts inherits it,
// and a pipe would stay open as long as the last of them runs.
func run(dir string, env []string, argv ...string) error {
	out, err := os.CreateTemp("", "hcsemu-*.out")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, append(os.Environ(), env...), out, out
	if err := c.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, said)
	}
	return nil
}
