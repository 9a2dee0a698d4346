package silo

import "strings"

// mountOptions is what the option strings of one mount ask for.
type mountOptions struct {
	flags       uint64 // MS_* for a file system mount
	attrSet     uint64 // MOUNT_ATTR_* named, but for the access time rule
	attrClear   uint64 // … and switched off by name
	atimeRule   uint64 // MOUNT_ATTR_RELATIME, NOATIME or STRICTATIME, if atimeGiven
	atimeGiven  bool
	flagGiven   bool     // some option of these was there at all
	recSet      uint64   // MOUNT_ATTR_* set on the whole tree (rro, rnosuid …)
	recClear    uint64   // … and cleared (rrw, rsuid …)
	propagation []uint64 // MS_SHARED … in the order given, MS_REC included
	bind        bool
	recursive   bool   // rbind
	copyUp      bool   // tmpcopyup
	idmap       bool   // idmap or ridmap
	idmapTree   bool   // ridmap
	data        string // the rest, for the file system
}

// option is one row of config.md's table of mount options.
type option struct {
	name string
	set  uint64 // MS_* flag
	clr  bool   // the option switches the flag off
	attr uint64 // the same as MOUNT_ATTR_*; 0 when a bind mount has no such attribute
}

// optionTable is searched linearly: a mount has a handful of options, a map
// would cost every start its construction.
var optionTable = [...]option{
	{"ro", msRdonly, false, attrRdonly},
	{"rw", msRdonly, true, attrRdonly},
	{"nosuid", msNosuid, false, attrNosuid},
	{"suid", msNosuid, true, attrNosuid},
	{"nodev", msNodev, false, attrNodev},
	{"dev", msNodev, true, attrNodev},
	{"noexec", msNoexec, false, attrNoexec},
	{"exec", msNoexec, true, attrNoexec},
	{"nosymfollow", msNosymfollow, false, attrNosymfollow},
	{"symfollow", msNosymfollow, true, attrNosymfollow},
	{"nodiratime", msNodiratime, false, attrNodiratime},
	{"diratime", msNodiratime, true, attrNodiratime},
	{"sync", msSynchronous, false, 0},
	{"async", msSynchronous, true, 0},
	{"dirsync", msDirsync, false, 0},
	{"mand", msMandlock, false, 0},
	{"nomand", msMandlock, true, 0},
	{"iversion", msIVersion, false, 0},
	{"noiversion", msIVersion, true, 0},
	{"lazytime", msLazytime, false, 0},
	{"nolazytime", msLazytime, true, 0},
	{"silent", msSilent, false, 0},
	{"loud", msSilent, true, 0},
	{"defaults", 0, false, 0},
	{"remount", msRemount, false, 0},
}

// atimeOption is one of the three access-time rules, which are one field of
// the mount's attributes and not flags of their own.
type atimeOption struct {
	name string
	flag uint64
	attr uint64
	off  bool
}

var atimeTable = [...]atimeOption{
	{"noatime", msNoatime, attrNoatime, false},
	{"atime", msNoatime, attrRelatime, true},
	{"relatime", msRelatime, attrRelatime, false},
	{"norelatime", msRelatime, attrRelatime, true},
	{"strictatime", msStrictatime, attrStrictatime, false},
	{"nostrictatime", msStrictatime, attrRelatime, true},
}

type propagationOption struct {
	name string
	flag uint64
}

var propagationTable = [...]propagationOption{
	{"private", msPrivate},
	{"shared", msShared},
	{"slave", msSlave},
	{"unbindable", msUnbindable},
	{"rprivate", msPrivate | msRec},
	{"rshared", msShared | msRec},
	{"rslave", msSlave | msRec},
	{"runbindable", msUnbindable | msRec},
}

// bindable are the attributes that every bind mount with options replaces as a
// whole: mount(2) knows only "these and no others", so an option list that
// says nosuid also says rw, and runtimes have always been read that way.
const bindable = attrRdonly | attrNosuid | attrNodev | attrNoexec | attrNosymfollow

