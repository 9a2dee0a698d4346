package uvm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/uvm/image"
	"wrun/tests/freememory"
	"wrun/tests/uvm/boot"
)

var rounds = flag.Int("speed", 0, "measure this many rounds (make bench): wants an otherwise idle machine")

// The ratios and bounds that TestSpeed holds.
const (
	mostBoot     = 1.25                  // × the floor: create, start and first output of a VM that is booted
	mostTemplate = 0.40                  // × the floor: of one that is restored
	mostExec     = 60 * time.Millisecond // over the silo's
	mostMember   = 150 * time.Millisecond
	mostMemory   = 80 << 20 // bytes of QEMU's own in a restored VM
)

// TestSpeed measures in turns: the floor, which is the same kernel with the
// smallest first process on the same QEMU; a container's first output when its VM
// is booted and when it is restored; exec in it and in a silo; a pod's next
// container.
func TestSpeed(t *testing.T) {
	if *rounds == 0 {
		t.Skip("only with -speed N, on an otherwise idle machine")
	}
	b := boot.Build(t)
	s := &speed{T: t, Built: b, dir: t.TempDir(), took: map[string][]time.Duration{}}
	s.bundle("vm", true, nil, "echo", "hi")
	s.bundle("idle", true, nil, "sleep", "1000")
	s.bundle("silo", false, nil, "sleep", "1000")
	sandbox := map[string]string{"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": s.id("idle")}
	s.bundle("idle", true, sandbox, "sleep", "1000")
	s.bundle("member", true, map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": s.id("idle")}, "sleep", "1000")
	floor := s.floor()
	for i := range *rounds + 1 { // the first warms up, and makes the template
		s.measured = i > 0
		s.warm()
		s.time("floor", floor)
		s.warm()
		s.firstOutput("booted", "--uvm-template", "off")
		s.warm()
		s.firstOutput("restored")
	}
	// Only now: with another VM, even an idle one, the machine is not idle.
	for _, name := range []string{"idle", "silo"} {
		s.wrun("create", name)
		defer s.wrun("delete", name, "--force")
		s.wrun("start", name)
	}
	memory := s.memory("idle")
	for i := range *rounds + 1 {
		s.measured = i > 0
		s.time("exec in a silo", func() { s.wrun("exec", "silo", "true") })
		s.time("exec in a VM", func() { s.wrun("exec", "idle", "true") })
		s.time("next of a pod", func() {
			s.wrun("create", "member")
			s.wrun("start", "member")
		})
		s.wrun("delete", "member", "--force")
	}
	fmt.Printf("%d rounds, medians in ms, the shortest in parentheses\n", *rounds)
	for _, what := range []string{"floor", "booted", "restored", "exec in a silo", "exec in a VM", "next of a pod"} {
		fmt.Printf("%-15s %6.1f (%.1f)\n", what, ms(s.median(what)), ms(s.took[what][0]))
	}
	over := func(what string) float64 { return float64(s.median(what)) / float64(s.median("floor")) }
	fmt.Printf("booted/floor %.2f, restored/floor %.2f, QEMU's own memory %.1f MB\n", over("booted"), over("restored"), float64(memory)/1e6)
	for _, c := range []struct {
		what string
		kept bool
	}{
		{fmt.Sprintf("a booted VM's first output takes at most %.2f × the floor", mostBoot), over("booted") <= mostBoot},
		{fmt.Sprintf("a restored VM's takes at most %.2f × the floor", mostTemplate), over("restored") <= mostTemplate},
		{fmt.Sprintf("exec takes at most %v longer than in a silo", mostExec), s.median("exec in a VM")-s.median("exec in a silo") <= mostExec},
		{fmt.Sprintf("a pod's next container takes at most %v", mostMember), s.median("next of a pod") <= mostMember},
		{fmt.Sprintf("a restored VM has at most %d bytes of its own", mostMemory), memory <= mostMemory},
	} {
		if !c.kept {
			t.Errorf("not kept: %s", c.what)
		}
	}
}

type speed struct {
	*testing.T
	boot.Built
	dir      string
	measured bool
	took     map[string][]time.Duration
}

// warm has this machine hold as much free memory as a VM needs: to get it back from
// its host took 0.4 s of a boot.
func (s *speed) warm() {
	s.Helper()
	s.must(freememory.Claim((defaultMemory + 2*overhead) << 20))
}

func (s *speed) id(name string) string { return fmt.Sprintf("wrun-speed-%d-%s", os.Getpid(), name) }

func (s *speed) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *speed) bundle(name string, vm bool, annotations map[string]string, args ...string) {
	s.Helper()
	dir := filepath.Join(s.dir, name)
	bin := filepath.Join(dir, "rootfs", "bin")
	for _, d := range []string{bin, filepath.Join(dir, "rootfs", "proc")} {
		s.must(os.MkdirAll(d, 0o755))
	}
	data, err := os.ReadFile("/bin/busybox")
	s.must(err)
	for _, applet := range []string{"echo", "sleep", "true"} {
		s.must(os.WriteFile(filepath.Join(bin, applet), data, 0o755))
	}
	spec := &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "rootfs"}, Annotations: annotations,
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace},
			{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace}}},
	}
	if vm {
		spec.Windows = &specs.Windows{HyperV: &specs.WindowsHyperV{UtilityVMPath: s.Image}}
	}
	data, err = json.Marshal(spec)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644))
}

