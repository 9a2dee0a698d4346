package hcsdoc

import "strings"

// This file sorts the mounts of a Windows container by how they get there.

type mountKind int

const (
	folder   mountKind = iota // a folder or a file of the host
	pipe                      // a named pipe of the host
	vmPipe                    // uvm://\\.\pipe\x, a named pipe of the utility VM
	vmFolder                  // sandbox://x, a folder of the utility VM that its containers share
	disk                      // a disk that is attached to the utility VM
)

// Mount types that name disks, as Microsoft's shim names them.
const (
	physicalDisk   = "physical-disk"
	virtualDisk    = "virtual-disk"
	extensibleDisk = "extensible-virtual-disk"
)

const (
	sandboxPrefix = "sandbox://"
	vmPathPrefix  = "uvm://"
	pipePrefix    = `\\.\pipe\`
	// vmShares is where a Windows guest sees the shares of its host.
	vmShares = `\\?\VMSMB\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\`
	// sandboxFolder is where the folders of sandbox:// lie in a Windows guest.
	sandboxFolder = `C:\SandboxMounts`
)

type mount struct {
	kind     mountKind
	source   string // without its scheme; a pipe's name without its prefix
	dest     string // a pipe's name without its prefix
	readOnly bool
	diskType string // of a disk: HCS's name of it
	provider string // of an extensible virtual disk
}

// mounts sorts the Spec's mounts; vm says that a utility VM is around the
// container, without which there are no disks and no paths of a VM.
func (in *Input) mounts(vm bool) ([]mount, error) {
	list := make([]mount, len(in.Spec.Mounts))
	for i := range list {
		m, err := in.mount(i, vm)
		if err != nil {
			return nil, err
		}
		list[i] = m
	}
	return list, nil
}

func (in *Input) mount(i int, vm bool) (mount, error) {
	s := &in.Spec.Mounts[i]
	at := func(field string) string { return index("mounts", i, field) }
	// A Spec may have slashes; HCS has backslashes only.
	m := mount{source: strings.ReplaceAll(s.Source, "/", `\`), dest: strings.ReplaceAll(s.Destination, "/", `\`)}
	switch {
	case s.Source == "":
		return m, bad(at("source"), "is missing; a mount has a source and a destination")
	case s.Destination == "":
		return m, bad(at("destination"), "is missing; a mount has a source and a destination")
	}
	for _, o := range s.Options {
		switch strings.ToLower(o) {
		case "ro":
			m.readOnly = true
		case "rw":
			m.readOnly = false
		}
	}
	switch s.Type {
	case "", "bind":
	case physicalDisk, virtualDisk, extensibleDisk:
		if !vm {
			return m, bad(at("type"), "%q can be attached to a utility VM only", s.Type)
		}
		return m, m.disk(s.Type, s.Source, at)
	default:
		return m, bad(at("type"), "%q is no kind of mount on Windows", s.Type)
	}
	dest, destPipe := pipeName(s.Destination)
	switch source, isPipe := pipeName(s.Source); {
	case isPipe && destPipe:
		m.kind, m.source, m.dest = pipe, source, dest
	case isPipe:
		return m, bad(at("destination"), "%q is no named pipe, the source is one", s.Destination)
	case strings.HasPrefix(s.Source, vmPathPrefix):
		source, isPipe := pipeName(s.Source[len(vmPathPrefix):])
		switch {
		case !vm:
			return m, bad(at("source"), "%q is a path of a utility VM, and this container has none", s.Source)
		case !isPipe || !destPipe:
			return m, bad(at("source"), "%q is not supported: of a utility VM's own paths only named pipes can be mounted, as named pipes", s.Source)
		}
		m.kind, m.source, m.dest = vmPipe, source, dest
	case destPipe:
		return m, bad(at("source"), "%q is no named pipe, the destination is one", s.Source)
	case strings.HasPrefix(s.Source, sandboxPrefix):
		if !vm {
			return m, bad(at("source"), "%q is a folder of a utility VM, and this container has none", s.Source)
		}
		m.kind, m.source = vmFolder, sandboxPath(s.Source)
		if m.source == "" {
			return m, bad(at("source"), "%q is no folder within %s", s.Source, sandboxFolder)
		}
	}
	return m, nil
}

// disk reads the source of a mount of a type that names disks.
func (m *mount) disk(kind, source string, at func(string) string) error {
	m.kind = disk
	switch kind {
	case physicalDisk:
		m.diskType = "PassThru"
	case virtualDisk:
		m.diskType = "VirtualDisk"
	case extensibleDisk:
		// evd://<provider>/<path>
		rest, ok := strings.CutPrefix(source, "evd://")
		provider, path, found := strings.Cut(rest, "/")
		if !ok || !found || provider == "" || path == "" {
			return bad(at("source"), "%q is not of the form evd://PROVIDER/PATH", source)
		}
		m.diskType, m.provider, m.source = "ExtensibleVirtualDisk", provider, path
	}
	return nil
}

// pipeName is what follows \\.\pipe\ in path, with any slashes.
func pipeName(path string) (string, bool) {
	if len(path) <= len(pipePrefix) || !strings.EqualFold(strings.ReplaceAll(path[:len(pipePrefix)], "/", `\`), pipePrefix) {
		return "", false
	}
	return path[len(pipePrefix):], true
}

// sandboxPath is the guest's path of sandbox:///a/b, "" if it would leave the
// folder of all sandbox mounts.
func sandboxPath(source string) string {
	rest := strings.ReplaceAll(strings.TrimPrefix(source, sandboxPrefix), "/", `\`)
	path := sandboxFolder
	for part := range strings.SplitSeq(rest, `\`) {
		switch part {
		case "", ".":
		case "..":
			return ""
		default:
			path += `\` + part
		}
	}
	if path == sandboxFolder || strings.ContainsAny(path[len(sandboxFolder):], `:*?"<>|`) {
		return ""
	}
	return path
}
