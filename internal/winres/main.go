// Command winres writes the resources of wrun.exe, a manifest and a version, as
// object files that the Go linker takes in: rsrc_windows_amd64.syso and its
// sister for arm64 at the repository's top. The bytes depend on this package
// alone, and its test holds the committed files against them.
//
// Without the manifest Windows would show wrun the version of Windows 8, refuse
// paths of more than 260 characters and guess whether it wants to be elevated.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run . -out ../..

func main() {
	out := flag.String("out", ".", "directory for the object files")
	flag.Parse()
	for _, m := range machines() {
		if err := os.WriteFile(filepath.Join(*out, m.file), object(m), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "winres:", err)
			os.Exit(1)
		}
	}
}

// machine is one architecture in the words of the PE format.
type machine struct {
	file       string
	id         uint16 // IMAGE_FILE_MACHINE_*
	relocation uint16 // IMAGE_REL_*_ADDR32NB: an address from the start of the image
}

func machines() []machine {
	return []machine{
		{"rsrc_windows_amd64.syso", 0x8664, 3},
		{"rsrc_windows_arm64.syso", 0xaa64, 2},
	}
}

// object is the whole file for one machine.
func object(m machine) []byte {
	section, relocations := section([]resource{
		{kind: typeVersion, data: versionInfo(fileVersion, strings())},
		{kind: typeManifest, data: []byte(manifest)},
	})
	return coff(m, section, relocations)
}

// fileVersion is main.version without what follows the numbers.
const fileVersion = "0.1.0"

// strings are what Explorer shows and PowerShell's Get-Command reads.
func strings() [][2]string {
	return [][2]string{
		{"FileDescription", "wrun, an OCI runtime for silos and utility VMs"},
		{"FileVersion", fileVersion},
		{"InternalName", "wrun"},
		{"OriginalFilename", "wrun.exe"},
		{"ProductName", "wrun"},
		{"ProductVersion", fileVersion},
	}
}

// manifest: the id is that of Windows 10, which all later ones answer to as
// well. wrun never asks for elevation: who may not talk to the Host Compute
// Service is told so by it.
const manifest = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <assemblyIdentity type="win32" name="wrun" version="` + fileVersion + `.0" processorArchitecture="*"/>
  <compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1">
    <application>
      <supportedOS Id="{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"/>
    </application>
  </compatibility>
  <application xmlns="urn:schemas-microsoft-com:asm.v3">
    <windowsSettings xmlns:ws2016="http://schemas.microsoft.com/SMI/2016/WindowsSettings">
      <ws2016:longPathAware>true</ws2016:longPathAware>
    </windowsSettings>
  </application>
  <trustInfo xmlns="urn:schemas-microsoft-com:asm.v3">
    <security>
      <requestedPrivileges>
        <requestedExecutionLevel level="asInvoker" uiAccess="false"/>
      </requestedPrivileges>
    </security>
  </trustInfo>
</assembly>
`
