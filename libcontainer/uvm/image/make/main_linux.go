// Command make makes what a utility VM boots: kernel, initrd and
// manifest.json. The kernel is Debian's for clouds, taken out of its package,
// which is never installed; packages stay in a cache, so that only the first
// run needs a network.
//
//	go run ./libcontainer/uvm/image/make -init bin/agent
//	go run ./libcontainer/uvm/image/make -init bin/agent -kernel vmlinux -modules lib/modules/6.1.0
//
// It owns where things come from and go to; package image knows what they are.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"wrun/libcontainer/uvm/image"
)

type options struct {
	out     string
	init    string
	cache   string
	pkg     string
	kernel  string
	modules string
	add     string
}

func main() {
	var o options
	flag.StringVar(&o.out, "o", "bin/uvm", "the `directory` to write kernel, initrd and manifest.json to")
	flag.StringVar(&o.init, "init", "bin/agent", "the static `program` that becomes /init: wrun's agent")
	flag.StringVar(&o.cache, "cache", "", "the `directory` to keep packages in (default $XDG_CACHE_HOME/wrun-uvm or ~/.cache/wrun-uvm)")
	flag.StringVar(&o.pkg, "package", "linux-image-cloud-amd64", "the Debian `package` of the kernel, or one that depends on it")
	flag.StringVar(&o.kernel, "kernel", "", "a kernel `file` (bzImage or vmlinux) to use instead of a package's")
	flag.StringVar(&o.modules, "modules", "", "with -kernel: its modules, the `directory` lib/modules/RELEASE; without, the kernel must have all it needs built in")
	flag.StringVar(&o.add, "add", "", "more `modules` to load, comma separated: for an init of one's own")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "making the utility VM's image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, args []string) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("unexpected argument %q (-h lists the flags)", args[0])
	case runtime.GOARCH != "amd64":
		return fmt.Errorf("utility VMs exist for amd64 only, this is %s (build wrun without them)", runtime.GOARCH)
	case o.modules != "" && o.kernel == "":
		return errors.New("-modules needs -kernel, the kernel that they are for")
	}
	in := image.Input{Wanted: image.Wanted(), Optional: image.Optional()}
	if o.add != "" {
		in.Wanted = append(in.Wanted, strings.Split(o.add, ",")...)
	}
	var err error
	if in.Init, err = os.ReadFile(o.init); err != nil {
		return fmt.Errorf("reading the agent, which becomes /init (make uvm builds it, or name it with -init): %w", err)
	}
	if o.kernel != "" {
		if in.Kernel, err = os.ReadFile(o.kernel); err != nil {
			return fmt.Errorf("reading the kernel: %w", err)
		}
		if o.modules != "" {
			in.Modules = os.DirFS(o.modules)
		}
	} else {
		dir, pkg, err := unpacked(ctx, o)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		in.Package, in.PackageVersion = pkg.Name, pkg.Version
		if in.Kernel, in.Modules, err = image.FromPackage(os.DirFS(dir)); err != nil {
			return fmt.Errorf("package %s: %w", pkg.Name, err)
		}
	}
	result, err := image.Build(in)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return write(o.out, result)
}

// write puts the files in place one by one, each whole or not at all. The
// manifest comes last: its sums fit only a complete set.
func write(dir string, result *image.Result) error {
	manifest, err := json.MarshalIndent(result.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of the image: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"kernel", result.Kernel},
		{"initrd", result.Initrd},
		{"manifest.json", append(manifest, '\n')},
	} {
		name := filepath.Join(dir, f.name)
		if err := replace(name, f.data); err != nil {
			return fmt.Errorf("writing the image: %w", err)
		}
		fmt.Printf("%s %d bytes\n", name, len(f.data))
	}
	m := result.Manifest
	fmt.Printf("kernel %s, %d modules %s\n", m.Release, len(m.Modules), strings.Join(m.Modules, " "))
	if len(m.Missing) > 0 {
		fmt.Printf("the kernel lacks %s: utility VMs work without, but tell less about crashes or keep freed memory\n", strings.Join(m.Missing, " "))
	}
	return nil
}

// replace writes a file under another name and renames it.
func replace(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// cacheDir is where packages are kept.
func cacheDir(o options) (string, error) {
	dir := o.cache
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding the cache (name one with -cache): %w", err)
		}
		dir = filepath.Join(base, "wrun-uvm")
	}
	// apt-get runs in a directory below.
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("making the cache (name another with -cache): %w", err)
	}
	return dir, nil
}
