package wine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// CacheVariable is an environment variable that moves the templates.
const CacheVariable = "WRUN_WINE_CACHE"

// templateTime bounds the making of a template: 4 to 8 s on two idle cores.
const templateTime = 90 * time.Second

// template is a Windows that never ran: what all containers of one version of Wine
// share, read-only. Its directory has
//
//	root      mount points, users and groups: the Linux around Wine
//	drive_c   drive C:, the lowest layer of every container
//	registry  the registry of a container that was never started
type template struct {
	Dir     string `json:"-"`
	Wine    Wine   `json:"wine"`
	Runtime []Bind `json:"runtime"`
}

const templateFile = "template.json"

func (t *template) drive() string    { return filepath.Join(t.Dir, "drive_c") }
func (t *template) root() string     { return filepath.Join(t.Dir, "root") }
func (t *template) registry() string { return filepath.Join(t.Dir, "registry") }

func cacheDir() string {
	if dir := os.Getenv(CacheVariable); dir != "" {
		return dir
	}
	return "/var/lib/wrun/wine"
}

// mostTasks bounds what a Wine that gets nowhere can start; some 60 are needed.
const mostTasks = 256

// layout numbers what this package makes of Wine's prefix.
const layout = 5

// key names a template after all that shapes it.
func key(w *installation, tools string) (string, error) {
	text, err := identity(w.loader, filepath.Join(w.unix, "ntdll.so"), w.inf)
	if err != nil {
		return "", err
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\n%s", layout, text)
	for _, name := range programs {
		data, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return "", err
		}
		if name != "session" { // not part of it
			h.Write(data)
		}
	}
	return fmt.Sprintf("%016x", h.Sum64()), nil
}

// openTemplate is the template that is there; nil if none is.
func openTemplate(dir string) (*template, error) {
	data, err := os.ReadFile(filepath.Join(dir, templateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &template{Dir: dir}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, templateFile), err)
	}
	for _, b := range t.Runtime {
		if !exists(b.Source) {
			return nil, nil // a library of another version has come in its place
		}
	}
	return t, nil
}

// maker makes templates, in silos of silo.
type maker struct {
	silo   libcontainer.Host
	config *libcontainer.Config // of the container that wants one
	// record announces the handle of the silo that the template is made in.
	record func(libcontainer.Handle) error
}

