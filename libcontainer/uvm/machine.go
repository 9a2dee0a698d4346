package uvm

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/uvm/guest"
)

// This file is pure: from a Spec to QEMU's arguments.

// Accel is how the guest's instructions are executed.
type Accel string

const (
	TCG Accel = "tcg" // translated, on any machine
	KVM Accel = "kvm"
)

// Machine is a utility VM as QEMU is told to make it.
type Machine struct {
	QEMU   string `json:"qemu"` // program
	Accel  Accel  `json:"accel"`
	Memory uint64 `json:"memory"` // MiB
	CPUs   uint32 `json:"cpus"`
	Kernel string `json:"kernel"` // an ELF vmlinux with a PVH entry, or a bzImage
	Initrd string `json:"initrd"`
	// Parameters come behind wrun's own on the kernel's command line.
	Parameters []string `json:"parameters,omitempty"`
	TSC        uint64   `json:"tsc,omitempty"` // the host's, kHz
	// Cards are the hardware addresses of the network cards that the VM is made with.
	Cards []string `json:"cards,omitempty"`
	// Boot has the VM booted, though a template could be restored.
	Boot bool `json:"boot,omitempty"`
}

const (
	// defaultMemory is what a container without a limit gets. The host gives it
	// only as it is touched.
	defaultMemory = 512 // MiB
	// overhead is what the guest's kernel and agent need beside a container's
	// limit: 80 MiB is the least that boots (measured).
	overhead = 128 // MiB
	mostCPUs = 255
	// agentThreads is how many of the agent's goroutines run or wait in the kernel
	// during a start: for the host, for the container's output, and the start itself.
	agentThreads = 3
	// unlimited is what nobody means as a limit: cgroup v1 says so with 2^63.
	unlimited = 1 << 50
)

// Image is where the boot image lies.
type Image struct{ Kernel, Initrd string }

