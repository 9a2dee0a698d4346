package silo

import (
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// How child and parent talk: over a socket whose descriptor is "sync", in
// records of the child's and single bytes of the parent's.

// begin is how every child begins: errors have a way to the parent (slot 0)
// and the parent knows of the birth.
func (b *builder) begin(in *Input) {
	if in.Waits {
		b.wait()
		return
	}
	b.call("", callLet, fileSync)
	if in.Alone {
		// Its parent is in the kernel until the program runs, and without a clock.
		limit := make(Bytes, 32) // struct itimerval
		put64(limit[16:], uint64(patience.Seconds()))
		b.call("an end to the parent's wait", "setitimer", Int(itimerReal), limit, Int(0))
	} else {
		b.tell("born", codeBorn)
	}
	b.own(in)
}

// settle puts the child into its cgroup and shows it there. A child that is born
// before its cgroup is made comes to this as late as can be.
func (b *builder) settle(in *Input) {
	if !b.owned {
		if len(b.plan.Errands) > 0 {
			b.tell("the parent's errands", codeErrands)
		}
		b.own(in)
	}
	if b.show != nil {
		b.show()
		b.show = nil
	}
}

// own leaves the child with a table of descriptors of its own, in which nobody
// but the parent holds the parent's end, and puts it into its cgroup.
func (b *builder) own(in *Input) {
	if in.Waits {
		b.await("wait for the cgroup")
		b.call("descriptors of its own", "unshare", Flags(cloneFiles))
		b.call("descriptors of its own", "prctl", Int(prSetPdeathsig), Int(0), Int(0), Int(0), Int(0))
	}
	b.call("only the parent holds its end", "close", fileParent)
	for i := range in.Private {
		b.call("what ends with wrun does not live on in its child", "close", PrivateFile(i))
	}
	if in.Facts.Born {
		b.call("no directory of the host's stays open", "close", fileGroup)
	}
	b.streams(in)
	b.owned = true
	b.enterCgroup(in)
	if in.Waits && in.isNew(specs.CgroupNamespace) {
		b.call("new namespaces"+namespaceNames(cloneNewCgroup), "unshare", Flags(cloneNewCgroup))
	}
}

// prelude is what a child walks that is cloned before its plan is known: the
// beginning of every plan with Input.Waits.
func prelude() *Plan {
	b := &builder{plan: &Plan{}}
	b.wait()
	return b.plan
}

// wait is the prelude's steps. As long as the table of descriptors is the
// parent's too, the parent's end of the socket does not close with the parent:
// its death is noticed by signal, and every wait has an end in any case.
func (b *builder) wait() {
	why := "wait for the plan"
	b.call(why, callLet, fileSync)
	b.call(why, "prctl", Int(prSetPdeathsig), Int(sigKill), Int(0), Int(0), Int(0))
	// A parent that died before that sends no signal any more, and its pid says
	// nothing in another pid namespace. Its command line is empty then.
	b.call(why+": the parent lives", "read", fileLife, make(Bytes, 1), Int(1)).Want = 1
	b.tell(why, codeBorn)
	b.await(why)
	b.call(why, callProceed)
}

// await stops the child until the parent lets it go on, once more than before.
func (b *builder) await(why string) {
	b.awaited++
	b.call(why, callAwait, Int(b.awaited))
}

// talk stops the child until the parent has done its part.
func (b *builder) talk(why string, code uint32) {
	b.tell(why, code)
	b.call(why, "read", fileSync, make(Bytes, 1), Int(1)).Want = 1
}

func (b *builder) tell(why string, code uint32) {
	record := make(Bytes, recordSize)
	put32(record, code)
	b.call(why, "write", fileSync, record, Int(recordSize)).Want = recordSize
}

// gate parks the child. Before it, the parent has saved the pid, so whoever
// dies now is known; after it, errors go to `wrun start` by the result fifo. A
// child without a gate goes on as soon as the facts are saved.
func (b *builder) gate(in *Input) {
	b.talk("created: everything is in place; the parent saves its facts", codeReady)
	if in.Direct {
		return
	}
	b.call("errors go to start from here on", callLet, fileResult)
	b.call("", "close", fileSync)
	b.call("the start gate", "read", fileGate, make(Bytes, 1), Int(1)).Want = 1
}

// patience bounds every wait for a child to get on with its plan, and a
// child's wait for its plan. A mount of a network file system may take its
// time; what takes longer is stuck.
const patience = 2 * time.Minute

// What the child says to the parent: eight bytes, a code and a value. A code
// below the lowest of these is the index of a failed step, the value its errno.
const (
	recordSize         = 8
	codeStub    uint32 = 0xffffffff // the program could not be executed; value: errno
	codeReady   uint32 = 0xfffffffe
	codeHooks   uint32 = 0xfffffffd
	codeMap     uint32 = 0xfffffffc
	codeFork    uint32 = 0xfffffffb // value: the pid that goes on
	codeBorn    uint32 = 0xfffffffa
	codeOffsets uint32 = 0xfffffff9 // it has made a time namespace
	codeSource  uint32 = 0xfffffff8 // value: index of the mount that the parent is to make
	codeNotify  uint32 = 0xfffffff7 // value: descriptor of the seccomp listener
	codeErrands uint32 = 0xfffffff6 // the parent can run its errands
)
