package oci

import "strings"

// difference is one reason why another opinion comes to another verdict than
// wrun, and the files of the corpus it concerns.
type difference struct {
	opinion string // "tools" or "schema"
	verdict string // what it says of files that wrun says the opposite of
	reason  string
	files   string
}

var listed = []difference{
	// Files wrun refuses.
	{"tools", "accepts", "CheckSemVer is left out: it refuses every version but 1.3.0", `
		bad/version-0 bad/version-2 bad/version-invalid bad/version-leading-zero`},
	{"tools", "accepts", "looks at the decoded Go value, where a missing number or boolean is 0 or false", `
		bad/missing-console-size bad/missing-device-rule-allow bad/missing-throttle`},
	{"tools", "accepts", "never looks for NUL bytes, which would cut the string in every system call", `
		bad/type-nul-in-args bad/type-nul-in-destination`},
	{"tools", "accepts", "reports it, but counts the clause as a SHOULD", `
		bad/process-rlimit-unknown bad/annotation-empty-key`},
	{"tools", "accepts", "checks a hook's path and environment, not its timeout", `
		bad/hook-timeout`},
	{"tools", "accepts", "counts namespaces by type without asking whether the type exists", `
		bad/namespace-unknown`},
	{"tools", "accepts", "wants namespaces for sysctls named net.* and fs.mqueue.* only and takes the names as they are", `
		bad/sysctl-host bad/sysctl-traversal`},
	{"tools", "accepts", "joins a device's path to the root and compares paths as written", `
		bad/device-path-relative bad/device-same-path bad/device-mode`},
	{"tools", "accepts", "of a mount checks only type, destination and nesting", `
		bad/missing-bind-source bad/mount-idmap-without bad/mount-mapping-size bad/mount-one-mapping bad/masked-without-mount`},
	{"tools", "accepts", "of process checks only cwd, env, args, rlimits and capabilities", `
		bad/process-affinity bad/process-console-size bad/process-io-priority bad/process-oom bad/process-scheduler
		bad/process-scheduler-priority bad/process-uid-unchanged bad/process-umask bad/mappings-user-unmapped bad/hostname-long`},
	{"tools", "accepts", "of resources checks only swap, reservation, device rules and that a weight device has a weight", `
		bad/cgroup-path-dotdot bad/resources-burst bad/resources-cpus bad/resources-hugepage bad/resources-memory
		bad/resources-pids bad/resources-rdma bad/resources-unified`},
	{"tools", "accepts", "has no check for these sections", `
		bad/memory-policy-nodes bad/netdevice-name bad/netdevice-twice bad/netdevice-without-namespace bad/personality bad/propagation
		bad/rdt bad/seccomp-errno bad/seccomp-metadata bad/seccomp-notify bad/seccomp-unknown bad/time-clock`},
	{"tools", "accepts", "of the windows section checks layerFolders and hyperv only", `
		bad/windows-cpu bad/windows-credential bad/windows-device bad/windows-network bad/windows-shares`},

	{"schema", "accepts", "the library reads the first JSON value, keeps the last of two equal names and replaces bad UTF-8", `
		bad/syntax-duplicate-name bad/syntax-latin1 bad/syntax-trailing-data`},
	{"schema", "accepts", "to a schema 1000.0 is an integer; Go's decoder, and so every Go runtime, refuses it", `
		bad/type-uid-fraction`},
	{"schema", "accepts", "a version is any string", `
		bad/version-0 bad/version-2 bad/version-invalid bad/version-leading-zero`},
	{"schema", "accepts", "does not mark as required what the text calls REQUIRED", `
		bad/missing-args bad/missing-device-numbers bad/missing-personality-domain bad/missing-root
		bad/resources-rdma bad/resources-weight-device bad/windows-no-command`},
	{"schema", "accepts", "a path or name is any string", `
		bad/annotation-empty-key bad/cgroup-path-dotdot bad/device-path-relative bad/hook-relative bad/hostname-long bad/masked-relative
		bad/namespace-path-relative bad/netdevice-name bad/process-affinity bad/process-cwd-relative bad/process-env
		bad/process-rlimit-unknown bad/resources-cpus bad/resources-devices bad/resources-network bad/resources-unified
		bad/sysctl-traversal bad/time-clock bad/type-nul-in-args bad/type-nul-in-destination
		bad/windows-cwd bad/windows-mount-paths bad/windows-root-path`},
	{"schema", "accepts", "has wider ranges than kernel and text", `
		bad/device-numbers-huge bad/process-console-size bad/process-oom bad/process-uid-unchanged bad/process-umask
		bad/resources-memory bad/resources-pids bad/windows-shares`},
	{"schema", "accepts", "cannot relate one property to another", `
		bad/device-same-path bad/hostname-without-uts bad/mappings-user-unmapped bad/mappings-without-user bad/masked-without-mount
		bad/memory-policy bad/memory-policy-nodes bad/missing-bind-source bad/mount-idmap-without bad/mount-mapping-size
		bad/mount-one-mapping bad/namespace-duplicate bad/netdevice-twice bad/netdevice-without-namespace
		bad/process-rlimit-duplicate bad/process-rlimit-soft bad/process-scheduler-priority bad/resources-burst
		bad/resources-swap-below-limit bad/seccomp-errno bad/seccomp-metadata bad/seccomp-notify bad/sysctl-host
		bad/sysctl-no-namespace bad/time-without-namespace bad/windows-mount-nested bad/windows-network
		bad/windows-root-hyperv bad/windows-root-readonly`},

	// Files wrun accepts.
	{"tools", "refuses", "for a Linux bundle windows.hyperv is wrun's selector of the utility VM; a Windows image's layers mean nothing there", `
		good/hyperv-selector good/hyperv-sysctl-vm good/fallback-hwConfig`},
	{"schema", "refuses", "for a Linux bundle windows.hyperv is wrun's selector of the utility VM; a Windows image's layers mean nothing there", `
		good/hyperv-selector good/hyperv-sysctl-vm good/fallback-hwConfig`},
	{"tools", "refuses", "refuses the keys of org.opencontainers that config.md defines itself", `
		good/annotations`},
	{"tools", "refuses", "refuses a FIFO that carries device numbers; the suite's own linux_devices test writes one", `
		good/fifo-with-numbers`},
	{"tools", "refuses", "wants new namespaces where config-linux.md, Namespaces lets the container join one by path", `
		good/joined-namespaces`},
	{"tools", "refuses", "relative destinations are allowed on Linux since 1.2: config.md, Mounts, \"it MAY be a relative path\"", `
		good/relative-mount`},
	{"tools", "refuses", "capabilities that cannot be granted are a warning since 1.1: config.md, Linux Process", `
		good/runc-spec good/unknown-capability`},
	{"tools", "refuses", "an empty root, a mount without type, a named pipe and a commandLine without args are what Docker writes", `
		good/windows-docker-hyperv`},
	{"schema", "refuses", "Docker writes credentialSpec as a string that holds the object", `
		good/windows-docker-hyperv`},
	{"tools", "refuses", "engines hand over Windows bundles without root; wrun mounts layerFolders and warns", `
		good/windows-rootless-silo`},
	{"schema", "refuses", "engines write the recursive forms rshared and rslave for rootfsPropagation", `
		good/linux-rest`},
	{"schema", "refuses", "Go programs write null for an empty list; it means the same as leaving it out", `
		good/nulls`},
}

// differences maps "opinion verdict file" to the reason.
var differences = func() map[string]string {
	m := map[string]string{}
	for _, d := range listed {
		for _, f := range strings.Fields(d.files) {
			m[d.opinion+" "+d.verdict+" "+f] = d.reason
		}
	}
	return m
}()
