package wine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"wrun/libcontainer"
)

// installation is Wine on this machine.
type installation struct {
	loader string   // the program that is Wine: wine64
	server string   // wineserver
	trees  []string // directories that the container gets whole
	inf    string   // what prefixes are made of; its time marks the version
	unix   string   // directory of the Linux halves of Wine's libraries
}

// place is where an installation may be.
type place struct{ loader, server, libraries, data string }

// places are where Debian and Wine's own packages put it.
func winePlaces() []place {
	return []place{
		// wineserver is a script there, and nothing in a container could run it.
		{"/usr/lib/wine/wine64", "/usr/lib/wine/wineserver64", "/usr/lib/x86_64-linux-gnu/wine", "/usr/share/wine"},
		{"/opt/wine-stable/bin/wine64", "/opt/wine-stable/bin/wineserver", "/opt/wine-stable/lib64/wine", "/opt/wine-stable/share/wine"},
	}
}

// findWine is the first installation that is whole.
func findWine(places []place) (*installation, error) {
	for _, c := range places {
		w := &installation{loader: c.loader, server: c.server, inf: filepath.Join(c.data, "wine.inf"), unix: filepath.Join(c.libraries, "x86_64-unix"),
			trees: []string{filepath.Dir(c.loader), c.libraries, c.data}}
		whole := true
		for _, p := range []string{w.loader, w.server, w.inf, w.unix} {
			whole = whole && exists(p)
		}
		if whole {
			return w, nil
		}
	}
	return nil, libcontainer.WithHint(errors.New("Wine, which is the Windows of a container on Linux, is not on this machine"),
		"apt-get install --no-install-recommends wine wine64")
}

// programs are what wrun puts beside Wine; `make wine` builds them.
var programs = []string{"session", "launcher.exe", "bcryptprimitives.dll"}

// toolFolders are where they are looked for, in this order: beside the program, as
// make puts them, and where a package would.
func toolFolders() []string {
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "wine"))
	}
	return append(dirs, "/usr/lib/wrun/wine", "/usr/local/lib/wrun/wine")
}

func findTools(dirs []string) (string, error) {
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, programs[0])); err != nil {
			continue
		}
		for _, name := range programs {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				return "", libcontainer.WithHint(fmt.Errorf("what runs beside Wine is not whole: %w", err), "make wine builds it")
			}
		}
		return dir, nil
	}
	return "", libcontainer.WithHint(fmt.Errorf("no %s beside Wine in %s", strings.Join(programs, ", "), strings.Join(dirs, " or ")), "make wine builds them")
}

// runtime lists what of the host Wine needs in a container: its own trees, and of
// the libraries of the machine those that its loader would load.
func (w *installation) runtime(ctx context.Context) ([]Bind, error) {
	var binds []Bind
	for _, t := range w.trees {
		at, err := inPlace(t)
		if err != nil {
			return nil, err
		}
		binds = append(binds, Bind{Source: t, At: at})
	}
	files, err := w.modules()
	if err != nil {
		return nil, err
	}
	libc, err := needed(ctx, w.loader)
	if err != nil {
		return nil, err
	}
	byName, err := opened(libraryDir(libc))
	if err != nil {
		return nil, err
	}
	files = append(files, byName...)
	var all []string
	for _, file := range files {
		libraries, err := needed(ctx, file)
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			continue // a module that lacks a library would not be loaded on the host either
		}
		for _, l := range libraries {
			at, err := inPlace(l)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(all, at) && !w.contains(at) {
				all = append(all, at)
			}
		}
	}
	slices.Sort(all)
	for _, at := range all {
		source, err := filepath.EvalSymlinks(at)
		if err != nil {
			return nil, err
		}
		binds = append(binds, Bind{Source: source, At: at})
	}
	for _, file := range []string{
		"/etc/ssl/certs/ca-certificates.crt", // the authorities that Windows would have
		"/usr/lib/locale/C.utf8",             // UTF-8 for what Wine tells Linux
	} {
		if _, err := os.Stat(file); err == nil {
			binds = append(binds, Bind{Source: file, At: file})
		}
	}
	return binds, nil
}

