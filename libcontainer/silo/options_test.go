package silo

import (
	"slices"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		options string
		want    mountOptions
	}{
		{"", mountOptions{}},
		{"bind", mountOptions{bind: true}},
		{"rbind", mountOptions{bind: true, recursive: true}},
		{"ro,nosuid,nodev,noexec", mountOptions{flags: msRdonly | msNosuid | msNodev | msNoexec, attrSet: attrRdonly | attrNosuid | attrNodev | attrNoexec}},
		// The last word counts.
		{"ro,rw", mountOptions{attrClear: attrRdonly}},
		{"rw,ro", mountOptions{flags: msRdonly, attrSet: attrRdonly}},
		{"nosuid,suid", mountOptions{attrClear: attrNosuid}},
		{"defaults,sync,async,dirsync,silent", mountOptions{flags: msDirsync | msSilent}},
		// One of three access time rules, replaced as a whole.
		{"noatime", mountOptions{flags: msNoatime, atimeRule: attrNoatime, atimeGiven: true}},
		{"noatime,strictatime", mountOptions{flags: msStrictatime, atimeRule: attrStrictatime, atimeGiven: true}},
		{"strictatime,noatime", mountOptions{flags: msNoatime, atimeRule: attrNoatime, atimeGiven: true}},
		{"relatime", mountOptions{flags: msRelatime, atimeRule: attrRelatime, atimeGiven: true}},
		{"nodiratime", mountOptions{flags: msNodiratime, attrSet: attrNodiratime}},
		// The whole tree.
		{"rro", mountOptions{recSet: attrRdonly}},
		{"rro,rrw", mountOptions{recClear: attrRdonly}},
		{"rnosuid,rnodev,rnoexec,rnosymfollow", mountOptions{recSet: attrNosuid | attrNodev | attrNoexec | attrNosymfollow}},
		{"rnoatime", mountOptions{recSet: attrNoatime, recClear: attrAtime}},
		{"rstrictatime,rrelatime", mountOptions{recClear: attrAtime}},
		// Propagation, in the order given.
		{"private,rslave", mountOptions{propagation: []uint64{msPrivate, msSlave | msRec}}},
		{"runbindable", mountOptions{propagation: []uint64{msUnbindable | msRec}}},
		// The rest is the file system's: "relatime" is none of the tree's, and
		// neither is what only begins with an r.
		{"size=1m,mode=755,ro", mountOptions{flags: msRdonly, attrSet: attrRdonly, data: "size=1m,mode=755"}},
		{"rsize=8192,rsync", mountOptions{data: "rsize=8192,rsync"}},
		{"RO", mountOptions{data: "RO"}},
		{"lowerdir=/a:/b,upperdir=/c", mountOptions{data: "lowerdir=/a:/b,upperdir=/c"}},
		{"remount,ro", mountOptions{flags: msRemount | msRdonly, attrSet: attrRdonly}},
	} {
		var list []string
		if c.options != "" {
			list = strings.Split(c.options, ",")
		}
		got := parseOptions(list)
		same := got.flags == c.want.flags && got.attrSet == c.want.attrSet && got.attrClear == c.want.attrClear &&
			got.atimeRule == c.want.atimeRule && got.atimeGiven == c.want.atimeGiven &&
			got.recSet == c.want.recSet && got.recClear == c.want.recClear && slices.Equal(got.propagation, c.want.propagation) &&
			got.bind == c.want.bind && got.recursive == c.want.recursive && got.data == c.want.data
		if !same {
			t.Errorf("%s: %+v\nwant %+v", c.options, got, c.want)
		}
	}
	for option, tree := range map[string]bool{"idmap": false, "ridmap": true} {
		if o := parseOptions([]string{"ro", option}); !o.idmap || o.idmapTree != tree {
			t.Errorf("%s: %+v", option, o)
		}
	}
}

