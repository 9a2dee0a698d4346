package silo

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/jsonscan"
	"wrun/libcontainer/silo/cgroup"
)

// handle is what is saved of a container: enough to find it and to remove all
// that was made for it, however far its creation came.
type handle struct {
	Dir   string        `json:"dir"` // state directory: the gate's fifos
	Group *cgroup.Group `json:"cgroup,omitempty"`
	Pid   int           `json:"pid,omitempty"`
	Start uint64        `json:"start,omitempty"` // clock ticks; pid is trusted only with it
	// After names the steps behind the gate, so that start can say which one
	// did not work; the first has index Gate+1.
	Gate  int      `json:"gate,omitempty"`
	After []string `json:"after,omitempty"`
	// Namespaces are those the container has of its own, for hooks.
	Namespaces []specs.LinuxNamespaceType `json:"namespaces,omitempty"`
	// OwnPids: init is the first process of a pid namespace of its own.
	OwnPids bool `json:"ownPids,omitempty"`
	// Program is process.args[0], for errors of start.
	Program string `json:"program,omitempty"`
	// HostRoot is the root file system's path when there is no mount
	// namespace: then its mounts are the host's and Close takes away all that
	// lie over the mount HostMount.
	HostRoot  string `json:"hostRoot,omitempty"`
	HostMount uint64 `json:"hostMount,omitempty"`
}

// encode writes the handle as JSON. By hand: a first call of encoding/json
// costs a start more than all of its state files.
func (h *handle) encode() libcontainer.Handle {
	b := appendString(append(make([]byte, 0, 1024), `{"dir":`...), h.Dir)
	if h.Group != nil {
		b = appendString(append(b, `,"cgroup":{"path":`...), h.Group.Path)
		b = append(b, `,"dirs":[`...)
		for i := range h.Group.Dirs {
			d := &h.Group.Dirs[i]
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(b, `{"at":`...), d.Mount)
			b = appendText(b, "for", d.Controllers)
			b = appendText(b, "path", d.Path)
			b = append(appendNumber(b, "made", uint64(d.Made)), '}')
		}
		b = appendText(append(b, ']'), "unit", h.Group.Unit)
		b = appendText(b, "manager", h.Group.Manager)
		b = append(appendText(b, "invocation", h.Group.Invocation), '}')
	}
	b = appendNumber(b, "pid", uint64(h.Pid))
	b = appendNumber(b, "start", h.Start)
	b = appendNumber(b, "gate", uint64(h.Gate))
	b = appendList(b, "after", h.After)
	b = appendList(b, "namespaces", h.Namespaces)
	if h.OwnPids {
		b = append(appendName(b, "ownPids"), "true"...)
	}
	b = appendText(b, "program", h.Program)
	b = appendText(b, "hostRoot", h.HostRoot)
	b = appendNumber(b, "hostMount", h.HostMount)
	return append(b, '}')
}

func decodeHandle(raw libcontainer.Handle) (*handle, error) {
	h := &handle{}
	d := jsonscan.Decoder{Text: string(raw)}
	if d.Object(h.member) && !d.Bare && utf8.ValidString(d.Text) {
		return h, nil
	}
	h = &handle{} // not as encode writes it
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("the silo's handle in the state file: %w", err)
	}
	return h, nil
}

func (h *handle) member(d *jsonscan.Decoder, name string) bool {
	switch name {
	case "dir":
		return d.String(&h.Dir)
	case "cgroup":
		h.Group = &cgroup.Group{}
		return d.Members(func(d *jsonscan.Decoder, name string) bool { return groupMember(h.Group, d, name) })
	case "pid":
		return jsonscan.Signed(d, &h.Pid, strconv.IntSize)
	case "start":
		return jsonscan.Unsigned(d, &h.Start, 64)
	case "gate":
		return jsonscan.Signed(d, &h.Gate, strconv.IntSize)
	case "after":
		return list(d, &h.After)
	case "namespaces":
		return list(d, &h.Namespaces)
	case "ownPids":
		return d.Boolean(&h.OwnPids)
	case "program":
		return d.String(&h.Program)
	case "hostRoot":
		return d.String(&h.HostRoot)
	case "hostMount":
		return jsonscan.Unsigned(d, &h.HostMount, 64)
	}
	return false
}

func groupMember(g *cgroup.Group, d *jsonscan.Decoder, name string) bool {
	switch name {
	case "path":
		return d.String(&g.Path)
	case "dirs":
		g.Dirs = []cgroup.Dir{}
		return d.List(func(d *jsonscan.Decoder) bool {
			var dir cgroup.Dir
			ok := d.Members(func(d *jsonscan.Decoder, name string) bool { return dirMember(&dir, d, name) })
			g.Dirs = append(g.Dirs, dir)
			return ok
		})
	case "unit":
		return d.String(&g.Unit)
	case "manager":
		return d.String(&g.Manager)
	case "invocation":
		return d.String(&g.Invocation)
	}
	return false
}

func dirMember(dir *cgroup.Dir, d *jsonscan.Decoder, name string) bool {
	switch name {
	case "for":
		return d.String(&dir.Controllers)
	case "at":
		return d.String(&dir.Mount)
	case "path":
		return d.String(&dir.Path)
	case "made":
		return jsonscan.Signed(d, &dir.Made, strconv.IntSize)
	}
	return false
}

func list[S ~string](d *jsonscan.Decoder, v *[]S) bool {
	*v = []S{}
	return d.List(func(d *jsonscan.Decoder) bool {
		var s string
		ok := d.String(&s)
		*v = append(*v, S(s))
		return ok
	})
}