// foreign are modules for what a container does not have: display, sound, printers,
// scanners, cameras and USB.
var foreign = []string{"winex11", "winealsa", "winepulse", "wineoss", "winecoreaudio", "winegstreamer", "winevulkan", "opengl32", "wineps",
	"winebus", "wineusb", "gphoto2", "sane", "winspool", "localspl", "capi2032", "qcap", "opencl", "winexinput", "hidclass", "dsound", "ctapi32", "winscard"}

// modules are Wine's programs and the Linux halves of its libraries.
func (w *installation) modules() ([]string, error) {
	entries, err := os.ReadDir(w.unix)
	if err != nil {
		return nil, fmt.Errorf("look for Wine's libraries: %w", err)
	}
	files := []string{w.loader, w.server}
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		if strings.HasSuffix(e.Name(), ".so") && !slices.Contains(foreign, name) {
			files = append(files, filepath.Join(w.unix, e.Name()))
		}
	}
	return files, nil
}

// opened are the libraries that Wine's modules open by name. Without those of fonts
// no program gets a desktop: Wine then starts its explorer.exe again and again.
func opened(dir string) ([]string, error) {
	var files []string
	for _, l := range []struct {
		name, debian string // with a package, it must be there
	}{{"libfreetype.so.6", "libfreetype6"}, {"libfontconfig.so.1", "libfontconfig1"},
		{"libgcc_s.so.1", "libgcc-s1"}, // a thread that ends unwinds its stack
		{"libgnutls.so.30", ""}, {"libnss_files.so.2", ""},
		{"libnss_dns.so.2", ""}, {"libresolv.so.2", ""}} {
		file := filepath.Join(dir, l.name)
		switch {
		case exists(file):
			files = append(files, file)
		case l.debian != "":
			return nil, libcontainer.WithHint(fmt.Errorf("Wine needs %s, which is not in %s", l.name, dir), "apt-get install "+l.debian)
		}
	}
	return files, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// libraryDir is the directory that the machine's C library is in.
func libraryDir(libraries []string) string {
	for _, l := range libraries {
		if strings.HasPrefix(filepath.Base(l), "libc.so.") {
			return filepath.Dir(l)
		}
	}
	return "/usr/lib"
}

// needed asks the machine's own loader which libraries a file would get (ld.so(8),
// LD_TRACE_LOADED_OBJECTS). Nothing of the file is executed.
func needed(ctx context.Context, file string) ([]string, error) {
	const loader = "/lib64/ld-linux-x86-64.so.2"
	out, err := exec.CommandContext(ctx, loader, "--list", file).Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for the libraries of %s: %w", loader, file, err)
	}
	libraries := []string{loader, file}
	for line := range strings.Lines(string(out)) {
		// "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)"
		if _, found, ok := strings.Cut(line, "=> /"); ok {
			path, _, _ := strings.Cut(found, " (")
			libraries = append(libraries, "/"+path)
		}
	}
	return libraries, nil
}

// contains says that a path is within Wine's own trees.
func (w *installation) contains(path string) bool {
	return slices.ContainsFunc(w.trees, func(t string) bool { return path == t || strings.HasPrefix(path, t+"/") })
}

// inPlace is path with the links of its directories resolved: /lib is a link to
// /usr/lib on most machines. Its own name stays, for a library is asked for by it.
func inPlace(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// identity is what tells one version of a file from another.
func identity(files ...string) (string, error) {
	var b strings.Builder
	for _, f := range files {
		st, err := os.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(&b, "%s absent\n", f)
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s %d %d\n", f, st.Size(), st.ModTime().UnixNano())
	}
	return b.String(), nil
}
