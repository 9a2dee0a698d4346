package silo

import "strconv"

// The kernel's numbers that a Plan is made of, spelled out here because Plans
// are compiled on every OS (create --dry-run) and golang.org/x/sys/unix exists
// only on Unix. All of them are the same on amd64 and arm64 but for the open
// flags, which live in lower_linux.go's translation-free common subset.
const (
	cloneNewTime   = 0x80
	cloneNewNS     = 0x20000
	cloneNewCgroup = 0x2000000
	cloneNewUTS    = 0x4000000
	cloneNewIPC    = 0x8000000
	cloneNewUser   = 0x10000000
	cloneNewPID    = 0x20000000
	cloneNewNet    = 0x40000000

	msRdonly      = 0x1
	msNosuid      = 0x2
	msNodev       = 0x4
	msNoexec      = 0x8
	msSynchronous = 0x10
	msRemount     = 0x20
	msMandlock    = 0x40
	msDirsync     = 0x80
	msNosymfollow = 0x100
	msNoatime     = 0x400
	msNodiratime  = 0x800
	msBind        = 0x1000
	msMove        = 0x2000
	msRec         = 0x4000
	msSilent      = 0x8000
	msUnbindable  = 0x20000
	msPrivate     = 0x40000
	msSlave       = 0x80000
	msShared      = 0x100000
	msRelatime    = 0x200000
	msIVersion    = 0x800000
	msStrictatime = 0x1000000
	msLazytime    = 0x2000000

	attrRdonly      = 0x1
	attrNosuid      = 0x2
	attrNodev       = 0x4
	attrNoexec      = 0x8
	attrAtime       = 0x70 // mask
	attrRelatime    = 0x0
	attrNoatime     = 0x10
	attrStrictatime = 0x20
	attrNodiratime  = 0x80
	attrIdmap       = 0x100000
	attrNosymfollow = 0x200000

	openTreeClone  = 0x1
	moveFromEmpty  = 0x4
	moveToSymlinks = 0x10
	moveToEmpty    = 0x40
	atFdcwd        = -100
	atEmptyPath    = 0x1000
	atRecursive    = 0x8000
	atEaccess      = 0x200
	atSymlinkNoFol = 0x100
	mntDetach      = 2

	resolveNoMagiclinks = 0x2
	resolveNoSymlinks   = 0x4
	resolveBeneath      = 0x8
	resolveInRoot       = 0x10

	oWronly   = 0x1
	oRdwr     = 0x2
	oCreat    = 0x40
	oExcl     = 0x80
	oNoctty   = 0x100
	oNonblock = 0x800
	oCloexec  = 0x80000
	oPath     = 0x200000

	msgCmsgCloexec = 0x40000000

	sIFMT   = 0o170000
	sIFSOCK = 0o140000
	sIFDIR  = 0o040000
	sIFREG  = 0o100000
	sIFLNK  = 0o120000
	sIFCHR  = 0o020000
	sIFBLK  = 0o060000
	sIFIFO  = 0o010000

	prSetDumpable    = 4
	prSetKeepcaps    = 8
	prCapbsetDrop    = 24
	prSetNoNewPrivs  = 38
	prCapAmbient     = 47
	capAmbientRaise  = 2
	capAmbientClear  = 4
	seccompSetFilter = 1
	keyctlJoin       = 1

	tiocSCTTY   = 0x540e
	tiocSWINSZ  = 0x5414
	tiocSPTLCK  = 0x40045431
	tiocGPTPEER = 0x5441
	siocSIFFLGS = 0x8914

	fSetfd = 2

	prSetPdeathsig = 1
	sigKill        = 9

	itimerReal = 0
	cloneFiles = 0x400
)

// Errors a Plan expects; equal on every Linux architecture wrun builds for.
const (
	ePERM     = 1
	eNOENT    = 2
	eBADF     = 9
	eACCES    = 13
	eEXIST    = 17
	eNOTDIR   = 20
	eISDIR    = 21
	eINVAL    = 22
	eROFS     = 30
	eNOSYS    = 38
	eLOOP     = 40
	eNOKEY    = 126
	eDQUOT    = 122
	eNOTSUP   = 95
	ePIPE     = 32
	eCANCELED = 125
)

func errnoName(e uint16) string {
	switch e {
	case 0:
		return "any error"
	case ePERM:
		return "EPERM"
	case eNOENT:
		return "ENOENT"
	case eBADF:
		return "EBADF"
	case eACCES:
		return "EACCES"
	case eEXIST:
		return "EEXIST"
	case eNOTDIR:
		return "ENOTDIR"
	case eISDIR:
		return "EISDIR"
	case eINVAL:
		return "EINVAL"
	case eROFS:
		return "EROFS"
	case eNOSYS:
		return "ENOSYS"
	case eLOOP:
		return "ELOOP"
	case eCANCELED:
		return "another result"
	}
	return "errno " + strconv.Itoa(int(e))
}

// namespace is one of the eight kinds, by its name in config.json and in
// /proc/<pid>/ns.
type namespace struct {
	kind string // linux.namespaces[].type
	proc string // file below /proc/<pid>/ns
	flag uint64
}

// namespaceOrder is the order in which namespaces are joined: the user
// namespace first, because it gives the right to join the others, and the
// mount namespace last, because the paths of the others are the host's.
var namespaceOrder = [...]namespace{
	{"user", "user", cloneNewUser},
	{"ipc", "ipc", cloneNewIPC},
	{"uts", "uts", cloneNewUTS},
	{"network", "net", cloneNewNet},
	{"cgroup", "cgroup", cloneNewCgroup},
	{"time", "time", cloneNewTime},
	{"pid", "pid", cloneNewPID},
	{"mount", "mnt", cloneNewNS},
}

func namespaceNames(flags uint64) string {
	s := ""
	for _, n := range namespaceOrder {
		if flags&n.flag != 0 {
			s += " " + n.kind
		}
	}
	return s
}
