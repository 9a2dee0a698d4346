package hcs

import (
	"fmt"
	"slices"

	"wrun/tests/hcsemu/wire"
)

// This file answers tests, not clients: faults, leftovers, stop.

// controlDLL marks the requests of tests, which are neither journaled nor
// faulted.
const controlDLL = "control"

// Leftovers is what a test may have left, empty lists for nothing.
type Leftovers struct {
	Systems     []LeftSystem    `json:"systems"`
	Layers      []*mountedLayer `json:"layers"` // active
	Networks    []string        `json:"networks"`
	Endpoints   []string        `json:"endpoints"`
	Namespaces  []string        `json:"namespaces"`
	Credentials []string        `json:"credentials"`
	Access      []string        `json:"access"`   // "<vm> <path>" granted and not revoked
	Machines    []string        `json:"machines"` // VMs that the machine has: prefixes, worker processes
	Handles     []string        `json:"handles"`  // "<client's pid> <what>"
}

// LeftSystem is a system that Enumerate answers.
type LeftSystem struct {
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	State     string   `json:"state"`
	Resources []string `json:"resources"` // what was added to it: "vsmb share s1"
	Processes []uint32 `json:"processes"` // living ones that HcsCreateProcess made
}

// control answers the command line's ctl.
func (s *Service) control(c *call) (*wire.Answer, error) {
	switch c.Function {
	case "fault":
		var words []string
		for i := range c.Args {
			words = append(words, c.Arg(i))
		}
		f, err := parseFault(words)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = append(s.faults, f)
		return nil, nil
	case "faults-clear":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults, s.gone = nil, false
		return nil, nil
	case "leftovers":
		return value(s.leftovers()), nil
	case "stop":
		// The answer comes when nothing is left; the process then ends.
		if err := s.close(c.conn); err != nil {
			return nil, fail(0x80004005, "stopping: %v", err)
		}
		c.after = func() { s.onQuit.Do(func() { close(s.quit) }) }
		return nil, nil
	}
	return nil, fail(notImpl, "no such control request: %s", c.Function)
}

func (s *Service) leftovers() *Leftovers {
	l := &Leftovers{
		Systems: []LeftSystem{}, Layers: []*mountedLayer{}, Networks: []string{}, Endpoints: []string{}, Namespaces: []string{},
		Credentials: []string{}, Access: []string{}, Machines: []string{}, Handles: []string{},
	}
	if m, has := s.machine.(machines); has {
		l.Machines = append(l.Machines, m.Machines()...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, y := range s.systems {
		left := LeftSystem{ID: y.id, Type: y.systemType(), State: string(y.state), Resources: append([]string{}, y.list()...), Processes: []uint32{}}
		for _, p := range y.procs {
			if !p.exited() {
				left.Processes = append(left.Processes, p.pid)
			}
		}
		l.Systems = append(l.Systems, left)
	}
	for _, layer := range s.layers {
		l.Layers = append(l.Layers, layer)
	}
	for _, o := range s.network.objects {
		switch {
		case o.builtIn:
		case o.network != nil:
			l.Networks = append(l.Networks, o.id)
		case o.endpoint != nil:
			l.Endpoints = append(l.Endpoints, o.id)
		default:
			l.Namespaces = append(l.Namespaces, o.id)
		}
	}
	for id := range s.credentials {
		l.Credentials = append(l.Credentials, id)
	}
	for key := range s.access {
		l.Access = append(l.Access, key)
	}
	for _, h := range s.handles {
		what := "object"
		switch {
		case h.proc != nil:
			what = fmt.Sprintf("process %d of %s", h.proc.pid, h.system.id)
		case h.system != nil:
			what = "system " + h.system.id
		}
		l.Handles = append(l.Handles, fmt.Sprintf("%d %s", h.client, what))
	}
	for _, list := range [][]string{l.Networks, l.Endpoints, l.Namespaces, l.Credentials, l.Access, l.Machines, l.Handles} {
		slices.Sort(list)
	}
	return l
}