// imageIn are the names of a boot image's files in its folder.
func imageIn(dir string) Image {
	return Image{filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd")}
}

// Annotations of a bundle, where --uvm-accel and --uvm-template are not given.
const (
	AnnotationAccel    = "org.wrun.uvm.accel"
	AnnotationTemplate = "org.wrun.uvm.template"
)

// choose takes what the caller or the bundle wants otherwise than by default;
// without a word, Accel stays empty: the machine decides.
func (m *Machine) choose(accel, template string, annotations map[string]string) error {
	if accel == "" {
		accel = annotations[AnnotationAccel]
	}
	if template == "" {
		template = annotations[AnnotationTemplate]
	}
	switch accel {
	case "", "auto":
	case string(TCG), string(KVM):
		m.Accel = Accel(accel)
	default:
		return fmt.Errorf("a utility VM's instructions are executed by kvm or tcg, not by %q (--uvm-accel, annotation %s)", accel, AnnotationAccel)
	}
	switch template {
	case "", "auto", "on":
	case "off":
		m.Boot = true
	default:
		return fmt.Errorf("templates of utility VMs are auto or off, not %q (--uvm-template, annotation %s)", template, AnnotationTemplate)
	}
	return nil
}

// fit takes what a limit allows beyond what the host has away again.
func (m *Machine) fit(memory uint64, cpus int) {
	m.Memory = min(m.Memory, max(memory>>20, overhead))
	m.CPUs = min(m.CPUs, uint32(max(cpus, 1)))
}

// NewMachine reads the VM off a Spec. fallback is the image where the Spec names
// none.
func NewMachine(s *specs.Spec, fallback Image) (*Machine, error) {
	m := &Machine{QEMU: "qemu-system-x86_64", Memory: defaultMemory, CPUs: 1}
	image := fallback
	if w := s.Windows; w != nil && w.HyperV != nil && w.HyperV.UtilityVMPath != "" {
		image = imageIn(w.HyperV.UtilityVMPath)
	}
	m.size(s)
	if v := s.VM; v != nil {
		if v.Image.Path != "" {
			return nil, errors.New("vm.image: the utility VM has no root image, the container's root file system is root.path")
		}
		if len(v.Hypervisor.Parameters) > 0 {
			return nil, errors.New("vm.hypervisor.parameters: are wrun's own; the VM is confined by them")
		}
		if v.Hypervisor.Path != "" {
			m.QEMU = v.Hypervisor.Path
		}
		if v.Kernel.Path != "" {
			image.Kernel = v.Kernel.Path
		}
		if v.Kernel.InitRD != "" {
			image.Initrd = v.Kernel.InitRD
		}
		for _, p := range v.Kernel.Parameters {
			if p == "--" || p == "" || strings.ContainsAny(p, " \t\n") {
				return nil, fmt.Errorf("vm.kernel.parameters: %q is no parameter", p)
			}
		}
		m.Parameters = v.Kernel.Parameters
		if h := v.HwConfig; h != nil {
			if h.DeviceTree != "" || len(h.DtDevs)+len(h.IOMems)+len(h.Irqs) > 0 {
				return nil, errors.New("vm.hwconfig: only vcpus and memory can be set")
			}
			if h.VCPUs != nil {
				m.CPUs = *h.VCPUs
			}
			if h.Memory != nil {
				m.Memory = *h.Memory >> 20
			}
		}
	}
	m.Kernel, m.Initrd = image.Kernel, image.Initrd
	switch {
	case m.CPUs < 1 || m.CPUs > mostCPUs:
		return nil, fmt.Errorf("the utility VM cannot have %d processors (1 to %d)", m.CPUs, mostCPUs)
	case m.Memory < overhead:
		return nil, fmt.Errorf("the utility VM cannot have %d MiB of memory (at least %d)", m.Memory, overhead)
	}
	return m, nil
}

// size gives the VM what the container may use.
func (m *Machine) size(s *specs.Spec) {
	if l := s.Linux; l != nil && l.Resources != nil {
		if r := l.Resources.Memory; r != nil && r.Limit != nil && *r.Limit > 0 && *r.Limit < unlimited {
			m.Memory = mebibytes(uint64(*r.Limit)) + overhead
		}
		if c := l.Resources.CPU; c != nil && c.Quota != nil && c.Period != nil && *c.Quota > 0 && *c.Period > 0 {
			m.CPUs = uint32(min((uint64(*c.Quota)+*c.Period-1) / *c.Period, mostCPUs))
		}
	}
	if w := s.Windows; w != nil && w.Resources != nil {
		if r := w.Resources.Memory; r != nil && r.Limit != nil && *r.Limit > 0 && *r.Limit < unlimited {
			m.Memory = mebibytes(*r.Limit) + overhead
		}
		if c := w.Resources.CPU; c != nil && c.Count != nil && *c.Count > 0 {
			m.CPUs = uint32(min(*c.Count, mostCPUs))
		}
	}
}

func mebibytes(n uint64) uint64 { return (n + 1<<20 - 1) >> 20 }

// descriptors are the numbers under which QEMU inherits its sockets.
const (
	agentFD = 3 + iota
	filesFD
	qmpFD
	consoleFD
	stateFD
	cardFD // the first card's; the others follow
)

// Where QEMU finds the boot image in its root.
const (
	kernelInside = "/kernel"
	initrdInside = "/initrd"
	memoryInside = "/memory"
)

// memory is where the guest's memory comes from.
type memory int

const (
	freshMemory    memory = iota
	templateMemory        // a file's, which becomes a template
	restoredMemory        // a template's, copied on write; the devices' state comes by stateFD
)

func (m *Machine) memoryObject(kind memory) string {
	size := strconv.FormatUint(m.Memory, 10) + "M"
	switch kind {
	case templateMemory:
		return "memory-backend-file,id=ram,size=" + size + ",share=on,mem-path=" + memoryInside
	case restoredMemory:
		return "memory-backend-file,id=ram,size=" + size + ",share=off,mem-path=" + memoryInside
	}
	return "memory-backend-ram,id=ram,size=" + size
}

// Arguments is QEMU's command line, without the program. There is nothing in the
// machine but processors, memory and one bus of virtio with two serial ports.
func (m *Machine) Arguments(from memory) []string {
	// The guest's kernel fills and copies memory by the string instructions that a
	// processor of these features is quick at. QEMU translates those to a step for
	// each byte, and other instructions better: a boot takes 0.16 s less. Without
	// SMAP and protection keys, which guard the guest's kernel from its own programs,
	// each copy between the two ends no translated block, and a switch saves less:
	// 0.03 s.
	cpu := "max,-erms,-fsrm,-smap,-pku"
	if m.Accel == KVM {
		cpu = "host"
	}
	args := []string{
		"-name", "wrun", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-M", "microvm,x-option-roms=off,isa-serial=on,rtc=on,pit=on,pic=on,memory-backend=ram",
		"-accel", string(m.Accel), "-cpu", cpu,
		"-smp", strconv.FormatUint(uint64(m.CPUs), 10), "-m", strconv.FormatUint(m.Memory, 10) + "M",
		"-object", m.memoryObject(from),
		"-kernel", kernelInside, "-initrd", initrdInside, "-append", m.commandLine(from),
		"-chardev", "socket,id=agent,fd=" + strconv.Itoa(agentFD),
		"-chardev", "socket,id=files,fd=" + strconv.Itoa(filesFD),
		"-chardev", "socket,id=qmp,fd=" + strconv.Itoa(qmpFD),
		"-chardev", "socket,id=console,fd=" + strconv.Itoa(consoleFD),
		"-mon", "chardev=qmp,mode=control", "-serial", "chardev:console",
		"-device", "virtio-serial-device,max_ports=3",
		"-device", "virtserialport,chardev=agent,nr=" + strconv.Itoa(guest.AgentPort),
		"-device", "virtserialport,chardev=files,nr=" + strconv.Itoa(guest.FilesPort),
		"-device", "pvpanic",
	}
	for i, mac := range m.Cards {
		n := strconv.Itoa(i)
		card := "virtio-net-device,mac=" + mac
		if from != templateMemory { // which nobody is connected with
			args = append(args, "-netdev", "tap,id=net"+n+",fd="+strconv.Itoa(cardFD+i))
			card += ",netdev=net" + n
		}
		args = append(args, "-device", card)
	}
	if from == restoredMemory {
		args = append(args, "-incoming", "defer")
	}
	return args
}

// commandLine is the kernel's. Without the frequency of the time stamp counter,
// which a translated guest has from its host, it would measure it, and with
// other load on the host hang for ever after failing to.
func (m *Machine) commandLine(from memory) string {
	p := []string{"quiet", "console=ttyS0", "panic=-1", "reboot=t", "cryptomgr.notests", "noreplace-smp",
		// AppArmor and Tomoyo would be asked at every step and know no profile.
		"lsm=landlock,yama"}
	if m.Accel == TCG {
		// Memory is cleared for its user anyhow; a second time for the kernel's own
		// doubles what the rings of the virtio devices take, 12 MiB.
		p = append(p, "init_on_alloc=0")
	}
	if m.Accel == TCG && m.TSC != 0 {
		const loopsPerKHz = 4 // loops_per_jiffy at 250 jiffies a second
		p = append(p, "tsc_early_khz="+strconv.FormatUint(m.TSC, 10), "lpj="+strconv.FormatUint(m.TSC*loopsPerKHz, 10),
			"no_timer_check", "tsc=reliable")
	}
	p = append(p, m.Parameters...)
	// To the kernel, what it does not know is the first process's environment: the
	// agent is short of processor time and not of memory, and none of its goroutines
	// keeps a processor for long, so signals that take it away only cost. Without
	// its rate, the runtime notes the stack of one allocation though nobody asks.
	p = append(p, "GOGC=off", "GOMEMLIMIT=48MiB", "GODEBUG=asyncpreemptoff=1,memprofilerate=0")
	if m.CPUs < agentThreads {
		// What a goroutine leaves when it waits in the kernel is taken over only when
		// the runtime's monitor comes by, up to 20 ms later. Another one is free at once.
		p = append(p, "GOMAXPROCS="+strconv.Itoa(agentThreads))
	}
	if from == templateMemory {
		p = append(p, "--", guest.TemplateOperand)
	}
	return strings.Join(p, " ")
}
