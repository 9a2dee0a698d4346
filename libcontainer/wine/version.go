package wine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/winver"
)

// AnnotationVersion chooses the version that Windows is said to be:
// "10.0.17763", "10.0.17763.4737" or the product's year, "2019".
const AnnotationVersion = "org.wrun.wine.version"

// Version is what a container reads of its Windows.
type Version struct {
	Build    uint16 `json:"build"`
	Revision uint32 `json:"revision,omitempty"`
}

// defaultVersion is what most images are made for: Windows Server 2022.
var defaultVersion = Version{Build: winver.Server2022}

func (v Version) String() string {
	return fmt.Sprintf("10.0.%d.%d", v.Build, v.Revision)
}

// product and release are the names that Microsoft gave a build.
func (v Version) product() (name, release string) {
	switch v.Build {
	case winver.Server2016:
		return "Windows Server 2016 Datacenter", "1607"
	case winver.Server2019:
		return "Windows Server 2019 Datacenter", "1809"
	case winver.Server2022:
		return "Windows Server 2022 Datacenter", "21H2"
	case winver.Server23H2:
		return "Windows Server 2022 Datacenter", "23H2"
	case winver.Server2025:
		return "Windows Server 2025 Datacenter", "24H2"
	}
	return "Windows Server Datacenter", ""
}

func versionOf(s *specs.Spec) (Version, error) {
	text, ok := s.Annotations[AnnotationVersion]
	if !ok {
		return defaultVersion, nil
	}
	for year, build := range map[string]uint16{"2016": winver.Server2016, "2019": winver.Server2019, "2022": winver.Server2022, "2025": winver.Server2025} {
		if text == year {
			return Version{Build: build}, nil
		}
	}
	wrong := libcontainer.WithHint(bad(`annotations["`+AnnotationVersion+`"]`, "%q is no version of Windows Server since 2016", text),
		"such as 10.0.20348, 10.0.17763.4737 or 2019")
	parts := strings.Split(text, ".")
	if len(parts) < 3 || len(parts) > 4 || parts[0] != "10" || parts[1] != "0" {
		return Version{}, wrong
	}
	build, err := strconv.ParseUint(parts[2], 10, 16)
	if err != nil || build < 10240 { // the first Windows 10
		return Version{}, wrong
	}
	v := Version{Build: uint16(build)}
	if len(parts) == 4 {
		revision, err := strconv.ParseUint(parts[3], 10, 32)
		if err != nil {
			return Version{}, wrong
		}
		v.Revision = uint32(revision)
	}
	return v, nil
}

// values are the version as the registry has it. With CurrentVersion 6.3, which
// Windows has, Wine would say that it is 6.3.
func (v Version) values() []value {
	const current = `Software\Microsoft\Windows NT\CurrentVersion`
	name, release := v.product()
	build := strconv.Itoa(int(v.Build))
	return []value{
		{current, "ProductName", text(name)},
		{current, "CurrentVersion", text("10.0")},
		{current, "CurrentBuild", text(build)},
		{current, "CurrentBuildNumber", text(build)},
		{current, "CurrentMajorVersionNumber", number(10)},
		{current, "CurrentMinorVersionNumber", number(0)},
		{current, "UBR", number(v.Revision)},
		{current, "CSDVersion", text("")},
		{current, "DisplayVersion", text(release)},
		{current, "InstallationType", text("Server Core")},
		{current, "EditionID", text("ServerDatacenter")},
		{`System\CurrentControlSet\Control\ProductOptions`, "ProductType", text("ServerNT")},
	}
}
