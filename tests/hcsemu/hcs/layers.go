package hcs

import (
	"slices"
	"strings"

	"wrun/tests/hcsemu/wire"
)

// The layer functions of vmcompute.dll, as bookkeeping: nothing is mounted,
// but the order of calls is held to. Arguments are the driver's home, the
// layer, and what follows.

type mountedLayer struct {
	Path     string
	Prepared bool
	Volume   string // \\?\Volume{guid}\, the same for as long as the layer is active
	Parents  []string

	volume string // {guid}
}

const scratchDisk = `\sandbox.vhdx`

// Errors of layers that are in the wrong state; what Windows says is not known
// here.
const (
	deviceNotConnected = Result(0x8007048F)
	busy               = Result(0x800700AA)
)

func layerPath(c *call) string {
	p := c.Arg(1)
	if home := c.Arg(0); home != "" {
		p = home + `\` + p
	}
	return strings.TrimRight(p, `\/`)
}

func addLayerHandlers(m map[string]handler) {
	m["ActivateLayer"] = onLayer(activate)
	m["PrepareLayer"] = onLayer(prepare)
	m["UnprepareLayer"] = onLayer(unprepare)
	m["DeactivateLayer"] = onLayer(deactivate)
	m["GetLayerMountPath"] = mountPath
	m["CreateSandboxLayer"] = onLayer(createScratch)
	m["ExpandSandboxSize"] = onLayer(expand)
	m["DestroyLayer"] = onLayer(destroy)
	m["LayerExists"] = layerExists
	m["ProcessBaseImage"] = processImage
	m["ProcessUtilityImage"] = processImage
	m["GetBaseImages"] = func(*Service, *call) (*wire.Answer, error) {
		return value(map[string]any{"Images": []any{}}), nil
	}
}

// onLayer runs under the mutex; l is nil for a layer that is not active.
func onLayer(do func(s *Service, c *call, path string, l *mountedLayer) error) handler {
	return func(s *Service, c *call) (*wire.Answer, error) {
		path := layerPath(c)
		if c.Arg(1) == "" {
			return nil, fail(invalidParam, "%s: no layer", c.Function)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, do(s, c, path, s.layers[strings.ToLower(path)])
	}
}

func activate(s *Service, _ *call, path string, l *mountedLayer) error {
	switch {
	case l != nil:
		return fail(alreadyExists, "the layer %s is active", path)
	case !s.machine.IsDir(path):
		return fail(pathNotFound, "there is no layer %s", path)
	case !s.machine.IsFile(path + scratchDisk):
		return fail(fileNotFound, "the layer %s has no sandbox.vhdx", path)
	}
	id := "{" + newID() + "}"
	s.layers[strings.ToLower(path)] = &mountedLayer{Path: path, volume: id, Volume: `\\?\Volume` + id + `\`}
	return nil
}

func prepare(s *Service, c *call, path string, l *mountedLayer) error {
	if l == nil {
		return fail(notReady, "the layer %s is not active", path)
	}
	if l.Prepared {
		return fail(alreadyExists, "the layer %s is prepared", path)
	}
	parents := layerList(c.Arg(2))
	if len(parents) == 0 {
		return fail(invalidParam, "the layer %s has no parents", path)
	}
	for _, parent := range parents {
		if !s.machine.IsDir(parent) {
			return fail(pathNotFound, "there is no parent layer %s", parent)
		}
	}
	l.Prepared, l.Parents = true, parents
	return nil
}

func unprepare(_ *Service, _ *call, path string, l *mountedLayer) error {
	if l == nil || !l.Prepared {
		return fail(deviceNotConnected, "the layer %s is not prepared", path)
	}
	l.Prepared = false
	return nil
}

func deactivate(s *Service, _ *call, path string, l *mountedLayer) error {
	if l == nil {
		return fail(deviceNotConnected, "the layer %s is not active", path)
	}
	if l.Prepared {
		return fail(busy, "the layer %s is prepared", path)
	}
	delete(s.layers, strings.ToLower(path))
	return nil
}

// mountPath: a volume for a scratch layer, the folder for a read-only one.
func mountPath(s *Service, c *call) (*wire.Answer, error) {
	path := layerPath(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.layers[strings.ToLower(path)]
	switch {
	case l != nil && l.Prepared:
		return &wire.Answer{Value: &l.Volume}, nil
	case !s.machine.IsDir(path):
		return nil, fail(pathNotFound, "there is no layer %s", path)
	case l != nil || s.machine.IsFile(path+scratchDisk):
		return nil, fail(notReady, "the layer %s is not prepared", path)
	}
	return &wire.Answer{Value: &path}, nil
}

func createScratch(s *Service, c *call, path string, _ *mountedLayer) error {
	if s.machine.IsFile(path + scratchDisk) {
		return fail(alreadyExists, "the layer %s has a sandbox.vhdx", path)
	}
	parents := layerList(c.Arg(2))
	if len(parents) == 0 {
		return fail(invalidParam, "the layer %s has no parents", path)
	}
	for _, parent := range parents {
		if !s.machine.IsDir(parent) {
			return fail(pathNotFound, "there is no parent layer %s", parent)
		}
	}
	return s.machine.WriteFile(path+scratchDisk, []byte("hcsemu: a scratch disk\n"))
}

func expand(s *Service, c *call, path string, _ *mountedLayer) error {
	if !s.machine.IsFile(path + scratchDisk) {
		return fail(fileNotFound, "the layer %s has no sandbox.vhdx", path)
	}
	if c.Number == 0 {
		return fail(invalidParam, "a size of 0")
	}
	return nil
}

func destroy(s *Service, _ *call, path string, l *mountedLayer) error {
	if l != nil {
		return fail(busy, "the layer %s is active", path)
	}
	if !s.machine.IsDir(path) {
		return fail(pathNotFound, "there is no layer %s", path)
	}
	return s.machine.RemoveAll(path)
}

func layerExists(s *Service, c *call) (*wire.Answer, error) {
	a := &wire.Answer{}
	if s.machine.IsDir(layerPath(c)) {
		a.Numbers[0] = 1
	}
	return a, nil
}

func processImage(s *Service, c *call) (*wire.Answer, error) {
	if !s.machine.IsDir(c.Arg(0)) {
		return nil, fail(pathNotFound, "there is no directory %s", c.Arg(0))
	}
	return nil, nil
}

// layerList takes apart what the DLL joined: paths, each with an end of line.
func layerList(s string) []string {
	return slices.DeleteFunc(strings.Split(s, "\n"), func(p string) bool { return p == "" })
}
