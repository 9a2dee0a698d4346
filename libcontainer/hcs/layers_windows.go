package hcs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/Microsoft/hcsshim"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
	"wrun/libcontainer/hcsdoc"
	"wrun/libcontainer/winver"
)

// This file owns the container's file system on the host: which layers there
// are, and for a silo the mounting of its scratch layer where the bundle
// brought no mounted root.

// driver addresses a layer by the folder it lies in and its name there.
func driver(folder string) (hcsshim.DriverInfo, string) {
	const filter = 1 // the Windows filter driver's flavour
	return hcsshim.DriverInfo{Flavour: filter, HomeDir: filepath.Dir(folder)}, filepath.Base(folder)
}

// layers splits windows.layerFolders: "ordered from the topmost layer to base
// layer with the last entry being the scratch" (config-windows.md).
func (b *birth) layers() error {
	if b.config.Spec.Windows == nil {
		return errors.New("windows: is missing; a Linux bundle on Windows names its utility VM and its layers there")
	}
	folders := b.config.Spec.Windows.LayerFolders
	last := len(folders) - 1
	if last < 1 {
		return libcontainer.WithHint(errors.New("windows.layerFolders: a container needs a base layer and a scratch folder"),
			"list the image's folders from topmost to base, the scratch folder last")
	}
	for _, f := range folders[:last] {
		if _, err := os.Stat(f); err != nil {
			return fmt.Errorf("windows.layerFolders: %w", err)
		}
		g, err := hcsshim.NameToGuid(filepath.Base(f))
		if err != nil {
			return fmt.Errorf("naming layer %s: %w", f, asError("NameToGuid", f, err))
		}
		b.in.Layers = append(b.in.Layers, hcsdoc.Layer{ID: g.ToString(), Path: f})
	}
	b.in.Scratch = folders[last]
	if b.h.OS == "linux" {
		return b.linuxBoot()
	}
	if b.config.Isolation.Kind == libcontainer.UVM {
		return b.findUtilityVM()
	}
	return nil
}

// linuxBoot is the folder with the kernel of a Linux utility VM.
func (b *birth) linuxBoot() error {
	if h := b.config.Spec.Windows.HyperV; h != nil && h.UtilityVMPath != "" {
		b.in.UtilityVM = h.UtilityVMPath
		return nil
	}
	b.in.UtilityVM = filepath.Join(os.Getenv("ProgramFiles"), "Linux Containers")
	if _, err := os.Stat(b.in.UtilityVM); err != nil {
		return libcontainer.WithHint(fmt.Errorf("looking for the utility VM's kernel: %w", err), "set windows.hyperv.utilityVMPath")
	}
	return nil
}

// findUtilityVM: "If utilityVMPath is not specified, the runtime MUST search
// the layers from the bottom-most upwards" (config-windows.md, "Hyper-V").
func (b *birth) findUtilityVM() error {
	candidates := hcsdoc.UtilityVMCandidates(b.config.Spec)
	for _, dir := range candidates {
		st, err := os.Stat(dir)
		if err == nil && st.IsDir() {
			b.in.UtilityVM = dir
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking for the utility VM: %w", err)
		}
	}
	return libcontainer.WithHint(fmt.Errorf("no image of a utility VM at %v", candidates),
		"use a base layer that has a UtilityVM folder, or set windows.hyperv.utilityVMPath")
}

// Version is this Windows.
func Version() winver.Host {
	v := windows.RtlGetVersion()
	const workstation = 1 // VER_NT_WORKSTATION
	h := winver.Host{Major: v.MajorVersion, Minor: v.MinorVersion, Build: uint16(v.BuildNumber), Server: v.ProductType != workstation}
	h.Revision = revision()
	return h
}