// TestBindAttributes: a bind mount has the attributes that its options name and
// no others, if they name any at all.
func TestBindAttributes(t *testing.T) {
	for _, c := range []struct {
		options    string
		set, clear uint64
	}{
		{"bind", 0, 0},
		{"bind,rprivate,sync", 0, 0},
		{"bind,ro", attrRdonly, bindable &^ attrRdonly},
		{"bind,rw", 0, bindable},
		{"bind,nosuid,nodev", attrNosuid | attrNodev, attrRdonly | attrNoexec | attrNosymfollow},
		{"bind,dev", 0, bindable},
		// Of the access time only a rule that is named changes anything.
		{"bind,atime", 0, bindable},
		{"bind,norelatime", 0, bindable},
		{"bind,relatime", attrRelatime, bindable | attrAtime | attrNodiratime},
		{"bind,noatime", attrNoatime, bindable | attrAtime | attrNodiratime},
		{"bind,nodiratime", attrNodiratime, bindable | attrAtime},
		{"bind,nodiratime,strictatime", attrNodiratime | attrStrictatime, bindable | attrAtime},
	} {
		o := parseOptions(strings.Split(c.options, ","))
		if set, clear := o.bindAttributes(); set != c.set || clear != c.clear {
			t.Errorf("%s: set %#x clear %#x, want %#x %#x", c.options, set, clear, c.set, c.clear)
		}
	}
}

// TestMountOptions: what `wrun features` lists is what is understood: no name
// twice, and none of them is passed on to a file system.
func TestMountOptions(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range MountOptions() {
		if seen[name] {
			t.Errorf("%s is listed twice", name)
		}
		seen[name] = true
		if o := parseOptions([]string{name}); o.data != "" {
			t.Errorf("%s is listed but means nothing: %q", name, o.data)
		}
	}
	// config.md's table of Linux mount options.
	for _, name := range strings.Fields(`async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime
		nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
		rdiratime relatime remount rexec ridmap rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate
		rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid
		symfollow sync tmpcopyup unbindable`) {
		if !seen[name] {
			t.Errorf("%s of config.md is not listed", name)
		}
	}
}

func TestCapabilityMask(t *testing.T) {
	var warned []string
	warn := func(s string) { warned = append(warned, s) }
	got := capabilityMask([]string{"CAP_CHOWN", "CAP_BPF", "CAP_CHECKPOINT_RESTORE", "CAP_KILL", "CHOWN", "cap_kill", "CAP_NEW"}, 1|1<<39|1<<40, warn)
	if want := uint64(1 | 1<<39 | 1<<40); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	if len(warned) != 4 || !strings.Contains(warned[0], "CAP_KILL cannot be granted") || !strings.Contains(warned[3], "CAP_NEW is not known") {
		t.Errorf("warnings: %q", warned)
	}
	if names := CapabilityNames(); len(names) != 41 || names[0] != "CAP_CHOWN" || names[40] != "CAP_CHECKPOINT_RESTORE" {
		t.Errorf("%d capabilities: %v", len(names), names)
	}
}

// TestMakedev: the layout of the kernel's new_encode_dev.
func TestMakedev(t *testing.T) {
	for _, c := range [][3]int64{{1, 3, 0x103}, {5, 0, 0x500}, {7, 300, 0x10072c}, {259, 70000, 0x11110370}, {4095, 1048575, 0xfffff_fff | 0xff}} {
		got := makedev(c[0], c[1])
		major := got >> 8 & 0xfff
		minor := got&0xff | got>>12&0xfff00
		if major != c[0] || minor != c[1] {
			t.Errorf("%d:%d is packed as %#x, which is %d:%d", c[0], c[1], got, major, minor)
		}
	}
}

func TestSearchPath(t *testing.T) {
	for env, want := range map[string]string{"": defaultPath, "PATH=": "", "PATH=/a:": "/a:", "XPATH=/b": defaultPath} {
		if got := searchPath([]string{"A=b", env}); got != want {
			t.Errorf("%s: %q, want %q", env, got, want)
		}
	}
}
