package libcontainer

// The fault points: the instants at which a killed wrun leaves something new
// behind. A build with -tags wrunfault kills itself there when WRUN_FAULT
// names the point, "<point>:<n>" meaning its n-th passage; any other build
// compiles fault to nothing.
const (
	FaultCreateReserved   = "create.reserved"   // the state directory is there, empty
	FaultCreateCopied     = "create.copied"     // config.json was copied
	FaultCreateRecorded   = "create.recorded"   // a handle was saved, its side effect comes next
	FaultCreateNamespaces = "create.namespaces" // namespaces stand, no hook ran yet
	FaultCreateHooked     = "create.hooked"     // the hooks of create ran
	FaultCreateBuilt      = "create.built"      // the host is done, the program is parked
	FaultCreatePidFile    = "create.pidfile"    // the pid file is written
	FaultCreateComplete   = "create.complete"   // the facts say so

	FaultStartLocked    = "start.locked"
	FaultStartHooked    = "start.hooked"    // the startContainer hooks ran
	FaultStartReleased  = "start.released"  // the program runs
	FaultStartPoststart = "start.poststart" // the poststart hooks ran

	FaultExecLocked  = "exec.locked"
	FaultExecStarted = "exec.started" // the process runs
	FaultExecPidFile = "exec.pidfile"

	FaultDeleteLocked    = "delete.locked"
	FaultDeleteClosed    = "delete.closed"    // the host removed everything
	FaultDeletePoststop  = "delete.poststop"  // the poststop hooks ran
	FaultDeleteForgotten = "delete.forgotten" // state.json is gone, its directory not yet
)

// FaultPoints lists them in the order of a container's life.
var FaultPoints = [...]string{
	FaultCreateReserved, FaultCreateCopied, FaultCreateRecorded, FaultCreateNamespaces, FaultCreateHooked,
	FaultCreateBuilt, FaultCreatePidFile, FaultCreateComplete,
	FaultStartLocked, FaultStartHooked, FaultStartReleased, FaultStartPoststart,
	FaultExecLocked, FaultExecStarted, FaultExecPidFile,
	FaultDeleteLocked, FaultDeleteClosed, FaultDeletePoststop, FaultDeleteForgotten,
}
