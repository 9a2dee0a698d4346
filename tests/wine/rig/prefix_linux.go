package rig

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"wrun/tests/hcsemu/build"
)

// bootTime bounds the making of a prefix: 4 to 8 s on two idle cores.
const bootTime = 3 * time.Minute

// stopTime bounds the end of a prefix's processes.
const stopTime = 20 * time.Second

// Prefix is a Windows machine as Wine has it: a directory with drive C:, a
// registry and, while anything runs in it, a wineserver of its own.
type Prefix struct {
	Dir string // absolute
	Env []string
}

// Unix is where a path like C:\x lies on the Linux side.
func (p *Prefix) Unix(windows string) string {
	rest, ok := strings.CutPrefix(windows, `C:\`)
	if !ok {
		panic("rig: not on drive C: " + windows)
	}
	return filepath.Join(p.Dir, "drive_c", strings.ReplaceAll(rest, `\`, "/"))
}

// Windows is the other direction: what is not below drive C: is below Z:.
func (p *Prefix) Windows(unix string) string {
	c := filepath.Join(p.Dir, "drive_c")
	if rest, ok := strings.CutPrefix(unix, c+"/"); ok {
		return `C:\` + strings.ReplaceAll(rest, "/", `\`)
	}
	return `Z:` + strings.ReplaceAll(unix, "/", `\`)
}

// Environment is Wine's: quiet, in UTF-8 and UTC, without asking for Mono and
// Gecko and without writing menus into the user's home.
func (p *Prefix) Environment() []string {
	return append(os.Environ(), append([]string{
		"WINEPREFIX=" + p.Dir, "WINEDEBUG=-all", "LC_ALL=C.UTF-8", "TZ=UTC", "DISPLAY=",
		"WINEDLLOVERRIDES=mscoree=;mshtml=;winemenubuilder.exe=",
	}, p.Env...)...)
}

// stop ends every process of the prefix, and only of it.
func (p *Prefix) stop() error {
	var err error
	// -k fails when there is no server any more, which is what is wanted; -w
	// waits for the end.
	for _, option := range []string{"-k", "-w"} {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		cmd := exec.CommandContext(ctx, "wineserver", option)
		cmd.Env = p.Environment()
		err = cmd.Run()
		if ctx.Err() != nil {
			err = fmt.Errorf("wineserver %s in %s did not end within %v", option, p.Dir, stopTime)
		}
		cancel()
	}
	return err
}

// register imports a file of registry settings.
func (p *Prefix) register(settings string) error {
	file := filepath.Join(p.Dir, "settings.reg")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return err
	}
	return p.tool(time.Minute, "wine", "regedit", "/S", p.Windows(file))
}

// tool runs a program of Wine itself to its end, quietly.
func (p *Prefix) tool(limit time.Duration, argv ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := os.CreateTemp("", "wrun-wine-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	argv = build.Fixed(argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.Environment(), out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, said)
	}
	return nil
}

// cache is where templates and the clones of living tests are: on one file
// system, because a clone is made of hard links.
func cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("wrun-cache-%d", os.Getuid()))
	}
	dir = filepath.Join(dir, "wrun-wine")
	return dir, os.MkdirAll(dir, 0o700)
}

// template answers a prefix that nothing ever runs in, and makes it if this is
// the first time for this version of Wine: 700 MB that stay in the user's cache.
func template() (string, error) {
	dir, err := cache()
	if err != nil {
		return "", err
	}
	version, err := exec.Command("wine", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("wine --version: %w", err)
	}
	settings := []string{onlyUTC(), Server2022.registry()}
	key := sha256.Sum256(append(version, strings.Join(settings, "")...))
	made := filepath.Join(dir, fmt.Sprintf("template-%x", key[:6]))
	unlock, err := lock(made + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(made); err == nil {
		return made, nil
	}
	unfinished := &Prefix{Dir: made + ".new"}
	if err := os.RemoveAll(unfinished.Dir); err != nil {
		return "", err
	}
	err = unfinished.tool(bootTime, "wineboot", "-i")
	for _, s := range settings {
		if err == nil {
			err = unfinished.register(s)
		}
	}
	if err = errors.Join(err, unfinished.stop()); err != nil {
		return "", fmt.Errorf("make a Wine prefix: %w", err)
	}
	return made, os.Rename(unfinished.Dir, made)
}

// install puts a file into a prefix in place of the one that may be there.
func (p *Prefix) install(file, windows string) error {
	to := p.Unix(windows)
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Link(file, to); err == nil {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// lock waits for other test programs that make or remove the same. It ends with
// this process.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
