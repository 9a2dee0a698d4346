package hcsdoc

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// This file plans what a utility VM has to be given before a container can be
// hosted in it: layers, scratch, network, mounts. The plan is a list of
// documents to execute in order, each with the one that undoes it.

// Step is one change to a running utility VM.
type Step struct {
	What string // for people
	Add  []byte // HcsModifyComputeSystem document
	Undo []byte // the document that undoes it, nil none
	// Grant is a file that the VM must be given access to first
	// (HcsGrantVmAccess), "" none.
	Grant string
	// Key names what containers of one VM share: the host does a step once per
	// key and undoes it with its last user. "" belongs to this container alone.
	Key string
	LUN *int // the place of the disk that is attached, nil for other steps
}

// VMAttachments is what a container needs of its utility VM.
type VMAttachments struct {
	Steps []Step
	// Folders are made in a Windows guest before the container: sandbox://.
	Folders []string
	Root    string  // the container's root file system in the guest
	Bundle  string  // Linux: the container's folder in the guest
	Scratch string  // Linux: the folder of the container's writes in the guest
	Layers  []Layer // as the guest sees them
	LUNs    []int   // places of the SCSI controller that are taken

	paths []string // of each mount's source in the guest; "" it does not come from the host
}

// Attachments plans what the VM around in's container has to be given, for a
// Windows or, where the Spec has a linux section, a Linux guest. Hosted and
// HostedLinux count on exactly this.
func Attachments(in *Input) (*VMAttachments, error) {
	if _, err := in.windows(); err != nil {
		return nil, err
	}
	if len(in.Layers) == 0 || in.Scratch == "" {
		return nil, bad("windows.layerFolders", "names fewer than two folders; it takes a base layer and a scratch")
	}
	b := &attacher{in: in, linux: in.Spec.Linux != nil, name: prefix(in.ID), luns: in.LUNs, own: map[string]int{}}
	if b.luns == nil {
		for i := range scsiPlaces {
			if i > 0 || b.linux {
				b.luns = append(b.luns, i)
			}
		}
	}
	var err error
	if b.noMap, err = noDirectMap(in.Spec); err != nil {
		return nil, err
	}
	if b.noWrite, err = boolean(in.Spec, annNoWriteShares, false); err != nil {
		return nil, err
	}
	storage, mounts := b.windowsStorage, b.windowsMounts
	if b.linux {
		storage, mounts = b.linuxStorage, b.linuxMounts
	}
	for _, part := range []func() error{storage, b.network, b.credential, mounts} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return &b.out, nil
}

type attacher struct {
	in      *Input
	out     VMAttachments
	linux   bool
	name    string // what the names of this container's shares begin with
	luns    []int
	own     map[string]int // disks this plan attaches, by key
	noMap   bool
	noWrite bool
}

// prefix is short and unique in the VM: the id, or a hash of one that is too
// long or strange to name shares.
func prefix(id string) string {
	ok := len(id) > 0 && len(id) <= 40
	for i := range len(id) {
		c := id[i] | 0x20
		ok = ok && ('a' <= c && c <= 'z' || '0' <= id[i] && id[i] <= '9' || id[i] == '-' || id[i] == '_' || id[i] == '.')
	}
	if ok {
		return id
	}
	h := fnv.New64a()
	h.Write([]byte(id))
	return "c" + strconv.FormatUint(h.Sum64(), 16)
}

func (b *attacher) step(s Step) { b.out.Steps = append(b.out.Steps, s) }

// disk attaches a at the next free place and returns where the guest has it.
// Disks that nobody writes to are shared within the VM: one file cannot be
// attached twice.
func (b *attacher) disk(what string, a attachment) (string, error) {
	key := ""
	if a.ReadOnly {
		key = "disk:" + strings.ToLower(a.Path)
	}
	lun, have := b.in.Attached[key]
	if own, ok := b.own[key]; ok && key != "" {
		return DiskPath(own, b.linux), nil
	}
	if !have || key == "" {
		if len(b.luns) == 0 {
			return "", fmt.Errorf("attach %s: all places of the utility VM's SCSI controller are taken", a.Path)
		}
		lun, b.luns = b.luns[0], b.luns[1:]
		b.out.LUNs = append(b.out.LUNs, lun)
	}
	b.own[key] = lun
	path := DiskPath(lun, b.linux)
	add, err := attachDisk(lun, a, path, b.linux)
	if err != nil {
		return "", err
	}
	s := Step{What: what + " " + a.Path, Add: add, Undo: detachDisk(lun, path, a.ReadOnly, b.linux), Key: key, LUN: &lun}
	if a.Type != "ExtensibleVirtualDisk" {
		s.Grant = a.Path
	}
	b.step(s)
	return path, nil
}

