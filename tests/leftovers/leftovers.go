// Package leftovers tells what a test left on the machine, by comparing it
// before and after: processes, mounts, cgroups, namespaces, files.
package leftovers

import (
	"os"
	"strconv"
	"time"
)

// Settle is how long a machine may take to come to rest: what is killed ends a
// moment later.
const Settle = 3 * time.Second

// Tag is what the id of each tested container and each cgroup path must
// contain: cgroups are the machine's, and others use them meanwhile.
func Tag() string { return "wrun-left-" + strconv.Itoa(os.Getpid()) + "-" }
