package image

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

const testRelease = "6.1.0-1-test"

// testELF is an ELF file for x86-64 with one section and, if it is a program,
// one segment of that section's bytes.
func testELF(section string, segment uint32, data string) []byte {
	names := "\x00" + section + "\x00.shstrtab\x00"
	const header, program, sectionHeader = 64, 56, 64
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	dataAt := uint64(header + program)
	namesAt := dataAt + uint64(len(data))
	put([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9), uint16(1), uint16(62), uint32(1), uint64(0),
		uint64(header), namesAt+uint64(len(names)), uint32(0), uint16(header), uint16(program), uint16(1), uint16(sectionHeader), uint16(3), uint16(2))
	put(segment, uint32(4), dataAt, uint64(0), uint64(0), uint64(len(data)), uint64(len(data)), uint64(4))
	put([]byte(data), []byte(names))
	put(make([]byte, sectionHeader))
	put(uint32(1), uint32(1), uint64(0), uint64(0), dataAt, uint64(len(data)), uint32(0), uint32(0), uint64(1), uint64(0))
	put(uint32(2+len(section)), uint32(3), uint64(0), uint64(0), namesAt, uint64(len(names)), uint32(0), uint32(0), uint64(1), uint64(0))
	return b.Bytes()
}

const (
	ptNull   = 0
	ptInterp = 3
	ptNote   = 4
)

func testModule(name, depends string) []byte {
	return testELF(".modinfo", ptNull, "license=GPL\x00depends="+depends+"\x00name="+name+"\x00vermagic="+testRelease+" SMP \x00")
}

func note(owner string, kind uint32, desc string) string {
	pad := func(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, uint32(len(owner)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(desc)))
	b = binary.LittleEndian.AppendUint32(b, kind)
	return string(b) + pad(owner) + pad(desc)
}

func testVmlinux() []byte {
	notes := note("GNU\x00", 3, "build") + note("Xen\x00", 6, "linux\x00") + note("Xen\x00", pvhNote, "\x00\x00\x00\x01")
	return append(testELF(".notes", ptNote, notes), "Linux version %s, Linux version "+testRelease+" (a@b) #1"...)
}

func testInit() []byte { return testELF(".text", ptNull, "wrun") }