// command is wrun for one of the bundles.
func (s *speed) command(op, name string, more ...string) *exec.Cmd {
	args := []string{"--root", filepath.Join(s.dir, "state"), op}
	if op == "create" || op == "run" {
		args = append(append(args, "--bundle", filepath.Join(s.dir, name)), more...)
		more = nil
	}
	return exec.Command(s.Wrun, append(append(args, s.id(name)), more...)...)
}

// wrun calls it; a container keeps what it has of streams, so it gets none.
func (s *speed) wrun(op, name string, more ...string) {
	s.Helper()
	if err := s.command(op, name, more...).Run(); err != nil {
		s.Fatalf("wrun %s %s: %v", op, name, err)
	}
}

func (s *speed) time(what string, do func()) {
	s.Helper()
	begun := time.Now()
	do()
	s.add(what, time.Since(begun))
}

func (s *speed) add(what string, took time.Duration) {
	if s.measured {
		s.took[what] = append(s.took[what], took)
	}
}

func (s *speed) median(what string) time.Duration {
	all := s.took[what]
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// firstOutput runs the bundle until its program has written something, and then
// to its end, which is not measured: the next measurement waits for it.
func (s *speed) firstOutput(what string, options ...string) {
	s.Helper()
	begun := time.Now()
	cmd := s.command("run", "vm", options...)
	out, err := cmd.StdoutPipe()
	s.must(err)
	s.must(cmd.Start())
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		s.Fatalf("run: %v", err)
	}
	s.add(what, time.Since(begun))
	go func() { _, _ = io.Copy(io.Discard, out) }()
	s.must(cmd.Wait())
}

// memory is what of a VM's QEMU nobody else has and no file: pages that it has
// written to.
func (s *speed) memory(name string) int64 {
	s.Helper()
	out, err := s.command("state", name).Output()
	s.must(err)
	var st specs.State
	s.must(json.Unmarshal(out, &st))
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", st.Pid)) // a child is a thread's
	s.must(err)
	var children []byte
	for _, list := range lists {
		of, err := os.ReadFile(list)
		s.must(err)
		children = append(children, of...)
	}
	var most int64
	for _, pid := range strings.Fields(string(children)) {
		rollup, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
		s.must(err)
		own := int64(0)
		for line := range strings.Lines(string(rollup)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Private_Dirty:" {
				kb, err := strconv.ParseInt(f[1], 10, 64)
				s.must(err)
				own += kb << 10
			}
		}
		most = max(most, own)
	}
	return most
}

// floor boots the same kernel on the same QEMU with a first process that powers
// off, and waits until QEMU has ended.
func (s *speed) floor() func() {
	var cpio bytes.Buffer
	s.must(image.WriteCPIO(&cpio, []image.Entry{{Name: "init", Mode: 0o755, Data: powerOff()}}))
	initrd := filepath.Join(s.dir, "floor")
	s.must(os.WriteFile(initrd, cpio.Bytes(), 0o644))
	m, err := NewMachine(&specs.Spec{}, imageIn(s.Image))
	s.must(err)
	m.Accel, m.TSC = TCG, timeStampCounter()
	args := m.Arguments(freshMemory)
	for i, a := range args {
		switch {
		case a == kernelInside:
			args[i] = m.Kernel
		case a == initrdInside:
			args[i] = initrd
		case strings.HasPrefix(a, "socket,id="): // nobody is at the other end
			name, _, _ := strings.Cut(strings.TrimPrefix(a, "socket,id="), ",")
			args[i] = "null,id=" + name
		}
	}
	return func() {
		s.Helper()
		if out, err := exec.Command(m.QEMU, args...).CombinedOutput(); err != nil {
			s.Fatalf("the floor: %v: %s", err, out)
		}
	}
}

// powerOff is a static program of a few instructions: reboot(2), to power off.
func powerOff() []byte {
	const at = 0x400000
	code := []byte{
		0xb8, 169, 0, 0, 0, // mov eax, reboot
		0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov edi, LINUX_REBOOT_MAGIC1
		0xbe, 0x69, 0x19, 0x12, 0x28, // mov esi, LINUX_REBOOT_MAGIC2
		0xba, 0xdc, 0xfe, 0x21, 0x43, // mov edx, LINUX_REBOOT_CMD_POWER_OFF
		0x0f, 0x05, // syscall
	}
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: at + 120,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	_ = binary.Write(&b, binary.LittleEndian, header)
	_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: at, Paddr: at, Filesz: uint64(120 + len(code)), Memsz: uint64(120 + len(code)), Align: 0x1000})
	b.Write(code)
	return b.Bytes()
}