// revision is the update build revision, 0 where the registry does not tell it.
func revision() uint32 {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Windows NT\CurrentVersion`, registry.QUERY_VALUE)
	if err != nil {
		return 0
	}
	defer k.Close()
	n, _, err := k.GetIntegerValue("UBR")
	if err != nil {
		return 0
	}
	return uint32(n)
}

// checkVersion refuses an image that this machine cannot run in that isolation.
// An image that does not tell its version passes: the service will say.
func checkVersion(host winver.Host, layers []hcsdoc.Layer, hyperv bool) error {
	base := layers[len(layers)-1].Path
	// A root, so that no link in the layer leads out of it.
	root, err := os.OpenRoot(base)
	if err != nil {
		return fmt.Errorf("reading the version of base layer %s: %w", base, err)
	}
	defer root.Close()
	image, err := winver.ImageVersion(root.FS())
	if err != nil {
		return fmt.Errorf("reading the version of base layer %s: %w", base, err)
	}
	err = winver.Check(host, image, hyperv)
	var mismatch interface{ Hint() string }
	if errors.As(err, &mismatch) {
		return libcontainer.WithHint(err, mismatch.Hint())
	}
	return err
}

// storage mounts the scratch layer of a silo that brought no root.
func (b *birth) storage(ctx context.Context) error {
	if b.choice != hcsdoc.ChoiceSilo {
		return b.scratchDisk(ctx)
	}
	if b.broughtRoot() {
		b.in.Root = b.config.Spec.Root.Path
		return nil
	}
	if err := b.scratchDisk(ctx); err != nil {
		return err
	}
	if volume, _ := mounted(ctx, b.in.Scratch); volume != "" {
		// Taking our mount back would take it from whoever has it.
		err := fmt.Errorf("windows.layerFolders: the scratch %s is mounted already, at %s", b.in.Scratch, volume)
		return libcontainer.WithHint(err, "each container needs a scratch folder of its own; delete the one that has this")
	}
	b.h.Disk = &storage{Scratch: b.in.Scratch}
	if err := b.record(); err != nil {
		return err
	}
	var err error
	b.in.Root, err = mount(ctx, b.in.Scratch, b.parents())
	return err
}

// mounted is the volume that the scratch layer is mounted at, "" where it is
// not. Of a layer that is not mounted, Windows may name the folder instead.
func mounted(ctx context.Context, scratch string) (volume string, err error) {
	info, id := driver(scratch)
	err = bounded(ctx, "GetLayerMountPath", scratch, func() (err error) {
		volume, err = hcsshim.GetLayerMountPath(info, id)
		return err
	})
	if err != nil || !isVolume(volume) {
		return "", err
	}
	return volume, nil
}

// isVolume tells a volume's path from a folder's.
func isVolume(path string) bool {
	const prefix = `\\?\Volume{`
	return len(path) > len(prefix) && strings.EqualFold(path[:len(prefix)], prefix)
}

func (b *birth) broughtRoot() bool {
	r := b.config.Spec.Root
	return r != nil && r.Path != ""
}

func (b *birth) parents() []string {
	paths := make([]string, 0, len(b.in.Layers))
	for _, l := range b.in.Layers {
		paths = append(paths, l.Path)
	}
	return paths
}

// scratchDisk makes the disk that the container writes to, where the engine
// made none, and gives it the size that the bundle asks for. It stays when the
// container goes: the scratch folder is its owner's.
func (b *birth) scratchDisk(ctx context.Context) error {
	if b.h.OS != "windows" {
		return nil
	}
	disk := filepath.Join(b.in.Scratch, "sandbox.vhdx")
	info, id := driver(b.in.Scratch)
	if _, err := os.Stat(disk); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(b.in.Scratch, 0o700); err != nil {
			return fmt.Errorf("making the scratch folder: %w", err)
		}
		err := bounded(ctx, "CreateSandboxLayer", b.in.Scratch, func() error {
			return hcsshim.CreateScratchLayer(info, id, "", b.parents())
		})
		if err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("looking for the scratch disk: %w", err)
	}
	size := hcsdoc.SandboxSize(b.config.Spec)
	if size == 0 || b.h.API == apiV1 {
		return nil // v1 says it in the document
	}
	return bounded(ctx, "ExpandSandboxSize", b.in.Scratch, func() error { return hcsshim.ExpandScratchSize(info, id, size) })
}

// layerLock serialises the filter driver's mounts on the whole machine: two at
// once can fail for a fault of Windows that Microsoft's own shim guards against
// within its one process, and every wrun is a process of its own.
const layerLock = `Global\wrun-layers`

// exclusively does something that no other wrun on the machine does at the
// same time.
func exclusively(lock string, do func() error) error {
	// A mutex belongs to the thread that got it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	name, err := windows.UTF16PtrFromString(lock)
	if err != nil {
		return err
	}
	m, err := windows.CreateMutex(nil, false, name)
	if err != nil && !errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		return fmt.Errorf("locking %s: %w", lock, err)
	}
	defer windows.CloseHandle(m)
	got, err := windows.WaitForSingleObject(m, uint32(lockWait/time.Millisecond))
	switch {
	case err != nil:
		return fmt.Errorf("locking %s: %w", lock, err)
	case got == uint32(windows.WAIT_TIMEOUT):
		return fmt.Errorf("locking %s: another process kept it locked for %v", lock, lockWait)
	}
	defer windows.ReleaseMutex(m)
	return do()
}

// mount makes the layers one file system and answers its volume.
func mount(ctx context.Context, scratch string, parents []string) (volume string, err error) {
	info, id := driver(scratch)
	err = exclusively(layerLock, func() error {
		for _, step := range []struct {
			name string
			call func() error
		}{
			{"ActivateLayer", func() error { return hcsshim.ActivateLayer(info, id) }},
			{"PrepareLayer", func() error { return hcsshim.PrepareLayer(info, id, parents) }},
			{"GetLayerMountPath", func() (err error) { volume, err = hcsshim.GetLayerMountPath(info, id); return err }},
		} {
			if err := patiently(ctx, step.name, scratch, step.call); err != nil {
				return err
			}
		}
		return nil
	})
	return volume, err
}

// patiently tries again what the machine is not ready for: Server 2019 answers
// so for a moment after a disk was attached, and any Windows while somebody
// looks at a file.
func patiently(ctx context.Context, name, object string, call func() error) error {
	const rounds, pause = 5, 100 * time.Millisecond
	for i := 1; ; i++ {
		err := bounded(ctx, name, object, call)
		busy := errors.Is(err, computecore.CodeOf(notReady)) || errors.Is(err, computecore.CodeOf(notConnected)) ||
			errors.Is(err, computecore.ErrSharingViolation)
		if !busy || i == rounds {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

const (
	notReady     = 0x80070015 // ERROR_NOT_READY
	notConnected = 0x8007048F // ERROR_DEVICE_NOT_CONNECTED
)

// unmount undoes mount, how far that ever came, and may be repeated. Which
// errors Windows has for a layer that is not mounted nobody documents, so when
// both halves fail it is asked.
func (h *handle) unmount(ctx context.Context) error {
	if h.Disk == nil {
		return nil
	}
	scratch := h.Disk.Scratch
	info, id := driver(scratch)
	err := exclusively(layerLock, func() error {
		unprepared := patiently(ctx, "UnprepareLayer", scratch, func() error { return hcsshim.UnprepareLayer(info, id) })
		deactivated := patiently(ctx, "DeactivateLayer", scratch, func() error { return hcsshim.DeactivateLayer(info, id) })
		if deactivated == nil || unprepared == nil {
			return deactivated
		}
		if volume, err := mounted(ctx, scratch); volume != "" || unanswered(err) {
			return join(unprepared, deactivated)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", scratch, err)
	}
	h.Disk = nil
	return nil
}
