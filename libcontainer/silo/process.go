package silo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/silo/seccomp"
)

// defaultPath is searched when process.env has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// credentials is what the process may do, as numbers.
type credentials struct {
	bounding, effective, permitted, inheritable, ambient uint64
}

func (b *builder) credentials(p *specs.Process, grantable uint64) credentials {
	if p.Capabilities == nil {
		// Without the section a runtime grants nothing: what is not asked for
		// is not given.
		return credentials{}
	}
	c := p.Capabilities
	seen := map[string]bool{}
	warn := func(text string) {
		if !seen[text] { // the same name stands in up to five lists
			seen[text] = true
			b.warn(text)
		}
	}
	out := credentials{
		bounding:    capabilityMask(c.Bounding, grantable, warn),
		effective:   capabilityMask(c.Effective, grantable, warn),
		permitted:   capabilityMask(c.Permitted, grantable, warn),
		inheritable: capabilityMask(c.Inheritable, grantable, warn),
		ambient:     capabilityMask(c.Ambient, grantable, warn),
	}
	for set := out.ambient &^ (out.permitted & out.inheritable); set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set)
		// capabilities(7): only what is permitted and inheritable can be ambient.
		warn("can't raise ambient capability CAP_" + capabilityNames[n] + ": it is not among the permitted and inheritable ones")
		out.ambient &^= 1 << n
	}
	return out
}

// become turns the child into the user of the process: limits, identity,
// capabilities. Whatever still needs privilege comes before it.
func (b *builder) become(in *Input, p *specs.Process, c credentials, filter *seccomp.Filter) error {
	if err := b.rlimits(p, in.Facts.OpenFiles); err != nil {
		return err
	}
	if p.NoNewPrivileges {
		b.call("process.noNewPrivileges", "prctl", Int(prSetNoNewPrivs), Int(1), Int(0), Int(0), Int(0))
	}
	for n := range len(capabilityNames) {
		if c.bounding&(1<<n) == 0 {
			b.call("capability "+capabilityNames[n]+" is not in process.capabilities.bounding",
				"prctl", Int(prCapbsetDrop), Int(n), Int(0), Int(0), Int(0)).Rescue = []Rescue{{Errno: eINVAL}}
		}
	}
	b.call("permitted capabilities survive the change of user", "prctl", Int(prSetKeepcaps), Int(1), Int(0), Int(0), Int(0))
	if err := b.identity(in, p); err != nil {
		return err
	}
	umask := uint32(0o022)
	if p.User.Umask != nil {
		umask = *p.User.Umask
	}
	b.call("process.user.umask", "umask", Int(umask))
	early := c.permitted
	if filter != nil && !p.NoNewPrivileges {
		// seccomp(2): without no_new_privs a filter needs CAP_SYS_ADMIN.
		early |= 1 << capSysAdmin & in.Facts.Grantable
	}
	b.capset("process.capabilities", credentials{effective: early, permitted: early, inheritable: c.inheritable})
	b.call("process.capabilities.ambient", "prctl", Int(prCapAmbient), Int(capAmbientClear), Int(0), Int(0), Int(0)).
		Rescue = []Rescue{{Errno: eINVAL}}
	for set := c.ambient; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set)
		b.call("process.capabilities.ambient "+capabilityNames[n], "prctl", Int(prCapAmbient), Int(capAmbientRaise), Int(n), Int(0), Int(0))
	}
	return nil
}

func (b *builder) identity(in *Input, p *specs.Process) error {
	if in.DenySetgroups && len(p.User.AdditionalGids) > 0 {
		return errors.New("process.user.additionalGids: an ordinary user who maps no group but their own cannot set any (setgroups(2) is denied in their user namespace)")
	}
	if !in.DenySetgroups {
		gids := make(Bytes, 4*len(p.User.AdditionalGids))
		for i, g := range p.User.AdditionalGids {
			put32(gids[4*i:], g)
		}
		var list Arg = Int(0)
		if len(gids) > 0 {
			list = gids
		}
		s := b.call("process.user.additionalGids", "setgroups", Int(len(p.User.AdditionalGids)), list)
		if len(gids) == 0 {
			// Only where a user namespace denies it to its root: then nobody can
			// take groups away either.
			s.Rescue = []Rescue{{Errno: ePERM}}
		}
	}
	gid, uid := Int(p.User.GID), Int(p.User.UID)
	b.call("process.user.gid", "setresgid", gid, gid, gid)
	b.call("process.user.uid", "setresuid", uid, uid, uid)
	return nil
}

