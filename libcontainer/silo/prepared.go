package silo

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/bundle"
	"wrun/libcontainer/jsonscan"
	"wrun/libcontainer/silo/seccomp"
)

// Prepared is the start of a container in a utility VM as its host has worked it
// out: the Plan, and what else of the Spec the start is about. The guest would
// come to the same, by instructions that are translated as they are met.
type Prepared struct {
	Plan            *Plan
	Direct          bool   // no start gate
	Namespaces      uint64 // CLONE_NEW* of those that are the container's own
	Program         string // process.args[0]; "" without a process
	Cwd             string
	OOMScoreAdj     *int
	NoNewPrivileges bool
	NoNewKeyring    bool
	Filter          *seccomp.Filter
	Resources       *specs.LinuxResources
}

// prepared takes what a start needs out of in, whose plan is p.
func prepared(in *Input, p *Plan) *Prepared {
	r := &Prepared{Plan: p, Direct: in.Direct, NoNewKeyring: in.NoNewKeyring, Filter: in.Filter, Resources: in.linux().Resources}
	for _, n := range namespaceOrder {
		if in.hasNamespace(specs.LinuxNamespaceType(n.kind)) {
			r.Namespaces |= n.flag
		}
	}
	if s := in.Spec.Process; s != nil {
		r.Program, r.Cwd, r.OOMScoreAdj, r.NoNewPrivileges = s.Args[0], s.Cwd, s.OOMScoreAdj, s.NoNewPrivileges
	}
	return r
}

// input is as much of the Input as Prepared tells, for the container of that name
// in a guest.
func (r *Prepared) input(id string) *Input {
	s := &specs.Spec{Linux: &specs.Linux{CgroupsPath: "/" + id, Resources: r.Resources}}
	for _, n := range namespaceOrder {
		if r.Namespaces&n.flag != 0 {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(n.kind)})
		}
	}
	if r.Program != "" {
		s.Process = &specs.Process{Args: []string{r.Program}, Cwd: r.Cwd, OOMScoreAdj: r.OOMScoreAdj, NoNewPrivileges: r.NoNewPrivileges}
	}
	return &Input{ID: id, Spec: s, Guest: true, Direct: r.Direct, NoNewKeyring: r.NoNewKeyring, Filter: r.Filter}
}

// MarshalJSON writes r for ReadPrepared.
func (r *Prepared) MarshalJSON() ([]byte, error) {
	b := r.Plan.append(make([]byte, 0, 16<<10))
	for _, f := range []struct {
		name string
		is   bool
	}{{"direct", r.Direct}, {"noNewPrivileges", r.NoNewPrivileges}, {"noNewKeyring", r.NoNewKeyring}} {
		if f.is {
			b = append(appendName(b, f.name), "true"...)
		}
	}
	b = appendNumber(b, "namespaces", r.Namespaces)
	b = appendText(b, "program", r.Program)
	b = appendText(b, "cwd", r.Cwd)
	if r.OOMScoreAdj != nil {
		b = strconv.AppendInt(appendName(b, "oomScoreAdj"), int64(*r.OOMScoreAdj), 10)
	}
	if f := r.Filter; f != nil {
		b = appendArg(appendName(b, "filter"), Filter{encode(f.Program)})
		b = appendNumber(b, "filterFlags", uint64(f.Flags))
	}
	if r.Resources != nil {
		text, err := json.Marshal(r.Resources)
		if err != nil {
			return nil, err
		}
		b = append(appendName(b, "resources"), text...)
	}
	b[0] = '{' // for the first comma
	return append(b, '}'), nil
}

// ReadPrepared reads what MarshalJSON has written.
func ReadPrepared(text []byte) (*Prepared, error) {
	r := &Prepared{Plan: &Plan{}}
	d := jsonscan.Decoder{Text: string(text)}
	if !d.Object(r.members()) || !utf8.ValidString(d.Text) {
		return nil, errors.New("this is no prepared start of a container")
	}
	return r, nil
}

func (r *Prepared) members() func(d *jsonscan.Decoder, name string) bool {
	var whys []string
	return func(d *jsonscan.Decoder, name string) bool {
		switch name {
		case "direct":
			return d.Boolean(&r.Direct)
		case "noNewPrivileges":
			return d.Boolean(&r.NoNewPrivileges)
		case "noNewKeyring":
			return d.Boolean(&r.NoNewKeyring)
		case "namespaces":
			return jsonscan.Unsigned(d, &r.Namespaces, 64)
		case "program":
			return d.String(&r.Program)
		case "cwd":
			return d.String(&r.Cwd)
		case "oomScoreAdj":
			r.OOMScoreAdj = new(int)
			return jsonscan.Signed(d, r.OOMScoreAdj, strconv.IntSize)
		case "filter":
			return r.scanFilter(d)
		case "filterFlags":
			return r.Filter != nil && jsonscan.Unsigned(d, &r.Filter.Flags, 32)
		case "resources":
			r.Resources = &specs.LinuxResources{}
			return bundle.ScanResources(d, r.Resources)
		}
		return r.Plan.member(d, &whys, name)
	}
}

func (r *Prepared) scanFilter(d *jsonscan.Decoder) bool {
	a, ok := scanArg(d)
	f, is := a.(Filter)
	if !ok || !is {
		return false
	}
	r.Filter = &seccomp.Filter{Program: decode(f.Program)}
	return true
}
