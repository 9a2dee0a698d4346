package guest

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reap takes away the dead that the kernel gives to the first process: those
// whose parents ended before them. The agent's own children are waited for by
// whoever started them, and stay until then.
func (a *agent) reap() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	for ; ; <-died {
		a.births.Lock()
		known := a.children()
		for _, pid := range zombies() {
			if !known[pid] {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
		a.births.Unlock()
		time.Sleep(100 * time.Millisecond) // a tree that dies costs one look
	}
}

func (a *agent) children() map[int]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := map[int]bool{}
	for _, t := range a.tasks {
		known[t.container.system.Pid()] = true
		if t.process != nil {
			known[t.process.Pid()] = true
		}
	}
	return known
}

// zombies are the dead children of the first process.
func zombies() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		text := string(data)
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(f) > 1 && f[0] == "Z" && f[1] == "1" {
			pids = append(pids, pid)
		}
	}
	return pids
}
