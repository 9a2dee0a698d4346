package main

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// TestVersionResource: Windows finds wrun's version in the executable; this
// test's has the same resources as wrun.exe (internal/winres).
func TestVersionResource(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	size, err := windows.GetFileVersionInfoSize(exe, nil)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	if err := windows.GetFileVersionInfo(exe, 0, size, unsafe.Pointer(&data[0])); err != nil {
		t.Fatal(err)
	}
	var text *uint16
	var n uint32
	if err := windows.VerQueryValue(unsafe.Pointer(&data[0]), `\StringFileInfo\040904b0\ProductVersion`, unsafe.Pointer(&text), &n); err != nil {
		t.Fatal(err)
	}
	if got := windows.UTF16PtrToString(text); got != "0.1.0" || !strings.HasPrefix(version, got) {
		t.Errorf("product version %q, wrun says %q", got, version)
	}
	var info *windows.VS_FIXEDFILEINFO
	if err := windows.VerQueryValue(unsafe.Pointer(&data[0]), `\`, unsafe.Pointer(&info), &n); err != nil {
		t.Fatal(err)
	}
	if info.FileVersionMS != 1 || info.FileVersionLS != 0 || info.ProductVersionMS != 1 {
		t.Errorf("%+v", info)
	}
}