// bindAttributes is what a bind mount gets by its options: nothing if they name
// no attribute, else exactly the named ones. The access time rule stays unless
// a new one is named; switching one off by name is no rule (mount(8) ignores
// "atime" and "norelatime" as well).
func (o *mountOptions) bindAttributes() (set, clear uint64) {
	if !o.flagGiven {
		return 0, 0
	}
	set = o.attrSet
	clear = bindable &^ set
	if o.atimeGiven || set&attrNodiratime != 0 {
		clear |= attrAtime | attrNodiratime&^set
		set |= o.atimeRule
	}
	return set, clear
}

// remountAttributes changes only what is named.
func (o *mountOptions) remountAttributes() (set, clear uint64) {
	set, clear = o.attrSet, o.attrClear
	if o.atimeGiven {
		set |= o.atimeRule
		clear |= attrAtime
	}
	return set, clear
}

// propagationFlag maps rootfsPropagation and the mount options of that kind.
func propagationFlag(name string) (uint64, bool) {
	for i := range propagationTable {
		if propagationTable[i].name == name {
			return propagationTable[i].flag, true
		}
	}
	return 0, false
}

// parseOptions reads mounts[].options. What it does not know is the file
// system's business and goes into data.
func parseOptions(options []string) mountOptions {
	var o mountOptions
	var data []string
	for _, name := range options {
		switch name {
		case "bind":
			o.bind = true
			continue
		case "rbind":
			o.bind, o.recursive = true, true
			continue
		case "idmap", "ridmap":
			o.idmap, o.idmapTree = true, name == "ridmap"
			continue
		case "tmpcopyup":
			o.copyUp = true
			continue
		}
		if f, ok := propagationFlag(name); ok {
			o.propagation = append(o.propagation, f)
			continue
		}
		if o.plain(name) || o.atime(name) || o.wholeTree(name) {
			continue
		}
		data = append(data, name)
	}
	o.data = strings.Join(data, ",")
	return o
}

func (o *mountOptions) plain(name string) bool {
	for i := range optionTable {
		t := &optionTable[i]
		if t.name != name {
			continue
		}
		o.flagGiven = o.flagGiven || t.attr != 0
		if t.clr {
			o.flags &^= t.set
			o.attrSet &^= t.attr
			o.attrClear |= t.attr
		} else {
			o.flags |= t.set
			o.attrSet |= t.attr
			o.attrClear &^= t.attr
		}
		return true
	}
	return false
}

func (o *mountOptions) atime(name string) bool {
	for i := range atimeTable {
		t := &atimeTable[i]
		if t.name != name {
			continue
		}
		if t.off {
			o.flags &^= t.flag
		} else {
			// mount(2) would let MS_STRICTATIME win whatever the order.
			o.flags = o.flags&^(msNoatime|msRelatime|msStrictatime) | t.flag
		}
		o.flagGiven = true
		if !t.off {
			o.atimeGiven, o.atimeRule = true, t.attr
		}
		return true
	}
	return false
}

// wholeTree handles rro, rnosuid … : config.md, "the option is applied
// recursively" through mount_setattr(2) with AT_RECURSIVE.
func (o *mountOptions) wholeTree(name string) bool {
	bare, ok := strings.CutPrefix(name, "r")
	if !ok {
		return false
	}
	for i := range optionTable {
		t := &optionTable[i]
		if t.name != bare || t.attr == 0 {
			continue
		}
		if t.clr {
			o.recSet &^= t.attr
			o.recClear |= t.attr
		} else {
			o.recSet |= t.attr
			o.recClear &^= t.attr
		}
		return true
	}
	for i := range atimeTable {
		if t := &atimeTable[i]; t.name == bare {
			o.recClear |= attrAtime
			o.recSet = o.recSet&^attrAtime | t.attr
			return true
		}
	}
	return false
}

// MountOptions lists the options wrun understands (features, "mountOptions").
func MountOptions() []string {
	names := []string{"bind", "rbind", "idmap", "ridmap", "tmpcopyup"}
	for _, t := range optionTable {
		names = append(names, t.name)
		if t.attr != 0 {
			names = append(names, "r"+t.name)
		}
	}
	for _, t := range atimeTable {
		names = append(names, t.name, "r"+t.name)
	}
	for _, t := range propagationTable {
		names = append(names, t.name)
	}
	return names
}
