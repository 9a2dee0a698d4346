package wine

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

const pipePrefix = `\\.\pipe\`

// pipeName is what follows \\.\pipe\ in path, with any slashes.
func pipeName(path string) (string, bool) {
	if len(path) <= len(pipePrefix) || !strings.EqualFold(strings.ReplaceAll(path[:len(pipePrefix)], "/", `\`), pipePrefix) {
		return "", false
	}
	return strings.ReplaceAll(path[len(pipePrefix):], "/", `\`), true
}

func (w *Wants) mount(i int, s *specs.Mount) error {
	at := func(field string) string { return index("mounts", i, field) }
	switch s.Type {
	case "", "bind":
	default:
		return libcontainer.WithHint(bad(at("type"), "%q: on drive C: of a container on Linux there are folders and files of the host, and no disks", s.Type), "leave type out")
	}
	name, pipe := pipeName(s.Destination)
	if _, windows := pipeName(s.Source); windows {
		return libcontainer.WithHint(bad(at("source"), "%q: a Linux host has no named pipes; its unix sockets can be mapped", s.Source), "name a socket of the host as the source")
	}
	if o := object(s.Source) + object(s.Destination); o != "" && !pipe {
		return libcontainer.WithHint(bad(at(""), "%q: shared memory, events, mutexes and semaphores live in one wineserver and cannot be shared with another container's", o),
			"share a file, a folder or a pipe")
	}
	switch {
	case len(s.Source) > 1 && s.Source[1] == ':', strings.HasPrefix(s.Source, `\\`):
		return libcontainer.WithHint(bad(at("source"), "%q is a path of a Windows machine, and this is Linux", s.Source), "name a file or folder of this machine")
	case !strings.HasPrefix(s.Source, "/"):
		return bad(at("source"), "%q is no absolute path", s.Source)
	}
	if pipe {
		w.Pipes = append(w.Pipes, Pipe{Socket: s.Source, Name: name, at: at("")})
		return nil
	}
	names, err := onDriveC(s.Destination)
	if err != nil {
		return bad(at("destination"), "%q %w", s.Destination, err)
	}
	if len(names) == 0 {
		return libcontainer.WithHint(bad(at("destination"), "%q is the drive itself", s.Destination), `mount into a folder of it, such as C:\data`)
	}
	m := Mount{Source: s.Source, Names: names, at: at("")}
	for _, o := range s.Options {
		switch strings.ToLower(o) {
		case "ro":
			m.ReadOnly = true
		case "rw":
			m.ReadOnly = false
		}
	}
	w.Mounts = append(w.Mounts, m)
	return nil
}

// onDriveC takes a full path of drive C: apart.
func onDriveC(path string) ([]string, error) {
	p := strings.ReplaceAll(path, "/", `\`)
	p = strings.TrimPrefix(p, `\\?\`)
	if len(p) < 3 || p[0]|0x20 != 'c' || p[1] != ':' || p[2] != '\\' {
		return nil, errNotC
	}
	var names []string
	for name := range strings.SplitSeq(p[3:], `\`) {
		switch {
		case name == "" || name == ".":
		case name == "..":
			if len(names) == 0 {
				return nil, errNotC
			}
			names = names[:len(names)-1]
		case strings.ContainsAny(name, "<>:\"|?*\x00"):
			return nil, errName
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// object is path if it names something in the object manager's namespace, as
// \\?\GLOBALROOT\BaseNamedObjects\x and \\.\x do.
func object(path string) string {
	p := strings.ToUpper(strings.ReplaceAll(path, "/", `\`))
	if strings.HasPrefix(p, `\\.\`) || strings.HasPrefix(p, `\\?\GLOBALROOT`) || strings.HasPrefix(p, `\\?\BASENAMEDOBJECTS`) {
		return path
	}
	return ""
}