func testTree() fstest.MapFS {
	file := func(data []byte) *fstest.MapFile { return &fstest.MapFile{Data: data} }
	return fstest.MapFS{
		"modules.builtin":                  file([]byte("kernel/fs/ext4/ext4.ko\nkernel/lib/crc-16.ko\n")),
		"kernel/drivers/virtio/virtio.ko":  file(testModule("virtio", "virtio_ring")),
		"kernel/drivers/virtio_ring.ko":    file(testModule("virtio_ring", "")),
		"kernel/net/virtio_net.ko":         file(testModule("virtio_net", "virtio_ring,virtio,net_failover,crc_16")),
		"kernel/net/net_failover.ko.gz":    file(gzipped(testModule("net_failover", "failover"))),
		"kernel/net/failover.ko":           file(testModule("failover", "")),
		"kernel/misc/pvpanic-mmio.ko":      file(testModule("pvpanic_mmio", "pvpanic")),
		"kernel/misc/pvpanic.ko":           file(testModule("pvpanic", "")),
		"kernel/odd/orphan.ko":             file(testModule("orphan", "nowhere")),
		"kernel/odd/egg.ko":                file(testModule("egg", "hen")),
		"kernel/odd/hen.ko":                file(testModule("hen", "egg")),
		"kernel/odd/liar.ko":               file(testModule("somebody", "")),
		"kernel/odd/text.ko":               file([]byte("no ELF")),
		"kernel/odd/bare.ko":               file(testELF(".text", ptNull, "")),
		"kernel/odd/old.ko":                file(testELF(".modinfo", ptNull, "name=old\x00vermagic=5.10.0 SMP\x00")),
		"kernel/odd/readme.ko.txt":         file([]byte("not a module")),
		"kernel/odd/modules.of.this.order": file([]byte("neither")),
	}
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestResolve(t *testing.T) {
	modules, err := OpenModules(testTree(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ names, want, err string }{
		{"virtio", "virtio_ring.ko virtio.ko", ""},
		{"virtio_net", "virtio_ring.ko virtio.ko failover.ko net_failover.ko virtio_net.ko", ""},
		{"virtio-net virtio virtio_net", "virtio_ring.ko virtio.ko failover.ko net_failover.ko virtio_net.ko", ""},
		{"pvpanic_mmio", "pvpanic.ko pvpanic-mmio.ko", ""},
		{"ext4 crc-16 crc_16", "", ""},
		{"", "", ""},
		{"failover nowhere", "", "module nowhere is neither there nor built in: file does not exist"},
		{"orphan", "", "module nowhere, which orphan needs, is neither there nor built in: file does not exist"},
		{"hen", "", "module hen needs itself, through egg"},
		{"liar", "", `reading module kernel/odd/liar.ko: it calls itself "somebody"`},
		{"bare", "", "reading module kernel/odd/bare.ko: it has no section .modinfo"},
		{"text", "", "reading module kernel/odd/text.ko: EOF"},
		{"old", "", `module kernel/odd/old.ko is for kernel "5.10.0", and the kernel is "6.1.0-1-test"`},
	} {
		loads, err := modules.Resolve(testRelease, strings.Fields(tt.names)...)
		var files []string
		for _, m := range loads {
			files = append(files, m.File)
		}
		message := ""
		if err != nil {
			message = err.Error()
		}
		if got := strings.Join(files, " "); got != tt.want || message != tt.err {
			t.Errorf("%s: got %q, %q, want %q, %q", tt.names, got, message, tt.want, tt.err)
		}
		if strings.Contains(tt.err, "neither there") && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the error is not fs.ErrNotExist", tt.names)
		}
	}
}

func TestOpenModules(t *testing.T) {
	if _, err := OpenModules(fstest.MapFS{}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without modules.builtin: %v", err)
	}
	twice := testTree()
	twice["updates/vir-tio.ko"] = &fstest.MapFile{}
	twice["updates/vir_tio.ko.xz"] = &fstest.MapFile{}
	if _, err := OpenModules(twice, nil); err == nil || !strings.Contains(err.Error(), "vir_tio.ko.xz are the same module") {
		t.Errorf("a module that is there twice: %v", err)
	}
}

func testInput() Input {
	return Input{
		Kernel: bzImage(gzipped(testVmlinux())), Modules: testTree(), Init: testInit(),
		Package: "linux-image-test", PackageVersion: "6.1-1",
		Wanted: []string{"ext4", "virtio-net"}, Optional: []string{"pvpanic-mmio", "no-such", "crc-16"},
	}
}

func TestBuild(t *testing.T) {
	got, err := Build(testInput())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Kernel, testVmlinux()) {
		t.Error("the kernel is not the one in the bzImage")
	}
	var names []string
	for _, e := range readCPIO(t, got.Initrd) {
		names = append(names, e.line())
	}
	checkGolden(t, "testdata/initrd.golden", strings.Join(names, "\n")+"\n")
	manifest, err := json.MarshalIndent(got.Manifest, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/manifest.golden", string(manifest)+"\n")
	if got.Manifest.KernelSum != sum(got.Kernel) || got.Manifest.InitrdSum != sum(got.Initrd) || got.Manifest.InitSum != sum(testInit()) {
		t.Error("the manifest's sums are not those of the files")
	}
}

func TestBuildIsReproducible(t *testing.T) {
	first, err := Build(testInput())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // the order of a map differs from run to run
		again, err := Build(testInput())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, again) {
			t.Fatalf("same input, other image:\n%+v\n%+v", first.Manifest, again.Manifest)
		}
	}
	other := testInput()
	other.Init = testELF(".text", ptNull, "another wrun")
	changed, err := Build(other)
	if err != nil {
		t.Fatal(err)
	}
	if changed.Manifest.InitrdSum == first.Manifest.InitrdSum || changed.Manifest.KernelSum != first.Manifest.KernelSum {
		t.Errorf("another wrun must change the initrd and not the kernel: %+v", changed.Manifest)
	}
}

