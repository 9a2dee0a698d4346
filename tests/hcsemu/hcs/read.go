package hcs

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// How a document becomes a system: decoded strictly, then checked as far as
// the documentation or hcsshim's behaviour says what HCS wants.

// absent: hcsshim says null for options that it does not have.
func absent(document string) bool {
	document = strings.TrimSpace(document)
	return document == "" || document == "null"
}

func decodeOptional(document string, into any) error {
	if absent(document) {
		return nil
	}
	return decode(document, into)
}

// read decodes a system's document. vmcompute.dll takes both schemas.
func (s *Service) read(id, document string, v1 bool) (*system, error) {
	y := &system{
		id: id, runtimeID: newID(), state: stateCreated, done: make(chan struct{}),
		handles: map[*handle]bool{}, procs: map[uint32]*process{}, resources: newResources(),
	}
	var probe struct{ SchemaVersion *version }
	_ = json.Unmarshal([]byte(document), &probe) // decode says what is wrong
	var err error
	if v1 && (probe.SchemaVersion == nil || probe.SchemaVersion.Major < 2) {
		err = s.readV1(y, document)
	} else {
		err = s.readV2(y, document)
	}
	return y, err
}

func (s *Service) readV2(y *system, document string) error {
	var d computeSystem
	if err := decode(document, &d); err != nil {
		return err
	}
	if err := checkVersion(d.SchemaVersion, "SchemaVersion"); err != nil {
		return err
	}
	y.owner, y.terminateOnClose = d.Owner, d.ShouldTerminateOnLastHandleClosed
	kinds := 0
	for _, set := range []bool{d.Container != nil, d.VirtualMachine != nil, d.HostedSystem != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return refuse("", "%d of Container, VirtualMachine, HostedSystem are set, want exactly one", kinds)
	}
	if (d.HostedSystem != nil) != (d.HostingSystemID != "") {
		return refuse("HostingSystemId", "goes with HostedSystem")
	}
	switch {
	case d.Container != nil:
		y.kind = silo
		return s.checkContainer(y, d.Container, "Container")
	case d.VirtualMachine != nil:
		y.kind = vm
		return s.checkVM(y, d.VirtualMachine)
	}
	y.kind = hosted
	return s.readHosted(y, &d)
}

func checkVersion(v *version, field string) error {
	if v == nil || v.Major != 2 || v.Minor > 5 {
		return refuse(field, "want 2.0 to 2.5, have %v", v)
	}
	return nil
}

func (s *Service) readHosted(y *system, d *computeSystem) error {
	s.mu.Lock()
	y.host = s.find(d.HostingSystemID)
	s.mu.Unlock()
	switch {
	case y.host == nil:
		return fail(systemNotFound, "there is no hosting system %s", d.HostingSystemID)
	case y.host.kind != vm:
		return fail(invalidParam, "the hosting system %s is no virtual machine", d.HostingSystemID)
	case !y.host.guestConnection:
		return fail(connectFailed, "the virtual machine %s has no guest connection that HCS owns", d.HostingSystemID)
	}
	y.linux = y.host.linux
	if y.linux {
		var h linuxHostedSystem
		if err := inside("HostedSystem", decode(string(d.HostedSystem), &h)); err != nil {
			return err
		}
		return s.checkLinux(y, &h)
	}
	var h hostedSystem
	if err := inside("HostedSystem", decode(string(d.HostedSystem), &h)); err != nil {
		return err
	}
	if err := checkVersion(h.SchemaVersion, "HostedSystem.SchemaVersion"); err != nil {
		return err
	}
	if h.Container == nil {
		return refuse("HostedSystem.Container", "is missing")
	}
	return s.checkContainer(y, h.Container, "HostedSystem.Container")
}

// inside puts a field's path before those that an error names.
func inside(path string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{result: resultOf(err), text: path + ": " + err.Error(), data: []string{path}}
}

