package wine

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// refuse is all that is impossible here, each with the reason and the cure. What
// would pierce the isolation in ways that Microsoft's "Isolation Modes" calls
// unsupported is refused, too, wherever a configuration asks for it.
func refuse(s *specs.Spec) error {
	w := s.Windows
	no := func(at, why, cure string) error { return libcontainer.WithHint(bad(at, "%s", why), cure) }
	switch {
	case w.CredentialSpec != nil:
		return no("windows.credentialSpec", "a group managed service account needs a Windows host that is in the domain",
			"run the bundle on a Windows host, or leave credentialSpec out")
	case w.Servicing:
		return no("windows.servicing", "updates of Windows are serviced by Windows, and here is Wine", "leave it out, or service the image on a Windows host")
	case len(w.Devices) > 0:
		return no("windows.devices[0]", "device interface class "+w.Devices[0].ID+" has no device on a Linux host: classes are drivers of Windows", "leave windows.devices out")
	}
	if r := w.Resources; w.HyperV != nil && r != nil && r.CPU != nil && len(r.CPU.Affinity) > 0 {
		return no("windows.resources.cpu.affinity", "the processors of a utility VM are not the host's", "use count, shares or maximum, or leave windows.hyperv out")
	}
	if n := w.Network; n != nil {
		switch {
		case len(n.EndpointList) > 0:
			return no("windows.network.endpointList", "endpoints belong to the Host Networking Service, which Linux has not",
				"make a network namespace with what the container shall have and name it in windows.network.networkNamespace")
		case n.NetworkSharedContainerName != "":
			return no("windows.network.networkSharedContainerName", "another container's network is shared by its namespace here",
				"name it in windows.network.networkNamespace: /proc/<pid of the other>/ns/net")
		}
	}
	return refuseAnnotations(s.Annotations)
}

// refuseAnnotations: by these names engines and Microsoft's shim ask for what
// config.json has no field for.
func refuseAnnotations(a map[string]string) error {
	const hostProcess = "microsoft.com/hostprocess-container"
	if v := a[hostProcess]; v != "" && !strings.EqualFold(v, "false") {
		return libcontainer.WithHint(bad(`annotations["`+hostProcess+`"]`,
			"process namespaces cannot be shared: a wineserver serves one container, and a Linux host has no processes of Windows'"),
			"run the program on the host, or the bundle on a Windows host")
	}
	return nil
}
