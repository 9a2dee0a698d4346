package hcsdoc

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file makes the v2 Container: the whole system of a silo, the hosted part
// of one in a utility VM.

// Silo is the v2 document of a process-isolated container, for
// HcsCreateComputeSystem.
func Silo(in *Input) ([]byte, error) {
	if _, err := in.windows(); err != nil {
		return nil, err
	}
	c, err := in.container(false, in.CPUs)
	if err != nil {
		return nil, err
	}
	if in.Root == "" {
		return nil, bad("root.path", "is missing, and no volume was mounted from windows.layerFolders")
	}
	if in.Spec.Root != nil && in.Spec.Root.Readonly {
		return nil, bad("root.readonly", "must be false, or absent, on Windows")
	}
	c.Storage.Path = withBackslash(in.Root)
	c.Storage.Layers = hcsLayers(in.Layers)
	mounts, err := in.mounts(false)
	if err != nil {
		return nil, err
	}
	for i, m := range mounts {
		if m.kind == pipe {
			c.MappedPipes = append(c.MappedPipes, mappedPipe{m.dest, pipePrefix + m.source})
		} else {
			if real, ok := in.Resolved[in.Spec.Mounts[i].Source]; ok {
				m.source = real
			}
			c.MappedDirectories = append(c.MappedDirectories, mappedDirectory{m.source, m.dest, m.readOnly})
		}
	}
	return encode(&computeSystem{Owner: in.Owner, SchemaVersion: v21(), Container: c})
}