func (s *Service) checkLinux(y *system, h *linuxHostedSystem) error {
	if err := checkVersion(h.SchemaVersion, "HostedSystem.SchemaVersion"); err != nil {
		return err
	}
	if !strings.HasPrefix(h.OciBundlePath, "/") {
		return refuse("HostedSystem.OciBundlePath", "%q is no path of the guest", h.OciBundlePath)
	}
	if !isObject(h.OciSpecification) {
		return refuse("HostedSystem.OciSpecification", "is missing")
	}
	var spec struct {
		Root *struct {
			Path string `json:"path"`
		} `json:"root"`
		Process *ociProcess `json:"process"`
	}
	if err := json.Unmarshal(h.OciSpecification, &spec); err != nil {
		return refuse("HostedSystem.OciSpecification", "%v", err)
	}
	if spec.Root == nil || spec.Root.Path == "" {
		return refuse("HostedSystem.OciSpecification.root", "is missing")
	}
	y.first = spec.Process
	return s.checkGuestRoot(y, spec.Root.Path, "HostedSystem.OciSpecification.root.path")
}

func (s *Service) checkContainer(y *system, d *container, at string) error {
	if d.Storage == nil {
		return refuse(at+".Storage", "is missing")
	}
	if d.Storage.Path == "" {
		return refuse(at+".Storage.Path", "is missing")
	}
	for i, l := range d.Storage.Layers {
		field := fmt.Sprintf("%s.Storage.Layers[%d]", at, i)
		if !isGUID(l.ID) {
			return refuse(field+".Id", "%q is no GUID", l.ID)
		}
		if err := s.checkDir(y, l.Path, field+".Path"); err != nil {
			return err
		}
	}
	if y.kind == hosted {
		if err := s.checkGuestRoot(y, d.Storage.Path, at+".Storage.Path"); err != nil {
			return err
		}
	} else if err := s.checkVolume(d.Storage.Path, at+".Storage.Path"); err != nil {
		return err
	}
	for i, m := range d.MappedDirectories {
		field := fmt.Sprintf("%s.MappedDirectories[%d]", at, i)
		if m.ContainerPath == "" {
			return refuse(field+".ContainerPath", "is missing")
		}
		if err := s.checkDir(y, m.HostPath, field+".HostPath"); err != nil {
			return err
		}
	}
	for i, p := range d.MappedPipes {
		field := fmt.Sprintf("%s.MappedPipes[%d]", at, i)
		if p.HostPath == "" || p.ContainerPipeName == "" {
			return refuse(field, "wants HostPath and ContainerPipeName")
		}
		if strings.HasPrefix(p.ContainerPipeName, `\\`) {
			return refuse(field+".ContainerPipeName", "%q is a path, not a name", p.ContainerPipeName)
		}
	}
	if d.Memory != nil {
		y.memoryMB = d.Memory.SizeInMB
	}
	if err := checkProcessor(d.Processor, at+".Processor"); err != nil {
		return err
	}
	if err := checkRegistry(d.RegistryChanges, at+".RegistryChanges"); err != nil {
		return err
	}
	if n := d.Networking; n != nil {
		if err := s.checkNetworking(n.Namespace, n.NetworkAdapters, at+".Networking"); err != nil {
			return err
		}
	}
	if g := d.ContainerCredentialGuard; g != nil {
		if err := s.checkCredentials(g, at+".ContainerCredentialGuard"); err != nil {
			return err
		}
	}
	return checkDevices(d.AssignedDevices, at+".AssignedDevices")
}

func checkDevices(all []device, at string) error {
	for i, d := range all {
		field := fmt.Sprintf("%s[%d]", at, i)
		switch d.Type {
		case "DeviceInstance":
			if d.LocationPath == "" || d.InterfaceClassGUID != "" {
				return refuse(field, "a DeviceInstance wants LocationPath only")
			}
		case "GpuMirror":
		default: // ClassGuid, and what documents before 2.2 left out
			if !isGUID(d.InterfaceClassGUID) || d.LocationPath != "" {
				return refuse(field, "a ClassGuid wants a GUID in InterfaceClassGuid only")
			}
		}
	}
	return nil
}

