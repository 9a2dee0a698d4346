package rig

import (
	"fmt"
	"strings"
)

// Version is a Windows, as its registry tells: RtlGetVersion under Wine reads
// it anew in each process.
type Version struct {
	Product string
	Build   int
	Client  bool
}

// The Windows versions that host containers today.
var (
	Server2019 = Version{"Windows Server 2019 Datacenter", 17763, false}
	Server2022 = Version{"Windows Server 2022 Datacenter", 20348, false}
	Server2025 = Version{"Windows Server 2025 Datacenter", 26100, false}
	Windows10  = Version{"Windows 10 Pro", 19045, true}
	Windows11  = Version{"Windows 11 Pro", 26100, true}
)

// registry is the version as a file for regedit. CurrentVersion is 6.3 on real
// ones, which Wine would take for the major and minor number.
func (v Version) registry() string {
	installation, product := "Server Core", "ServerNT"
	if v.Client {
		installation, product = "Client", "WinNT"
	}
	return strings.ReplaceAll(fmt.Sprintf(`REGEDIT4

[HKEY_LOCAL_MACHINE\Software\Microsoft\Windows NT\CurrentVersion]
"ProductName"="%s"
"CurrentVersion"="10.0"
"CurrentBuild"="%d"
"CurrentBuildNumber"="%d"
"CurrentMajorVersionNumber"=dword:0000000a
"CurrentMinorVersionNumber"=dword:00000000
"CSDVersion"=""
"InstallationType"="%s"
"UBR"=dword:00000a8f

[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Control\ProductOptions]
"ProductType"="%s"

[HKEY_CURRENT_USER\Software\Wine]
"Version"=-
`, v.Product, v.Build, v.Build, installation, product), "\n", "\r\n")
}

// onlyUTC leaves the machine one time zone. Wine looks through all of them at
// the start of every process, for 20 ms, which is half of what a start takes.
func onlyUTC() string {
	const zones = `HKEY_LOCAL_MACHINE\Software\Microsoft\Windows NT\CurrentVersion\Time Zones`
	const tzi = 44 // length of the binary form: zero bias, no summer time
	return strings.ReplaceAll(fmt.Sprintf(`REGEDIT4

[-%[1]s]

[%[1]s\UTC]
"Display"="(UTC) Coordinated Universal Time"
"Std"="Coordinated Universal Time"
"Dlt"="Coordinated Universal Time"
"TZI"=hex:%[2]s
`, zones, strings.Repeat("00,", tzi-1)+"00"), "\n", "\r\n")
}
