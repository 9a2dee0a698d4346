//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// needs are the programs that the suite calls, by the Debian package that has
// each.
var needs = [...]struct{ program, debian string }{
	{"bats", "bats"},
	{"jq", "jq"},
	{"gawk", "gawk"},
	{"sshfs", "sshfs"},
	{"newuidmap", "uidmap"},
	{"gcc", "gcc libc6-dev libseccomp-dev"},
	{"ip", "iproute2"},
	{"xz", "xz-utils"},
	{"unshare", "util-linux"},
	{"ps", "procps"},
}

// helpers are the suite's own programs, from tests/cmd of the same checkout.
var helpers = [...]string{"fs-idmap", "key_label", "pidfd-kill", "recvtty", "remap-rootfs", "sd-helper", "seccompagent"}

// missing names everything that is not there, with what provides it.
func missing(o options) error {
	var lack, packages []string
	for _, n := range needs {
		if _, err := exec.LookPath(n.program); err != nil {
			packages = append(packages, n.debian)
		}
	}
	if len(packages) > 0 {
		lack = append(lack, "Debian packages: apt-get install --no-install-recommends "+strings.Join(packages, " "))
	}
	bin := filepath.Join(o.suite, "../cmd/_bin")
	for _, h := range helpers {
		if _, err := os.Stat(filepath.Join(bin, h)); err != nil {
			tags := ""
			if h == "seccompagent" {
				tags = " -tags seccomp"
			}
			lack = append(lack, fmt.Sprintf("%s/%s: in the checkout, go build%s -o tests/cmd/_bin/ ./tests/cmd/%s", bin, h, tags, h))
		}
	}
	for image, what := range map[string]string{
		"busybox": "a root file system of busybox-static with all its applets, /etc/passwd and /etc/group",
		"debian":  "of `debootstrap --variant=minbase bookworm`; uncompressed under that name it costs each test less",
	} {
		p := filepath.Join(o.suite, "testdata", image+"-"+goArch+".tar.xz")
		if _, err := os.Stat(p); err != nil {
			lack = append(lack, p+": "+what+" (a machine with internet access gets one by get-images.sh)")
		}
	}
	for _, s := range o.runtimes {
		if st, err := os.Stat(s.path); err != nil || st.Mode()&0o111 == 0 {
			lack = append(lack, s.path+": the runtime "+s.name)
		}
	}
	if len(lack) > 0 {
		return fmt.Errorf("the suite cannot run; it lacks\n  %s", strings.Join(lack, "\n  "))
	}
	return nil
}