func (b *builder) capset(why string, c credentials) {
	header := make(Bytes, 8)
	put32(header, 0x20080522) // _LINUX_CAPABILITY_VERSION_3, pid 0: the caller
	set := make(Bytes, 24)
	for half := range 2 {
		at, shift := 12*half, 32*half
		put32(set[at:], uint32(c.effective>>shift))
		put32(set[at+4:], uint32(c.permitted>>shift))
		put32(set[at+8:], uint32(c.inheritable>>shift))
	}
	b.call(why, "capset", header, set)
}

// rlimitNames is indexed by the resource's number.
var rlimitNames = [...]string{
	"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE",
	"MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
}

const rlimitNofile = 7

func (b *builder) rlimits(p *specs.Process, openFiles Limit) error {
	nofile := false
	for i := range p.Rlimits {
		r := &p.Rlimits[i]
		n := -1
		for k, name := range rlimitNames {
			if r.Type == "RLIMIT_"+name {
				n = k
			}
		}
		if n < 0 {
			return fmt.Errorf("process.rlimits[%d].type %q is no resource limit of Linux", i, r.Type)
		}
		nofile = nofile || n == rlimitNofile
		v := make(Bytes, 16)
		put64(v, r.Soft)
		put64(v[8:], r.Hard)
		b.call("process.rlimits["+strconv.Itoa(i)+"] "+r.Type, "prlimit64", Int(0), Int(n), v, Int(0))
	}
	if !nofile && openFiles.Hard > 0 {
		// Go's runtime raised the soft limit for wrun itself; the container
		// gets what wrun's caller had.
		v := make(Bytes, 16)
		put64(v, openFiles.Soft)
		put64(v[8:], openFiles.Hard)
		b.call("RLIMIT_NOFILE as wrun's caller has it", "prlimit64", Int(0), Int(rlimitNofile), v, Int(0))
	}
	return nil
}

// program finds the executable as a shell would and saves a pointer to its
// path. It runs as the final user, so what may be executed is the kernel's
// answer to exactly that question.
func (b *builder) program(p *specs.Process) Slot {
	name := p.Args[0]
	found := b.slot()
	why := "process.args[0] " + name
	if strings.Contains(name, "/") {
		b.call(why, "faccessat2", Int(atFdcwd), Str(name), Int(1), Flags(atEaccess))
		b.call(why+": not a directory", "faccessat2", Int(atFdcwd), Str(name+"/."), Int(0), Flags(atEaccess)).
			Rescue = []Rescue{{Errno: eNOTDIR, Skip: 1}}
		b.call(why, callFail, Int(eISDIR))
		b.call(why, callLet, Str(name)).Save = found
		return found
	}
	var lets []int
	for _, dir := range strings.Split(searchPath(p.Env), ":") {
		if dir == "" {
			dir = "."
		}
		full := Str(strings.TrimSuffix(dir, "/") + "/" + name)
		b.call(why, "faccessat2", Int(atFdcwd), full, Int(1), Flags(atEaccess)).Rescue = []Rescue{{Skip: 2}}
		b.call(why, "faccessat2", Int(atFdcwd), full+"/.", Int(0), Flags(atEaccess))
		s := b.step(b.here() - 1)
		s.Rescue, s.Skip = []Rescue{{}}, 1 // a directory is passed over
		b.call(why, callLet, full).Save = found
		lets = append(lets, b.here()-1)
	}
	b.call(notInPath, callFail, Int(eNOENT))
	for _, i := range lets {
		b.step(i).Skip = b.skipFrom(i)
	}
	return found
}

// In a guest, a file is another machine's.
const (
	prefetched = 2 << 20   // of a program, at most
	window     = 128 << 10 // what a guest's kernel reads ahead at once
)