// template returns the template for this machine's Wine, and makes it if this is
// the first time.
func (m *maker) template(ctx context.Context, w *installation, tools string) (*template, error) {
	name, err := key(w, tools)
	if err != nil {
		return nil, fmt.Errorf("name the template of drive C:: %w", err)
	}
	cache := cacheDir()
	dir := filepath.Join(cache, name)
	if t, err := openTemplate(dir); t != nil || err != nil {
		return t, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of templates (%s moves it): %w", CacheVariable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, templateTime)
	defer cancel()
	unlock, err := lockFile(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return nil, fmt.Errorf("wait for whoever makes the template of drive C:: %w", err)
	}
	defer unlock()
	if t, err := openTemplate(dir); t != nil || err != nil { // somebody was faster
		return t, err
	}
	m.config.Warn("the first Windows container with this Wine: making its drive C: and registry in %s, some seconds, once", cache)
	begin := time.Now()
	t, err := m.make(ctx, w, tools, dir)
	if err != nil {
		return nil, fmt.Errorf("make the template of drive C:: %w", err)
	}
	m.config.Warn("made in %.1f s", time.Since(begin).Seconds())
	return t, nil
}

// lockFile waits for an exclusive lock, which ends with this process.
func lockFile(ctx context.Context, name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// flock waits for a file's exclusive lock.
func flock(ctx context.Context, f *os.File) error {
	done := make(chan error, 1)
	go func() { done <- unix.Flock(int(f.Fd()), unix.LOCK_EX) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err() // the waiting thread ends with the process
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// make builds a template beside its place and moves it there when it is whole.
func (m *maker) make(ctx context.Context, w *installation, tools, dir string) (*template, error) {
	building := dir + ".new"
	for _, d := range []string{building, dir} { // what somebody who was killed left; what fits no longer
		if err := os.RemoveAll(d); err != nil {
			return nil, err
		}
	}
	t := &template{Dir: building, Wine: Wine{w.loader, w.server}}
	var err error
	if t.Runtime, err = w.runtime(ctx); err != nil {
		return nil, err
	}
	prefix, state := filepath.Join(building, "prefix"), filepath.Join(building, "state")
	for _, d := range []string{building, t.registry(), prefix, state, filepath.Join(prefix, "drive_c")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := t.skeleton(); err != nil {
		return nil, err
	}
	if err := dosDevices(prefix); err != nil {
		return nil, err
	}
	user := edit(empty(`\\User\\S-1-5-21-0-0-0-1000`), ownSettings())
	if err := os.WriteFile(filepath.Join(prefix, "user.reg"), user, 0o644); err != nil {
		return nil, err
	}
	if err := giveAway(prefix, Administrator); err != nil {
		return nil, err
	}
	if err := m.boot(ctx, t, tools, prefix, state); err != nil {
		return nil, err
	}
	if err := t.take(prefix, tools); err != nil {
		return nil, err
	}
	for _, d := range []string{prefix, state} {
		if err := os.RemoveAll(d); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(building, templateFile), data, 0o644); err != nil {
		return nil, err
	}
	t.Dir = dir
	return t, os.Rename(building, dir)
}

// skeleton makes the Linux around Wine: nothing but places, and the names of the
// two accounts.
func (t *template) skeleton() error {
	root := t.root()
	dirs := []string{"proc", "dev", "sys", "tmp", "etc/fonts", toolsDir, prefixDir, pipesDir}
	files := []string{"etc/hosts", "etc/resolv.conf"}
	for _, b := range t.Runtime {
		if st, err := os.Stat(b.Source); err != nil {
			return err
		} else if st.IsDir() {
			dirs = append(dirs, b.At)
		} else {
			files = append(files, b.At)
		}
	}
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	for i := range mostPipes { // places for the host's sockets
		files = append(files, filepath.Join(pipesDir, fmt.Sprint(i)))
	}
	for _, f := range files {
		f = filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			return err
		}
	}
	for _, link := range []string{"lib", "lib64"} { // as on the host, where libraries ask for them
		to, err := os.Readlink("/" + link)
		if err == nil {
			err = os.Symlink(to, filepath.Join(root, link))
		}
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	passwd, group := "root:x:0:0::/nonexistent:/nonexistent\n", "root:x:0:\ntty:x:5:\n"
	for _, u := range []User{Administrator, Ordinary} {
		passwd += fmt.Sprintf("%s:x:%d:%d::/nonexistent:/nonexistent\n", u.Name, u.ID, u.ID)
		group += fmt.Sprintf("%s:x:%d:\n", u.Name, u.ID)
	}
	for name, text := range map[string]string{"passwd": passwd, "group": group, "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"fonts/fonts.conf": "<?xml version=\"1.0\"?>\n<fontconfig><cachedir>/tmp/fontconfig</cachedir></fontconfig>\n"} { // Wine brings its own fonts
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// boot has Wine make a prefix, in a silo without network, as an ordinary user:
// its first program in an empty one waits until it is there.
func (m *maker) boot(ctx context.Context, t *template, tools, prefix, state string) error {
	spec := &specs.Spec{Version: specs.Version, Root: &specs.Root{Path: t.root(), Readonly: true}, Hostname: "wine", Linux: confinement("")}
	w := &Wants{User: Administrator}
	site := &Site{Root: t.root(), Wine: t.Wine, Runtime: t.Runtime, Tools: tools, Prefix: prefix, Mounted: filepath.Join(prefix, "drive_c")}
	spec.Mounts = site.mounts(w)
	most := int64(mostTasks)
	spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &most}}
	var err error
	spec.Process, err = Process(&specs.Process{Cwd: `C:\windows`, CommandLine: "cmd.exe /c exit 0"}, w.User, t.Wine, "run", statusPath, "template")
	if err != nil {
		return err
	}
	spec.Process.Capabilities = &specs.LinuxCapabilities{}
	out, err := os.Create(filepath.Join(state, "output"))
	if err != nil {
		return err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	c := &libcontainer.Config{ID: filepath.Base(t.Dir), Dir: state, Bundle: state, Spec: spec, Warn: m.config.Warn, Private: m.config.Private,
		Isolation: libcontainer.Isolation{Kind: libcontainer.Silo, OS: "linux", Host: "linux"}, Record: m.record}
	system, err := m.silo.Create(ctx, c, libcontainer.Stdio{In: null, Out: out, Err: out})
	if err != nil {
		return err
	}
	code, err := 0, system.Start(ctx)
	if err == nil {
		code, err = system.Wait(ctx)
	}
	if err == nil && code != 0 {
		said, _ := os.ReadFile(out.Name())
		err = fmt.Errorf("Wine ended with %d: %s", code, bytes.TrimSpace(said))
	}
	return errors.Join(err, system.Close(context.WithoutCancel(ctx)))
}

// take makes the template's drive and registry of a prefix.
func (t *template) take(prefix, tools string) error {
	if err := os.Rename(filepath.Join(prefix, "drive_c"), t.drive()); err != nil {
		return err
	}
	system := filepath.Join(t.drive(), "windows", "system32")
	dll, err := os.ReadFile(filepath.Join(tools, "bcryptprimitives.dll"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(system, "bcryptprimitives.dll"), dll, 0o755); err != nil {
		return err
	}
	for _, name := range registryFiles {
		data, err := os.ReadFile(filepath.Join(prefix, name))
		if err != nil {
			return fmt.Errorf("Wine made no whole prefix: %w", err)
		}
		switch name {
		case "user.reg":
			if !bytes.Contains(data, []byte(profileOf(Administrator))) {
				return errors.New("the registry that Wine made does not know " + Administrator.Name)
			}
		case "system.reg":
			// Where a library is missing the making of a prefix goes on without what
			// needed it. These come last.
			for _, service := range []string{"MountMgr", "nsiproxy", "RpcSs"} {
				if at, _ := section(data, `System\CurrentControlSet\Services\`+service); at < 0 {
					return errors.New("Wine made no whole prefix: its registry has no service " + service)
				}
			}
			data = edit(data, defaultVersion.values())
			data = edit(data, settings())
		}
		if err := os.WriteFile(filepath.Join(t.registry(), name), data, 0o644); err != nil {
			return err
		}
	}
	return t.profiles()
}

// profiles gives the second account a folder like the first one's, and everybody a
// place for what is nobody's.
func (t *template) profiles() error {
	users := filepath.Join(t.drive(), "users")
	from, to := filepath.Join(users, Administrator.Name), filepath.Join(users, Ordinary.Name)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s is a link, and might lead to the host", path)
		}
		if !d.IsDir() {
			return nil
		}
		return os.Mkdir(to+strings.TrimPrefix(path, from), 0o755)
	})
	if err == nil {
		err = giveAway(to, Ordinary)
	}
	for _, d := range []string{"windows/temp", "ProgramData"} {
		if err == nil {
			err = os.MkdirAll(filepath.Join(t.drive(), d), 0o755)
		}
		if err == nil {
			err = os.Chmod(filepath.Join(t.drive(), d), 0o777|fs.ModeSticky)
		}
	}
	return err
}

// registryFiles are those of a prefix.
var registryFiles = []string{"system.reg", "user.reg", "userdef.reg", ".update-timestamp"}

// dosDevices has a prefix know drive C: and no other: Z: would be all of Linux.
func dosDevices(prefix string) error {
	dir := filepath.Join(prefix, "dosdevices")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Symlink("../drive_c", filepath.Join(dir, "c:"))
}

// giveAway makes a user the owner of a tree.
func giveAway(dir string, u User) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(u.ID), int(u.ID))
	})
}
