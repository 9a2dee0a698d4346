package hcs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// This file makes calls fail, hang and get lost when a test asks for it. No call
// knows of it.

// Fault is a failure to inject into the calls that match.
type Fault struct {
	Op     string        // the function, "" for any
	System string        // the compute system, "" for any
	Nth    int           // the how manieth matching call, from 1; 0: every one
	HR     *Result       // what the call is answered with; 0: success, with nothing done
	Delay  time.Duration // how long the call hangs first
	Drop   bool          // the connection ends without an answer
	Vanish bool          // the service is gone from this call on
	After  bool          // HR and Drop come after the call was done, not in its place
	seen   int
}

// parseFault reads words like op=HcsStartComputeSystem nth=1 hr=0x80370109.
func parseFault(words []string) (*Fault, error) {
	f := &Fault{}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "op":
			f.Op = value
		case "system":
			f.System = value
		case "nth":
			f.Nth, err = strconv.Atoi(value)
		case "hr":
			var n uint64
			n, err = strconv.ParseUint(value, 0, 32)
			hr := Result(n)
			f.HR = &hr
		case "delay":
			f.Delay, err = time.ParseDuration(value)
		case "drop":
			f.Drop = true
		case "vanish":
			f.Vanish = true
		case "after":
			f.After = true
		default:
			err = fmt.Errorf("no such word")
		}
		if err != nil {
			return nil, fail(invalidParam, "reading fault %q: %v", w, err)
		}
	}
	if f.HR == nil && f.Delay == 0 && !f.Drop && !f.Vanish {
		return nil, fail(invalidParam, "reading a fault: none of hr, delay, drop, vanish")
	}
	if f.After && !f.Drop && (f.HR == nil || *f.HR == ok) {
		return nil, fail(invalidParam, "reading a fault: after goes with drop or an hr that is an error")
	}
	return f, nil
}

// hit is what the faults do to one call.
type hit struct {
	Fault
	drop, gone bool
}

// fault finds what is to go wrong with a call, and sits out its delay.
func (s *Service) fault(c *call) hit {
	if c.DLL == controlDLL {
		return hit{}
	}
	s.mu.Lock()
	var found hit
	for _, f := range s.faults {
		if f.Op != "" && f.Op != c.Function || f.System != "" && f.System != c.entry.System {
			continue
		}
		f.seen++
		if f.Nth == 0 || f.Nth == f.seen {
			found.Fault, found.drop = *f, f.Drop
			break
		}
	}
	if found.Vanish {
		s.vanish()
	}
	found.gone = s.gone
	s.mu.Unlock()
	if found.Delay > 0 {
		select {
		case <-time.After(found.Delay):
		case <-s.quit:
		}
	}
	return found
}

// vanish tells every callback that the service is gone, and drops whoever
// waits; s.mu is held. Systems and handles survive, as the processes of a
// crashed service do: faults-clear brings the service back to them.
func (s *Service) vanish() {
	s.gone = true
	for _, h := range s.handles {
		for l := range h.listeners {
			l.last(eventServiceDisconnect)
		}
	}
}