// prefetch asks for the beginning of the program before it is needed. By its page
// faults a guest would ask for it window by window, and wait for each.
func (b *builder) prefetch(in *Input, program Slot) {
	if !in.Guest {
		return
	}
	const why = "the program's file comes while it is prepared"
	// Whatever it is, a fifo or a terminal, opening it waits for nobody and takes nothing.
	file := b.save(why, "openat", Int(atFdcwd), program, Flags(oNonblock|oNoctty|oCloexec), Int(0))
	opened := b.here() - 1
	for at := 0; at < prefetched; at += window {
		b.call(why, "readahead", file, Int(at), Int(window)).Rescue = []Rescue{{}}
	}
	// Who may execute it may not be one who may read it.
	b.step(opened).Rescue = []Rescue{{Skip: b.skipFrom(opened)}}
}

// notInPath marks the failing step of a search through $PATH.
const notInPath = "executable file not found in $PATH"

func searchPath(env []string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return defaultPath
}

// execute is the end of every plan: the filter, the final capabilities, and
// the exec stub, which sheds wrun's own image before it executes the program
// (see stub_linux.go).
func (b *builder) execute(in *Input, p *specs.Process, c credentials, filter *seccomp.Filter, program Slot) {
	switch {
	case filter != nil && filter.Notify:
		// It is loaded, and all that came before it is done (listen).
	case filter != nil && !p.NoNewPrivileges:
		b.closeAll(in, Slot(0))
		// The last but the execve: no capset(2) that the filter would have to
		// allow. The CAP_SYS_ADMIN lent for it ends with the execve, which
		// gives root the bounding set and others the ambient one
		// (capabilities(7), "Transformation of capabilities during execve()").
		b.load(filter)
	default:
		b.closeAll(in, Slot(0))
		b.capset("process.capabilities", c)
	}
	if in.bare() {
		b.call("process.args", "execveat", Int(atFdcwd), program, Argv{Words: p.Args}, Argv{Words: in.Env}, Int(0))
		return
	}
	b.call("process.args", "execveat", fileStub, Str(""), Argv{Words: p.Args, Program: program}, Argv{Words: in.Env}, Flags(atEmptyPath))
}

// closeAll leaves the program no descriptor of wrun's. report is where the stub
// tells of a failed exec; it closes that itself.
func (b *builder) closeAll(in *Input, report Arg) {
	const closeRangeCloexec = 4
	b.call("no descriptor of wrun's reaches the program", "close_range", Int(3+in.Preserve), Int(0xffffffff), Int(closeRangeCloexec))
	if in.bare() {
		return
	}
	b.call("the stub reports a failed exec, then closes it", "fcntl", report, Int(fSetfd), Int(0))
}

func (b *builder) load(filter *seccomp.Filter) *Step {
	return b.call("linux.seccomp", "seccomp", Int(seccompSetFilter), Flags(filter.Flags), Filter{encode(filter.Program)})
}

// listen loads a filter that asks an agent, and hands its listener over:
// config-linux.md, "listenerPath". The agent has it before the child goes on,
// so whatever the filter asks about from here on is answered. It cannot be told
// of otherwise than by a write, which is why a filter may not ask about that.
func (b *builder) listen(in *Input, p *specs.Process, c credentials) {
	if in.Filter == nil || !in.Filter.Notify {
		return
	}
	report := fileResult
	if !in.gated() {
		report = fileSync
	}
	b.closeAll(in, report)
	if p.NoNewPrivileges {
		b.capset("process.capabilities", c)
	}
	listener := b.slot()
	b.load(in.Filter).Save = listener
	const why = "linux.seccomp.listenerPath: the agent gets the listener"
	b.call(why, callTell, fileSync, Flags(codeNotify), listener)
	b.call(why, "read", fileSync, make(Bytes, 1), Int(1)).Want = 1
}

// encode lays the instructions out as struct sock_filter.
func encode(program []seccomp.Instruction) []byte {
	out := make([]byte, 8*len(program))
	for i, ins := range program {
		b := out[8*i:]
		b[0], b[1], b[2], b[3] = byte(ins.Code), byte(ins.Code>>8), ins.Jt, ins.Jf
		put32(b[4:], ins.K)
	}
	return out
}

// decode undoes encode.
func decode(program []byte) []seccomp.Instruction {
	out := make([]seccomp.Instruction, len(program)/8)
	for i := range out {
		b := program[8*i:]
		out[i] = seccomp.Instruction{Code: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:])}
	}
	return out
}
