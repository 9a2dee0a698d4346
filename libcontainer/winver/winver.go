// Package winver knows Windows versions: which builds there are, which image
// runs on which host in which isolation, and which isolation is the default
// where. Pure: versions in, verdicts out; how to ask a host for its version is
// not known here.
//
// Source: Microsoft's "Windows container version compatibility" and
// "Isolation modes". Nothing here was tried on real Windows.
package winver

import "fmt"

// Builds that rules and names depend on.
const (
	Server2016 uint16 = 14393 // and Windows 10 1607
	Server2019 uint16 = 17763 // and Windows 10 1809
	Build18362 uint16 = 18362 // Windows 10 and Server 1903
	Build19041 uint16 = 19041 // Windows 10 and Server 2004
	Server2022 uint16 = 20348
	Win11      uint16 = 22000 // 21H2
	Win11_22H2 uint16 = 22621
	Server23H2 uint16 = 25398
	Server2025 uint16 = 26100 // and Windows 11 24H2
)

// Version is major.minor.build.revision. The zero Version is unknown.
type Version struct {
	Major, Minor uint32
	Build        uint16
	Revision     uint32
}

// String is major.minor.build.revision, with the product where a build names one.
func (v Version) String() string {
	if v == (Version{}) {
		return "unknown"
	}
	s := fmt.Sprintf("%d.%d.%d.%d", v.Major, v.Minor, v.Build, v.Revision)
	if name := imageName(v.Build); name != "" {
		s += " (" + name + ")"
	}
	return s
}

// imageName: base images are named after servers, whatever host they run on.
func imageName(build uint16) string {
	switch build {
	case Server2016:
		return "Windows Server 2016"
	case Server2019:
		return "Windows Server 2019"
	case Server2022:
		return "Windows Server 2022"
	case Server23H2:
		return "Windows Server 23H2"
	case Server2025:
		return "Windows Server 2025"
	}
	return ""
}

// Host is the version of a Windows host. Server is the product type, not the
// build: clients and servers share builds.
type Host struct {
	Major, Minor uint32
	Build        uint16
	Revision     uint32
	Server       bool
}

// Version is h's version without its product type.
func (h Host) Version() Version { return Version{h.Major, h.Minor, h.Build, h.Revision} }

// String is the version and whether it is a client's or a server's.
func (h Host) String() string {
	name := imageName(h.Build)
	switch {
	case !h.Server && h.Build >= Win11:
		name = "Windows 11"
	case !h.Server && h.Build >= 10240:
		name = "Windows 10"
	case !h.Server:
		name = "a Windows client"
	case name == "":
		name = "Windows Server"
	}
	return fmt.Sprintf("%d.%d.%d.%d (%s)", h.Major, h.Minor, h.Build, h.Revision, name)
}

// DefaultIsolation is what a Spec gets whose author did not choose: "process"
// on a server, "hyperv" on a client.
func DefaultIsolation(h Host) string {
	if h.Server {
		return "process"
	}
	return "hyperv"
}

// ProcessAllowed says whether h can run process-isolated containers at all:
// servers always could, clients can since 17763, when asked to.
func ProcessAllowed(h Host) bool {
	return h.Server || h.Build >= Server2019
}

// Mismatch is an image that cannot run on a host.
type Mismatch struct {
	Host   Host
	Image  Version
	HyperV bool
	Rule   string // what it breaks, a clause
	Cure   string // what to do instead
}

// Error names both versions and the rule.
func (m *Mismatch) Error() string {
	mode := "process isolation"
	if m.HyperV {
		mode = "Hyper-V isolation"
	}
	return fmt.Sprintf("an image of Windows %v cannot run in %s on a host of Windows %v: %s", m.Image, mode, m.Host, m.Rule)
}

// Hint is the cure.
func (m *Mismatch) Hint() string { return m.Cure }

// newer: a and b differ in build or above, and a is the later one.
func newer(a, b Version) bool {
	if a.Major != b.Major {
		return a.Major > b.Major
	}
	if a.Minor != b.Minor {
		return a.Minor > b.Minor
	}
	return a.Build > b.Build
}

// Check says whether an image of that version runs on h: nil, or a *Mismatch.
// An unknown image passes, HCS will judge it.
//
// Process isolation shares the host's kernel. Before build 20348 image and host
// have to be of one build; from 20348 on the interface is kept, so images from
// 20348 up to the host's own build run. Server 2016 wants equal revisions too.
// Under Hyper-V the image brings its kernel, and only has to be no newer than
// the host.
func Check(h Host, image Version, hyperv bool) error {
	host := h.Version()
	bad := func(rule, cure string) error { return &Mismatch{h, image, hyperv, rule, cure} }
	if !hyperv && !ProcessAllowed(h) {
		return bad("Windows 10 has process isolation from build 17763 (version 1809) on", "add a windows.hyperv section to run it under Hyper-V isolation, or update Windows")
	}
	if image == (Version{}) {
		return nil
	}
	if newer(image, host) {
		return bad("the image is newer than the host, which no isolation allows", "use an image of the host's version or an older one, or update Windows")
	}
	const underHyperV = "add a windows.hyperv section to run it under Hyper-V isolation, or use an image of "
	switch same := !newer(host, image); {
	case hyperv:
		return nil
	case same && host.Build == Server2016 && image.Revision != 0 && host.Revision != 0 && image.Revision != host.Revision:
		return bad("on Windows Server 2016 the revisions of image and host have to be equal too", underHyperV+fmt.Sprintf("revision %d", host.Revision))
	case same:
		return nil
	case host.Build < Server2022:
		return bad("before build 20348, image and host have to be of the same build", underHyperV+fmt.Sprintf("build %d", host.Build))
	case newer(Version{host.Major, host.Minor, Server2022, 0}, image):
		return bad("images older than build 20348 share no kernel with a later host", underHyperV+"Windows Server 2022 (build 20348) or later")
	}
	return nil
}
