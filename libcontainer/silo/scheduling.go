package silo

import "github.com/opencontainers/runtime-spec/specs-go"

// scheduling is what of the process's place among others is set by a plain
// call on itself.
func (b *builder) scheduling(p *specs.Process, l *specs.Linux) {
	if l.Personality != nil {
		const perLinux32 = 8
		domain := Int(0)
		if l.Personality.Domain == specs.PerLinux32 {
			domain = perLinux32
		}
		b.call("linux.personality", "personality", domain)
	}
	if p.IOPriority != nil {
		// ioprio_set(2): class in bits 13…, data below.
		class := 0
		switch p.IOPriority.Class {
		case specs.IOPRIO_CLASS_RT:
			class = 1
		case specs.IOPRIO_CLASS_BE:
			class = 2
		case specs.IOPRIO_CLASS_IDLE:
			class = 3
		}
		b.call("process.ioPriority", "ioprio_set", Int(1), Int(0), Int(class<<13|p.IOPriority.Priority))
	}
	if p.Scheduler != nil {
		b.warn("process.scheduler is not built yet and left out")
	}
	if p.ExecCPUAffinity != nil {
		b.warn("process.execCPUAffinity is not built yet and left out")
	}
}