func (b *attacher) share(what, name string, s share) string {
	s.Name, s.Options.NoDirectmap = b.name+"-"+name, b.noMap
	b.step(Step{What: what + " " + s.Path, Add: addShare(s), Undo: RemoveShare(s.Name)})
	return SharePath(s.Name)
}

func (b *attacher) windowsStorage() error {
	for i, l := range b.in.Layers {
		path := b.share("share the layer", "l"+strconv.Itoa(i), share{Path: l.Path, Options: layerShare()})
		b.out.Layers = append(b.out.Layers, Layer{l.ID, path})
	}
	root, err := b.disk("attach the scratch", attachment{Type: "VirtualDisk", Path: join(b.in.Scratch, "sandbox.vhdx")})
	if err != nil {
		return err
	}
	b.out.Root = root
	b.step(Step{What: "combine layers and scratch at " + root, Add: CombineLayers(root, b.out.Layers, false, ""), Undo: UncombineLayers(root)})
	return nil
}

func (b *attacher) linuxStorage() error {
	b.out.Bundle = "/run/gcs/c/" + b.name
	b.out.Root = b.out.Bundle + "/rootfs"
	for _, l := range b.in.Layers {
		path, err := b.disk("attach the layer", attachment{Type: "VirtualDisk", Path: join(l.Path, "layer.vhd"), ReadOnly: true})
		if err != nil {
			return err
		}
		// Linux knows layers by path alone.
		b.out.Layers = append(b.out.Layers, Layer{Path: path})
	}
	disk, err := b.disk("attach the scratch", attachment{Type: "VirtualDisk", Path: join(b.in.Scratch, "sandbox.vhdx")})
	if err != nil {
		return err
	}
	b.out.Scratch = disk + "/scratch/" + b.name
	b.step(Step{What: "combine layers and scratch at " + b.out.Root,
		Add: CombineLayers(b.out.Root, b.out.Layers, true, b.out.Scratch), Undo: UncombineLayers(b.out.Root)})
	return nil
}

// network: a Windows guest is told of the namespace and of each endpoint before
// its adapter comes; a Linux guest with the adapter.
func (b *attacher) network() error {
	n := b.in.Network
	if n == nil {
		return nil
	}
	key := "network:" + strings.ToLower(b.in.Namespace)
	if !b.linux && n.Namespace != nil {
		add, err := guestNamespace("Add", n.Namespace)
		if err != nil {
			return err
		}
		undo, err := guestNamespace("Remove", n.Namespace)
		if err != nil {
			return err
		}
		b.step(Step{What: "tell the guest of the network namespace " + b.in.Namespace, Add: add, Undo: undo, Key: key})
	}
	for i := range n.Endpoints {
		e := &n.Endpoints[i]
		if !b.linux {
			add, err := announce(e)
			if err != nil {
				return err
			}
			b.step(Step{What: "tell the guest of the endpoint " + e.ID, Add: add, Key: key + ":announce:" + e.Adapter})
		}
		add, err := adapter("Add", e, b.linux)
		if err != nil {
			return err
		}
		undo, err := adapter("Remove", e, b.linux)
		if err != nil {
			return err
		}
		b.step(Step{What: "add a network adapter for the endpoint " + e.ID, Add: add, Undo: undo, Key: key + ":" + e.Adapter})
	}
	return nil
}

// credential lets the guest reach the credential guard's instance: a Hyper-V
// socket has to be in the VM's table before anything can connect to it.
func (b *attacher) credential() error {
	if b.in.CredentialSocket == nil {
		return nil
	}
	const at = "windows.credentialSpec"
	text, err := encode(b.in.CredentialSocket)
	if err != nil {
		return bad(at, "%w", err)
	}
	var socket struct {
		ServiceID     string `json:"ServiceId"`
		ServiceConfig json.RawMessage
	}
	if err := json.Unmarshal(text, &socket); err != nil || socket.ServiceID == "" || socket.ServiceConfig == nil {
		return bad(at, "the socket of the credential guard instance is not one: %s", text)
	}
	add, err := encode(&modify{ResourcePath: socketPath + socket.ServiceID, RequestType: "Update", Settings: socket.ServiceConfig})
	if err != nil {
		return bad(at, "%w", err)
	}
	undo := must(&modify{ResourcePath: socketPath + socket.ServiceID, RequestType: "Remove"})
	b.step(Step{What: "let the guest reach the credential guard", Add: add, Undo: undo})
	return nil
}