func TestBuildWithoutModules(t *testing.T) {
	in := testInput()
	in.Modules, in.Kernel = nil, testVmlinux()
	got, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range readCPIO(t, got.Initrd) {
		if strings.HasSuffix(e.Name, ".ko") || e.Name == "lib/modules/load" && len(e.Data) > 0 {
			t.Errorf("%s is in the initrd of a kernel without modules", e.line())
		}
	}
	if len(got.Manifest.Modules) != 0 || got.Manifest.Modules == nil {
		t.Errorf("manifest: modules %#v, want an empty list", got.Manifest.Modules)
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Input)
		want   string
	}{
		{"dynamic", func(in *Input) { in.Init = testELF(".interp", ptInterp, "/lib64/ld.so\x00") }, "checking the program that becomes /init: it is not static, and the VM has no libraries (build it with CGO_ENABLED=0)"},
		{"script", func(in *Input) { in.Init = []byte("#!/bin/sh\n") }, "checking the program that becomes /init: reading it as ELF: "},
		{"arm64", func(in *Input) { in.Init = armed(testInit()) }, "checking the program that becomes /init: it is for EM_AARCH64, not for x86-64"},
		{"no banner", func(in *Input) { in.Kernel = bytes.ReplaceAll(testVmlinux(), []byte("version"), []byte("Version")) }, `looking for the kernel's release: no "Linux version " in it`},
		{"missing", func(in *Input) { in.Wanted = []string{"gone"} }, "finding the modules of the VM: module gone is neither there nor built in"},
		{"optional, but broken", func(in *Input) { in.Optional = []string{"orphan"} }, "finding the modules of the VM: module nowhere, which orphan needs,"},
		{"other kernel", func(in *Input) {
			in.Kernel = bytes.ReplaceAll(testVmlinux(), []byte(testRelease), []byte("6.1.0-2-test"))
		}, `is for kernel "6.1.0-1-test", and the kernel is "6.1.0-2-test"`},
	} {
		in := testInput()
		tt.change(&in)
		if _, err := Build(in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// armed is an ELF file for arm64.
func armed(file []byte) []byte {
	file = bytes.Clone(file)
	binary.LittleEndian.PutUint16(file[18:], 183)
	return file
}

func TestFromPackage(t *testing.T) {
	for _, top := range []string{"lib/modules/", "usr/lib/modules/"} {
		dir := fstest.MapFS{"boot/vmlinuz-1": {Data: []byte("kernel")}, "boot/config-1": {}, top + "1/modules.builtin": {Data: []byte("fs/ext4.ko\n")}}
		kernel, modules, err := FromPackage(dir)
		if err != nil {
			t.Fatalf("%s: %v", top, err)
		}
		list, err := fs.ReadFile(modules, "modules.builtin")
		if string(kernel) != "kernel" || string(list) != "fs/ext4.ko\n" || err != nil {
			t.Errorf("%s: got %q, %q, %v", top, kernel, list, err)
		}
	}
	if _, _, err := FromPackage(fstest.MapFS{"boot/vmlinuz-1": {}, "boot/vmlinuz-2": {}}); err == nil || !strings.Contains(err.Error(), "found 2") {
		t.Errorf("two kernels: %v", err)
	}
	if _, _, err := FromPackage(fstest.MapFS{"boot/vmlinuz-1": {}}); err == nil || !strings.Contains(err.Error(), "lib/modules/* or usr/lib/modules/* in the package: found 0") {
		t.Errorf("no modules: %v", err)
	}
}

func TestListsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range append(Wanted(), Optional()...) {
		if seen[canonical(name)] {
			t.Errorf("%s is asked for twice", name)
		}
		seen[canonical(name)] = true
	}
	if len(seen) == 0 || len(seen) > math.MaxInt8 {
		t.Errorf("%d modules are asked for", len(seen))
	}
}