func checkProcessor(p *containerProcessor, at string) error {
	if p == nil {
		return nil
	}
	set := 0
	for _, is := range []bool{p.Count != nil, p.Weight != nil, p.Maximum != nil} {
		if is {
			set++
		}
	}
	switch {
	case set > 1:
		return fail(invalidParam, "%s: Count, Maximum and Weight exclude each other", at)
	case p.Maximum != nil && (*p.Maximum < 1 || *p.Maximum > 10000):
		return fail(invalidParam, "%s.Maximum: %d is not in 1 to 10000", at, *p.Maximum)
	case p.Weight != nil && (*p.Weight < 0 || *p.Weight > 10000):
		return fail(invalidParam, "%s.Weight: %d is not in 0 to 10000", at, *p.Weight)
	}
	return nil
}

func checkRegistry(r *registryChanges, at string) error {
	if r == nil {
		return nil
	}
	for i, v := range r.AddValues {
		field := fmt.Sprintf("%s.AddValues[%d]", at, i)
		if v.Key == nil || v.Key.Hive == "" || v.Key.Name == "" {
			return refuse(field+".Key", "wants Hive and Name")
		}
		set := 0
		for _, is := range []bool{v.StringValue != nil, v.BinaryValue != nil, v.DWordValue != nil, v.QWordValue != nil} {
			if is {
				set++
			}
		}
		if set > 1 {
			return refuse(field, "has %d values, want one", set)
		}
	}
	return nil
}

var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

func isGUID(s string) bool { return guid.MatchString(s) }

var volume = regexp.MustCompile(`(?i)^\\\\\?\\Volume(\{[0-9a-f-]{36}\})\\?$`)

// checkVolume: a container's root is a volume, or a directory where layers are
// joined. A volume that this service handed out must still be mounted; any
// other is taken for one that somebody else mounted.
func (s *Service) checkVolume(path, field string) error {
	m := volume.FindStringSubmatch(path)
	if m == nil {
		if !s.machine.IsDir(path) {
			return fail(pathNotFound, "%s: there is no directory %s", field, path)
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.layers {
		if strings.EqualFold(l.volume, m[1]) && !l.Prepared {
			return fail(pathNotFound, "%s: the layer of volume %s is not prepared", field, path)
		}
	}
	return nil
}

// The name under which a guest sees the host's shares (hcsshim, uvm/vsmb.go).
var vsmb = regexp.MustCompile(`(?i)^\\\\\?\\VMSMB\\VSMB-\{dcc079ae-60ba-4d07-847c-3493609c0870\}\\([^\\]+)(\\.*)?$`)

// checkDir: a path of the host must exist; one of a guest must be in a share
// of its VM, or is the guest's own, which nothing here can look at.
func (s *Service) checkDir(y *system, path, field string) error {
	if path == "" {
		return refuse(field, "is missing")
	}
	if y.kind == hosted {
		m := vsmb.FindStringSubmatch(path)
		if m == nil {
			return nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !y.host.hasShare(m[1]) {
			return fail(pathNotFound, "%s: %s has no share %s", field, y.host.id, m[1])
		}
		return nil
	}
	if !s.machine.IsDir(path) && !s.machine.IsFile(path) {
		return fail(pathNotFound, "%s: there is no %s", field, path)
	}
	return nil
}

// checkGuestRoot: the root of a hosted container is one of the roots that
// CombinedLayers made.
func (s *Service) checkGuestRoot(y *system, path, field string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !y.host.has("combined layers", guestPath(path)) {
		return fail(pathNotFound, "%s: no layers are combined at %s in %s", field, path, y.host.id)
	}
	return nil
}

func guestPath(p string) string {
	return strings.ToLower(strings.TrimRight(strings.ReplaceAll(p, `/`, `\`), `\`))
}

func number(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return n, err == nil
}
