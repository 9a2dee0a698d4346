package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kernel makes, in dir, what stands in for an image's system files: a DLL
// without code whose version resource names the Windows it is from.
func kernel(dir string, build int) (string, error) {
	made := filepath.Join(dir, fmt.Sprintf("kernel-%d.dll", build))
	if _, err := os.Stat(made); err == nil {
		return made, nil
	}
	base := filepath.Join(dir, fmt.Sprintf("kernel-%d", build))
	script := fmt.Sprintf(`1 VERSIONINFO
FILEVERSION 10,0,%[1]d,2700
PRODUCTVERSION 10,0,%[1]d,2700
FILEOS 0x40004
FILETYPE 0x2
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904B0"
    BEGIN
      VALUE "FileVersion", "10.0.%[1]d.2700"
      VALUE "ProductVersion", "10.0.%[1]d.2700"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
`, build)
	if err := os.WriteFile(base+".rc", []byte(script), 0o600); err != nil {
		return "", err
	}
	for _, argv := range [][]string{
		{strings.Replace(compiler, "gcc", "windres", 1), base + ".rc", base + ".o"},
		{compiler, "-shared", "-nostdlib", "-Wl,--entry,0", "-o", made, base + ".o"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("make the image's kernel: %w: %s", err, out)
		}
	}
	return made, nil
}

// layers makes the folders of an image and one container's scratch in dir, a
// folder of the Windows machine: topmost first, the scratch last.
//
//	base\Files\Windows\System32\ntoskrnl.exe   the image's Windows
//	base\UtilityVM\Files, SystemTemplate.vhdx  to boot a utility VM from
//	top\Files
//	scratch\sandbox.vhdx                       a disk by name only
func (s *Site) layers(dir string, build int) ([]string, error) {
	made, err := kernel(filepath.Join(s.dir, "bin"), build)
	if err != nil {
		return nil, err
	}
	system := `\Windows\System32\`
	for _, file := range []string{"ntoskrnl.exe", "ntdll.dll", "kernelbase.dll"} {
		for _, tree := range []string{`\base\Files`, `\base\UtilityVM\Files`} {
			if err := s.Host.install(made, dir+tree+system+file); err != nil {
				return nil, err
			}
		}
	}
	for _, disk := range []string{`\base\UtilityVM\SystemTemplate.vhdx`, `\base\UtilityVM\SystemTemplateBase.vhdx`, `\base\blank-base.vhdx`, `\scratch\sandbox.vhdx`} {
		if err := s.write(dir+disk, []byte("a virtual disk by name only\n")); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(s.Host.Unix(dir+`\top\Files`), 0o755); err != nil {
		return nil, err
	}
	return []string{dir + `\top`, dir + `\base`, dir + `\scratch`}, nil
}

// write makes a file of the Windows machine with the folders it needs.
func (s *Site) write(windows string, data []byte) error {
	name := s.Host.Unix(windows)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