// withBackslash: HCS wants `\\?\Volume{…}\`.
func withBackslash(p string) string {
	return strings.TrimRight(p, `\`) + `\`
}

func hcsLayers(list []Layer) []layer {
	var out []layer
	for _, l := range list {
		out = append(out, layer(l))
	}
	return out
}

// container is what silo and hosted container have in common: all but storage
// and mounts. cpus are the processors around it.
func (in *Input) container(hyperv bool, cpus int) (*container, error) {
	w, err := in.windows()
	if err != nil {
		return nil, err
	}
	if err := refused(in.Spec); err != nil {
		return nil, err
	}
	c := &container{}
	if in.Spec.Hostname != "" {
		c.GuestOs = &guestOs{in.Spec.Hostname}
	}
	l, err := containerLimits(in.Spec, cpus)
	if err != nil {
		return nil, err
	}
	l.apply(c)
	if _, err := Affinity(in); err != nil {
		return nil, err
	}
	if c.Networking, err = in.networking(); err != nil {
		return nil, err
	}
	if c.ContainerCredentialGuard, err = in.credential(); err != nil {
		return nil, err
	}
	if c.RegistryChanges, err = in.registry(); err != nil {
		return nil, err
	}
	c.AssignedDevices, err = assigned(w.Devices, hyperv)
	return c, err
}

// refused is what schema v2 cannot say, or what wrun does not do.
func refused(s *specs.Spec) error {
	if s.Windows != nil && s.Windows.Servicing {
		return bad("windows.servicing", "cannot be said in HCS's schema v2; only a single container under Hyper-V (schema v1) can apply servicing operations")
	}
	return unsupported(s)
}

// unsupported are annotations that ask for another kind of container; ignoring
// one would run the container with less, or more, than was meant.
func unsupported(s *specs.Spec) error {
	yes, err := boolean(s, annHostProcess, false)
	if err != nil {
		return err
	}
	if yes {
		return bad(path(annHostProcess), "asks for a host process container, which is not supported")
	}
	for _, name := range []string{annLCOWPolicy, annWCOWPolicy} {
		if s.Annotations[name] != "" {
			return bad(path(name), "asks for a confidential container, which is not supported")
		}
	}
	return nil
}

// networking is nil without windows.network and namespace. Endpoints reach a v2
// container through a namespace: the host makes one of them.
func (in *Input) networking() (*networking, error) {
	n := in.Spec.Windows.Network
	if n == nil {
		if in.Namespace == "" {
			return nil, nil
		}
		n = &specs.WindowsNetwork{}
	}
	out := &networking{
		AllowUnqualifiedDNSQuery:   n.AllowUnqualifiedDNSQuery,
		DNSSearchList:              strings.Join(n.DNSSearchList, ","),
		NetworkSharedContainerName: n.NetworkSharedContainerName,
		Namespace:                  in.Namespace,
	}
	if out.Namespace == "" {
		out.Namespace = n.NetworkNamespace
	}
	if out.Namespace == "" && len(n.EndpointList) > 0 {
		return nil, bad("windows.network.endpointList", "needs a namespace in HCS's schema v2, and none was made of the endpoints")
	}
	return out, nil
}

// credential is the state of the credential guard instance that the host made
// of windows.credentialSpec.
func (in *Input) credential() (any, error) {
	spec, err := CredentialSpec(in.Spec)
	if err != nil || spec == "" {
		return nil, err
	}
	switch c := in.Credential.(type) {
	case nil:
		return nil, bad("windows.credentialSpec", "is set, and no credential guard instance was made of it")
	case json.RawMessage:
		if !json.Valid(c) {
			return nil, bad("windows.credentialSpec", "the state of the credential guard instance is no JSON: %q", c)
		}
		return c, nil
	default:
		return c, nil
	}
}

// CredentialSpec is windows.credentialSpec as one JSON text, "" none. The
// specification wants an object; Docker and containerd write the object's JSON
// as a string.
func CredentialSpec(s *specs.Spec) (string, error) {
	if s == nil || s.Windows == nil || s.Windows.CredentialSpec == nil {
		return "", nil
	}
	const at = "windows.credentialSpec"
	text, isString := s.Windows.CredentialSpec.(string)
	if !isString {
		b, err := encode(s.Windows.CredentialSpec)
		if err != nil {
			return "", bad(at, "%w", err)
		}
		text = string(b)
	}
	if !strings.HasPrefix(strings.TrimSpace(text), "{") || !json.Valid([]byte(text)) {
		return "", bad(at, "is no JSON object")
	}
	off, err := boolean(s, annDisableGMSA, false)
	if err != nil {
		return "", err
	}
	if off {
		return "", bad(at, "is set, and %s forbids it", path(annDisableGMSA))
	}
	return text, nil
}

// registry are values set in the container's own registry. Server Core answers
// a control event only after it waited WaitToKillServiceTimeout, five seconds,
// for its services, and kills what is left: whoever wants longer to end could
// not have it. How long to wait is wrun's to decide, so the longest goes in.
func (in *Input) registry() (*registryChanges, error) {
	values := []registryValue{{
		Key: registryKey{"System", `ControlSet001\Control`}, Name: "WaitToKillServiceTimeout",
		Type: "String", StringValue: strconv.Itoa(math.MaxInt32),
	}}
	folder, ok := in.Spec.Annotations[annDumpFolder]
	if !ok {
		return &registryChanges{values}, nil
	}
	if folder == "" {
		return nil, bad(path(annDumpFolder), "is empty")
	}
	for _, id := range []string{"{container_id}", "{CONTAINER_ID}"} {
		if rest, ok := strings.CutSuffix(folder, id); ok {
			folder = rest + in.ID
		}
	}
	kind := int32(2) // a full dump
	switch text := in.Spec.Annotations[annDumpType]; text {
	case "", "full":
	case "mini":
		kind = 1
	default:
		return nil, bad(path(annDumpType), "%q is neither mini nor full", text)
	}
	count, ok, err := number(in.Spec, annDumpCount, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	if !ok {
		count = 10
	}
	key := registryKey{"Software", `Microsoft\Windows\Windows Error Reporting\LocalDumps`}
	return &registryChanges{append(values,
		registryValue{Key: key, Name: "DumpFolder", Type: "String", StringValue: folder},
		registryValue{Key: key, Name: "DumpType", Type: "DWord", DWordValue: kind},
		registryValue{Key: key, Name: "DumpCount", Type: "DWord", DWordValue: int32(count)})}, nil
}

// assigned are windows.devices: GPUs and the like for silos. "Today, Windows
// only supports a value of class"; class-guid and vpci-location-path are
// Microsoft's own.
func assigned(list []specs.WindowsDevice, hyperv bool) ([]device, error) {
	var out []device
	for i, d := range list {
		at := index("windows.devices", i, "idType")
		switch {
		case hyperv:
			return nil, bad(index("windows.devices", i, ""), "%s %q is not supported under Hyper-V isolation", d.IDType, d.ID)
		case d.ID == "":
			return nil, bad(index("windows.devices", i, "id"), "is missing")
		case d.IDType == "class" || d.IDType == "class-guid":
			out = append(out, device{InterfaceClassGUID: d.ID})
		case d.IDType == "vpci-location-path":
			out = append(out, device{Type: "DeviceInstance", LocationPath: d.ID})
		case d.IDType == "":
			return nil, bad(at, "is missing")
		default:
			return nil, bad(at, "%q is not known; use class with the GUID of a device interface class", d.IDType)
		}
	}
	return out, nil
}
