package broken

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/container"
	"wrun/tests/leftovers"
)

var (
	site     container.Site
	sequence int
)

func TestMain(m *testing.M) { os.Exit(site.Main(m, "broken", container.Tags, leftovers.Confine)) }

// place is where one flaw is made and tried.
type place struct {
	*testing.T
	*container.Bundle
	wrun   *container.Wrun
	id     string
	host   string   // a directory of the host's that a container must not change
	args   []string // more flags of create
	whole  bool     // the flaw wrote config.json itself, or there is none
	alive  bool     // the container exists already and lives on
	before *leftovers.Snapshot
}

func newPlace(t *testing.T) *place {
	t.Helper()
	if site.WhyNot != "" {
		t.Skip(site.WhyNot)
	}
	sequence++
	dir := filepath.Join(site.Work, strconv.Itoa(sequence))
	p := &place{
		T: t, host: filepath.Join(dir, "host"), id: leftovers.Tag() + strconv.Itoa(sequence),
		Bundle: container.NewBundle(t, filepath.Join(dir, "bundle"), "true"),
		wrun:   &container.Wrun{Binary: site.Binary, Root: filepath.Join(dir, "state"), Env: []string{"TMPDIR=" + filepath.Join(dir, "tmp")}},
	}
	for _, d := range []string{"host/sub", "state", "tmp"} {
		p.must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	p.must(os.WriteFile(filepath.Join(p.host, "file"), []byte("the host's\n"), 0o644))
	p.must(os.WriteFile(filepath.Join(p.host, "passwd"), []byte("the host's\n"), 0o644))
	t.Cleanup(func() {
		if !t.Failed() {
			p.must(os.RemoveAll(dir))
		}
	})
	return p
}

func (p *place) must(err error) {
	p.Helper()
	container.Must(p.T, err)
}

// ready saves the configuration and takes the picture of the machine that
// clean compares with.
func (p *place) ready() {
	p.Helper()
	if !p.whole {
		p.Save(p.T)
	}
	dir := filepath.Dir(p.Dir)
	p.before = leftovers.Take(p.T, p.host, filepath.Join(dir, "state"), filepath.Join(dir, "tmp"))
}

func (p *place) clean(what string) {
	p.Helper()
	want := specs.ContainerState("")
	if p.alive {
		want = specs.StateRunning
	}
	if s := p.wrun.State(p.T, p.id); s != want {
		p.Errorf("%s: the container is %q, want %q", what, s, want)
	}
	p.before.Check(p.T, what)
	if p.Failed() && !p.alive { // do not let one flaw's rest spoil the next
		p.wrun.Run(p.T, "delete", "--force", p.id)
	}
}

// oneError checks that a call ended with exit code code and one error, said on
// stderr for people and on one line of JSON for engines, and returns it.
func (p *place) oneError(code int, args ...string) string {
	p.Helper()
	r := p.wrun.Run(p.T, args...)
	p.clean("after " + args[0])
	if r.Code != code {
		p.Errorf("%s: exit code %d, want %d; stderr %q", args[0], r.Code, code, r.Stderr)
	}
	text, ended := strings.CutSuffix(r.Stderr, "\n")
	text, named := strings.CutPrefix(text, "wrun: ")
	if !ended || !named || text == "" {
		p.Errorf("stderr %q is no line of wrun's", r.Stderr)
	}
	for i, line := range strings.Split(text, "\n") {
		// Several problems of one config.json stand indented below the first line.
		if i > 0 && !strings.HasPrefix(line, "  ") {
			p.Errorf("stderr has a second message: %q", line)
		}
	}
	// conmon reads no more of it.
	if len(r.Stderr) > 8191 {
		p.Errorf("the error is %d bytes long", len(r.Stderr))
	}

	log := filepath.Join(p.TempDir(), "log")
	r = p.wrun.Run(p.T, append([]string{"--log", log, "--log-format", "json"}, args...)...)
	p.clean("after " + args[0] + " with a log")
	if r.Code != code {
		p.Errorf("with a log: exit code %d, want %d", r.Code, code)
	}
	data, err := os.ReadFile(log)
	p.must(err)
	// A lack of memory is found at one system call or another: the next run's error
	// need not be this one's.
	said := strings.TrimSuffix(strings.TrimPrefix(r.Stderr, "wrun: "), "\n")
	var entry struct{ Level, Msg, Time string }
	if strings.Count(string(data), "\n") != 1 {
		p.Errorf("the log has not one line: %q", data)
	} else if err := json.Unmarshal(data, &entry); err != nil {
		p.Errorf("the log's line: %v in %q", err, data)
	} else if entry.Level != "error" || entry.Msg != said || entry.Time == "" {
		p.Errorf("the log says\n%+v, stderr\n%q", entry, said)
	}
	return text
}

// flaw is one thing wrong with a bundle.
type flaw struct {
	name string
	edit func(p *place)
	want string // in the error
}

// flaws runs every list through `wrun run`, where whatever fails at create or
// at start is one error.
func flaws(t *testing.T, list []flaw) {
	t.Helper()
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) {
			p := newPlace(t)
			f.edit(p)
			p.ready()
			text := p.oneError(1, append([]string{"run", "--bundle", p.Dir, p.id}, p.args...)...)
			if !strings.Contains(text, f.want) {
				t.Errorf("the error is\n%q, want in it\n%q", text, f.want)
			}
			if testing.Verbose() {
				t.Log(text)
			}
		})
	}
}
