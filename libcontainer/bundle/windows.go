package bundle

import (
	"sort"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// windows checks config-windows.md for a Windows bundle.
func (c *checker) windows(w *specs.Windows) {
	if w == nil {
		c.bad("windows", "", `is missing; it "MUST be set if the target platform of this spec is windows"`, "config.md, Platform-specific configuration", "")
		return
	}
	const layers, devices = "config-windows.md, LayerFolders", "config-windows.md, Devices"
	if len(w.LayerFolders) == 0 {
		c.bad("windows.layerFolders", "", "MUST contain at least one entry", layers, "list the image's folders from topmost to base, the scratch folder last")
	}
	for i, f := range w.LayerFolders {
		if f == "" {
			c.bad(index("windows.layerFolders", i, ""), `""`, "is no folder", layers, "")
		}
	}
	for i, d := range w.Devices {
		oneOf(c, index("windows.devices", i, "idType"), d.IDType, devices, "class")
		switch {
		case d.ID == "":
			c.bad(index("windows.devices", i, "id"), "", "is REQUIRED and missing", devices, "")
		case d.IDType == "class" && !guid(d.ID):
			c.bad(index("windows.devices", i, "id"), quote(d.ID), "is no device interface class GUID", devices, "such as 5B45201D-F2F2-4F3B-85BB-30FF1F953599")
		}
	}
	if r := w.Resources; r != nil && r.CPU != nil {
		c.windowsCPU("windows.resources.cpu", r.CPU)
	}
	if w.Network != nil {
		c.windowsNetwork(w.Network)
	}
	switch w.CredentialSpec.(type) {
	case nil, map[string]any, string:
		// The specification wants an object; Docker and containerd write the
		// object's JSON as a string.
	default:
		c.bad("windows.credentialSpec", "", "is no JSON object", "config-windows.md, Credential Spec", "")
	}
}

func (c *checker) windowsRoot(r *specs.Root) {
	const clause = "config.md, Root"
	if c.t.VM {
		// Docker writes an empty root; only a root that says something is set.
		if r != nil && (r.Path != "" || r.Readonly) {
			c.bad("root", "", "MUST NOT be set for Hyper-V containers", clause, "leave it out; the utility VM mounts windows.layerFolders")
		}
		return
	}
	if r == nil || r.Path == "" {
		// "For Windows Server Containers, this field is REQUIRED", but engines
		// hand over such bundles, and the layers say all there is to know.
		c.warn("root", "", "is REQUIRED for Windows Server containers and missing; windows.layerFolders is mounted instead", clause, "")
	} else if !volumePath(r.Path) {
		c.bad("root.path", quote(r.Path), "MUST be a volume GUID path", clause, `such as "\\\\?\\Volume{ec84d99e-3f02-11e7-ac6c-00155d7682cf}\\", or leave root out to have windows.layerFolders mounted`)
	}
	if r != nil && r.Readonly {
		c.bad("root.readonly", "true", "MUST be omitted or false on Windows", clause, "")
	}
}

func (c *checker) windowsCPU(at string, p *specs.WindowsCPUResources) {
	const clause = "config-windows.md, CPU"
	var set []string
	if p.Count != nil && *p.Count != 0 {
		set = append(set, "count")
	}
	if p.Shares != nil && *p.Shares != 0 {
		set = append(set, "shares")
	}
	if p.Maximum != nil && *p.Maximum != 0 {
		set = append(set, "maximum")
	}
	if len(set) > 1 {
		c.bad(at, "", "has "+strings.Join(set, " and ")+", which are mutually exclusive", clause, "keep one")
	} else if len(set) == 1 && len(p.Affinity) > 0 {
		c.warn(at+".affinity", "", "stands next to "+set[0]+", and the specification calls them mutually exclusive", clause, "")
	}
	if p.Shares != nil && *p.Shares > 10000 {
		c.bad(at+".shares", strconv.Itoa(int(*p.Shares)), "is not between 0 and 10000", clause, "")
	}
	if p.Maximum != nil && *p.Maximum > 10000 {
		c.bad(at+".maximum", strconv.Itoa(int(*p.Maximum)), "is more than 10000 cycles of 10000", clause, "write a percentage times 100")
	}
	for i, a := range p.Affinity {
		if a.Mask == 0 {
			c.bad(index(at+".affinity", i, "mask"), "", "is REQUIRED and names no processor", clause, "")
		}
	}
}

func (c *checker) windowsNetwork(n *specs.WindowsNetwork) {
	const clause = "config-windows.md, Network"
	if n.NetworkNamespace != "" && (len(n.EndpointList) > 0 || n.AllowUnqualifiedDNSQuery || len(n.DNSSearchList) > 0 || n.NetworkSharedContainerName != "") {
		c.bad("windows.network", "", `has networkNamespace and more: "no other parameter must be specified"`, clause, "keep networkNamespace alone")
	}
	for i, e := range n.EndpointList {
		if e == "" {
			c.bad(index("windows.network.endpointList", i, ""), `""`, "is no endpoint", clause, "")
		}
	}
}

// windowsMount: "This value MUST be an absolute path. One mount destination
// MUST NOT be nested within another mount". "UNC paths and mapped drives are
// not supported" as a source; named pipes are local for all their backslashes.
func (c *checker) windowsMount(mounts []specs.Mount, i int) {
	const clause = "config.md, Mounts"
	m := &mounts[i]
	if !windowsAbs(m.Destination) {
		c.bad(index("mounts", i, "destination"), quote(m.Destination), "MUST be an absolute path", clause, `such as "C:\\data"`)
	}
	switch src := strings.ReplaceAll(m.Source, "/", `\`); {
	case m.Source == "":
		c.bad(index("mounts", i, "source"), "", "is missing; on Windows a mount is a local directory", clause, "")
	case strings.HasPrefix(src, `\\`) && !strings.HasPrefix(src, `\\.\`) && !strings.HasPrefix(src, `\\?\`),
		len(src) >= 8 && strings.EqualFold(src[:8], `\\?\UNC\`):
		c.bad(index("mounts", i, "source"), quote(m.Source), "is a UNC path, which is not supported", clause, "use a local directory")
	case !c.hostAbs(m.Source):
		c.bad(index("mounts", i, "source"), quote(m.Source), "MUST be a full path of the host", clause, "")
	}
	if i == len(mounts)-1 {
		c.nested(mounts)
	}
}

// nested sorts the destinations: one that lies within another then follows it,
// with nothing between them that does not.
func (c *checker) nested(mounts []specs.Mount) {
	order := make([]int, len(mounts))
	clean := make([]string, len(mounts))
	for i := range mounts {
		order[i] = i
		clean[i] = strings.ToLower(strings.TrimRight(strings.ReplaceAll(mounts[i].Destination, "/", `\`), `\`)) + `\`
	}
	sort.SliceStable(order, func(a, b int) bool { return clean[order[a]] < clean[order[b]] })
	for k := 1; k < len(order); k++ {
		outer, inner := order[k-1], order[k]
		if clean[outer] != `\` && strings.HasPrefix(clean[inner], clean[outer]) {
			c.bad(index("mounts", inner, "destination"), quote(mounts[inner].Destination), "is nested within "+index("mounts", outer, "")+", "+quote(mounts[outer].Destination), "config.md, Mounts", "")
		}
	}
}

// windowsAbs: C:\x, C:/x, \\server\share, \\.\pipe\x, \\?\Volume{…}\.
func windowsAbs(p string) bool {
	slash := func(b byte) bool { return b == '\\' || b == '/' }
	if len(p) >= 2 && slash(p[0]) && slash(p[1]) {
		return true
	}
	letter := len(p) >= 3 && ('a' <= p[0]|0x20 && p[0]|0x20 <= 'z')
	return letter && p[1] == ':' && slash(p[2])
}

// volumePath: \\?\Volume{GUID}\ with or without the last backslash.
func volumePath(p string) bool {
	const head = `\\?\Volume{`
	p = strings.TrimSuffix(p, `\`)
	return len(p) > len(head) && strings.EqualFold(p[:len(head)], head) && strings.HasSuffix(p, "}") && guid(p[len(head):len(p)-1])
}

// guid: 8-4-4-4-12 hexadecimal digits, in braces or not.
func guid(s string) bool {
	if strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") && len(s) == 38 {
		s = s[1:37]
	}
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if strings.IndexByte("0123456789abcdefABCDEF", s[i]) < 0 {
				return false
			}
		}
	}
	return true
}
