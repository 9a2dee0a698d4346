package hcs

import (
	"slices"
	"sort"
)

// ledger is what the containers of one utility VM have attached to it: which
// places of its disk controller are taken, and who uses what they share. It
// lies in the state directory of the VM's owner and is changed under a lock of
// the machine.
type ledger struct {
	Places map[int]string   `json:"places"` // place on the SCSI controller: the container that took it
	Shared map[string]*used `json:"shared"` // by Step.Key
}

// used is a thing that several containers use.
type used struct {
	By    []string `json:"by"`              // containers
	Place *int     `json:"place,omitempty"` // of a disk
	Done  bool     `json:"done"`            // it is there: whoever took it first may have died before
}

// ledgerFile is the ledger's name in the owner's state directory.
const ledgerFile = "vm.json"

// places is how many disks the controller takes.
const places = 64

// free lists the places nobody has, from first on, in order.
func (l *ledger) free(first int) []int {
	var list []int
	for p := first; p < places; p++ {
		if _, taken := l.Places[p]; !taken {
			list = append(list, p)
		}
	}
	return list
}

func (l *ledger) take(container string, list []int) {
	if l.Places == nil {
		l.Places = map[int]string{}
	}
	for _, p := range list {
		l.Places[p] = container
	}
}

// disks are the shared ones with their places.
func (l *ledger) disks() map[string]int {
	all := map[string]int{}
	for key, u := range l.Shared {
		if u.Place != nil {
			all[key] = *u.Place
		}
	}
	return all
}

// use notes that container uses key, and answers what is known of it.
func (l *ledger) use(container, key string) *used {
	if l.Shared == nil {
		l.Shared = map[string]*used{}
	}
	u := l.Shared[key]
	if u == nil {
		u = new(used)
		l.Shared[key] = u
	}
	if !slices.Contains(u.By, container) {
		u.By = append(u.By, container)
		sort.Strings(u.By)
	}
	return u
}

// alone says that container uses key, and nobody else does.
func (l *ledger) alone(container, key string) bool {
	u := l.Shared[key]
	return u != nil && len(u.By) == 1 && u.By[0] == container
}

// knows says that container has something of this VM. Every container of a VM
// has its scratch disk's place.
func (l *ledger) knows(container string) bool {
	for _, by := range l.Places {
		if by == container {
			return true
		}
	}
	for _, u := range l.Shared {
		if slices.Contains(u.By, container) {
			return true
		}
	}
	return false
}

// leave notes that container uses key no more; last says that nobody does.
func (l *ledger) leave(container, key string) (last bool) {
	u := l.Shared[key]
	if u == nil {
		return false
	}
	u.By = slices.DeleteFunc(u.By, func(c string) bool { return c == container })
	if len(u.By) > 0 {
		return false
	}
	delete(l.Shared, key)
	return true
}

// release gives back the places that only container had. A disk that others
// share keeps its own.
func (l *ledger) release(container string) {
	shared := map[int]bool{}
	for _, u := range l.Shared {
		if u.Place != nil {
			shared[*u.Place] = true
		}
	}
	for p, owner := range l.Places {
		if owner == container && !shared[p] {
			delete(l.Places, p)
		} else if owner == container {
			l.Places[p] = "" // whoever uses the disk
		}
	}
	for p, owner := range l.Places {
		if owner == "" && !shared[p] {
			delete(l.Places, p)
		}
	}
}