// splitFile is the folder and name of a file of the host, in either slashes. A
// drive's folder keeps its backslash.
func splitFile(path string) (folder, name string) {
	i := strings.LastIndexAny(path, `\/`)
	folder, name = path[:i+1], path[i+1:]
	if len(folder) > len(`C:\`) {
		folder = folder[:len(folder)-1]
	}
	return folder, name
}

func (b *attacher) writable(i int, readOnly bool) error {
	if b.noWrite && !readOnly {
		return bad(index("mounts", i, ""), "is writable, and %s forbids it", path(annNoWriteShares))
	}
	return nil
}

func (b *attacher) windowsMounts() error {
	mounts, err := b.in.mounts(true)
	if err != nil {
		return err
	}
	for i, m := range mounts {
		guest := ""
		switch m.kind {
		case folder:
			if err := b.writable(i, m.readOnly); err != nil {
				return err
			}
			s := share{Path: m.source}
			if m.readOnly {
				s.Options = readOnlyShare()
			}
			file := ""
			if b.in.Files[b.in.Spec.Mounts[i].Source] {
				// A file is shared as its folder, in which nothing else is seen.
				s.AllowedFiles = []string{m.source}
				s.Path, file = splitFile(m.source)
				s.Options.RestrictFileAccess, s.Options.SingleFileMapping = true, true
			}
			guest = b.share("share "+index("mounts", i, ""), "m"+strconv.Itoa(i), s)
			if file != "" {
				guest += `\` + file
			}
		case disk:
			guest, err = b.disk("attach "+index("mounts", i, ""), attachment{Type: m.diskType, Path: m.source, ReadOnly: m.readOnly, ExtensibleVirtualDiskType: m.provider})
			if err != nil {
				return err
			}
		case pipe:
			host := pipePrefix + m.source
			b.step(Step{What: "share the pipe " + host, Add: AddPipe(host), Undo: RemovePipe(host), Key: "pipe:" + strings.ToLower(m.source)})
			guest = PipePath(m.source)
		case vmPipe:
			// Each pod has its pipes under its own name.
			guest = pipePrefix + strings.TrimSuffix(b.in.Host, "@vm") + `\` + m.source
		case vmFolder:
			b.out.Folders = append(b.out.Folders, m.source)
			guest = m.source
		}
		b.out.paths = append(b.out.paths, guest)
	}
	return nil
}

// guestSource is a source that the agent in a Linux guest resolves itself.
func guestSource(source string) bool {
	for _, scheme := range []string{sandboxPrefix, vmPathPrefix, "sandbox-tmp://", "hugepages://", "blockdev://"} {
		if strings.HasPrefix(source, scheme) {
			return true
		}
	}
	return false
}

func (b *attacher) linuxMounts() error {
	for i := range b.in.Spec.Mounts {
		m := &b.in.Spec.Mounts[i]
		readOnly, bind := false, m.Type == "bind"
		for _, o := range m.Options {
			readOnly = readOnly || o == "ro"
			bind = bind || o == "bind" || o == "rbind"
		}
		guest, name := "", "m"+strconv.Itoa(i)
		at := b.out.Bundle + "/" + name
		switch {
		case m.Type == physicalDisk || m.Type == virtualDisk:
			kind := "PassThru"
			if m.Type == virtualDisk {
				kind = "VirtualDisk"
			}
			var err error
			guest, err = b.disk("attach "+index("mounts", i, ""), attachment{Type: kind, Path: m.Source, ReadOnly: readOnly})
			if err != nil {
				return err
			}
		case m.Type == extensibleDisk:
			return bad(index("mounts", i, "type"), "%q is for Windows guests only", m.Type)
		case !bind || guestSource(m.Source):
		case !hostPath(m.Source):
			return bad(index("mounts", i, "source"), "%q is no full path of a Windows host", m.Source)
		default:
			if err := b.writable(i, readOnly); err != nil {
				return err
			}
			folder, only := m.Source, ""
			guest = at
			if b.in.Files[m.Source] {
				folder, only = splitFile(m.Source)
				guest += "/" + only
			}
			share := b.name + "-" + name
			b.step(Step{What: "share " + index("mounts", i, "") + " " + m.Source,
				Add: AddPlan9(share, folder, at, readOnly, only), Undo: RemovePlan9(share, at)})
		}
		b.out.paths = append(b.out.paths, guest)
	}
	return nil
}

// hostPath: C:\x or \\?\x, in either slashes.
func hostPath(p string) bool {
	p = strings.ReplaceAll(p, "/", `\`)
	return strings.HasPrefix(p, `\\?\`) || len(p) >= 3 && p[1] == ':' && p[2] == '\\'
}
