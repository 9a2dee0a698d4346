package uvm

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// probeWait is how long a VM may take to boot under KVM until that counts as not
// working: on hardware it takes a tenth of it.
const probeWait = 5 * time.Second

// accelFile has the answer until the machine's next boot, beside the templates.
const accelFile = "accel"

// chooseAccel is KVM where a VM boots with it. That the device opens says
// nothing: where this machine is itself a VM, it may open and no guest ever run.
func (m *Machine) chooseAccel(scratch string) Accel {
	name := filepath.Join(templatesDir, accelFile)
	if known, err := os.ReadFile(name); err == nil {
		if a := Accel(strings.TrimSpace(string(known))); a == KVM || a == TCG {
			return a
		}
	}
	if !plausible() {
		return TCG // which costs nothing to find out
	}
	if err := os.MkdirAll(templatesDir, 0o700); err != nil {
		return TCG
	}
	lock, err := os.OpenFile(name+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return TCG
	}
	defer lock.Close() // and with that the lock
	if flockWithin(lock, bootWait) != nil {
		return TCG
	}
	found := TCG
	if m.boots(KVM, scratch) {
		found = KVM
	}
	if os.WriteFile(name+".new", []byte(found), 0o600) == nil {
		_ = os.Rename(name+".new", name) // else the next one asks again
	}
	return found
}

// plausible rules out what cannot work: no device, or none of the processor's
// own virtualisation behind it.
func plausible() bool {
	fd, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(info)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "flags" {
			padded := " " + strings.TrimSpace(value) + " "
			return strings.Contains(padded, " vmx ") || strings.Contains(padded, " svm ")
		}
	}
	return false
}

// boots tries it.
func (m *Machine) boots(a Accel, scratch string) bool {
	probe := *m
	probe.Accel = a
	ours, theirs, err := newLink()
	if err != nil {
		return false
	}
	defer ours.close()
	v, err := probe.start(filepath.Join(scratch, probeDir), int(theirs), source{})
	if err != nil {
		return false
	}
	defer v.kill()
	return v.ready(probeWait) == nil
}
