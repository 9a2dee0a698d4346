package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// pair is two containers of one bundle. plain asks for nothing; asking asks for each
// thing that may pierce the isolation.
type pair struct {
	*experiment
	kind          int
	plain, asking *box
	net           network
	shared        string // folder of the host's
}

const (
	sandboxID     = "io.kubernetes.cri.sandbox-id"
	containerType = "io.kubernetes.cri.container-type"
)

// observe is the experiment with one kind of isolation.
func (e *experiment) observe(ctx context.Context, kind int) error {
	p := &pair{experiment: e, kind: kind, shared: filepath.Join(e.work, "shared-"+strconv.Itoa(kind))}
	say("%s: two containers of one bundle run `ping -n 1000 localhost` (Wine's ping has no -t).", kinds[kind])
	if kind == silo {
		say("The first container of all with this Wine makes a template of drive C:, some seconds, once.")
	}
	say("The first asks for nothing. The second has a folder, a file and a network of the host's.")
	if err := p.start(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{p.lists, p.isolated, p.pierced, p.network, p.refused} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) start(ctx context.Context) (err error) {
	if p.net, err = p.newNetwork(ctx, p.kind); err != nil {
		return err
	}
	if err := os.Mkdir(p.shared, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"in.txt": "from the host\n", "file.txt": "a file\n"} {
		if err := os.WriteFile(filepath.Join(p.shared, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if p.plain, err = p.newBox(p.kind, "plain", nil); err != nil {
		return err
	}
	if p.kind == vm { // others may join it: a pod
		p.plain.spec.Annotations = map[string]string{containerType: "sandbox", sandboxID: p.plain.id}
		if err := p.plain.write(); err != nil {
			return err
		}
	}
	if p.asking, err = p.newBox(p.kind, "asking", func(s *specs.Spec) {
		s.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: path(p.net.given)}
		s.Mounts = []specs.Mount{
			{Source: p.shared, Destination: `C:\Shared`},
			{Source: filepath.Join(p.shared, "file.txt"), Destination: `C:\host.txt`, Options: []string{"ro"}},
		}
	}); err != nil {
		return err
	}
	started := make(chan error)
	for _, b := range []*box{p.plain, p.asking} {
		fmt.Printf("$ wrun create --bundle %s %s; wrun start %[2]s\n", filepath.Base(b.dir), b.id)
		go func() { started <- b.up(ctx) }()
	}
	for range 2 {
		if failed := <-started; failed != nil {
			err = failed
		}
	}
	return err
}

// lists: with process isolation a container's processes are the host's, with Hyper-V
// isolation they are not.
func (p *pair) lists(ctx context.Context) error {
	say("What the container lists, and what the host lists of it.")
	fmt.Printf("$ wrun ps %s\n", p.plain.id)
	out, _, err := p.output(ctx, "ps", p.plain.id)
	if err != nil {
		return err
	}
	show(out)
	p.prove(p.kind, "wrun ps of the container", strings.Count(out, "ping.exe") == 1, "ping.exe is in its list")
	pid, err := p.plain.pid(ctx)
	if err != nil {
		return err
	}
	names, err := tree(ctx, pid)
	if err != nil {
		return err
	}
	runs := func(name string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name) })
	}
	if p.kind == silo {
		p.prove(silo, "ps of the host", runs("ping") && !runs("qemu"), "ping is among its processes")
	} else {
		p.prove(vm, "ps of the host", runs("qemu") && !runs("ping"), "qemu is among them, ping is not")
	}
	return nil
}

// tree is the names of a process and its descendants, as the host's ps has them.
func tree(ctx context.Context, root int) ([]string, error) {
	out, err := exec.CommandContext(ctx, "ps", "-e", "-o", "pid=,ppid=,comm=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	type process struct{ pid, parent, name string }
	var all []process
	for l := range strings.Lines(string(out)) {
		if f := strings.Fields(l); len(f) >= 3 {
			all = append(all, process{f[0], f[1], strings.Join(f[2:], " ")})
		}
	}
	fmt.Printf("$ ps -e -o pid,comm   (process %d and what descends from it)\n", root)
	in := map[string]bool{strconv.Itoa(root): true}
	var names []string
	for range all { // until nobody is added: parents may stand behind children
		before := len(in)
		for _, p := range all {
			if in[p.parent] {
				in[p.pid] = true
			}
		}
		if len(in) == before {
			break
		}
	}
	for _, p := range all {
		if in[p.pid] {
			names = append(names, p.name)
			show(p.pid + " " + p.name)
		}
	}
	return names, nil
}

// isolated: file system, registry, ports, process ids, object namespace.
func (p *pair) isolated(ctx context.Context) error {
	say("What one container has, the other has not.")
	wrote, err := p.plain.exec(ctx, "cmd", "/c", `C:\probe.exe write C:\mine.txt x & C:\probe.exe regset wrun\demo mine & C:\probe.exe regget wrun\demo & C:\probe.exe processes ping.exe`)
	if err != nil {
		return err
	}
	own := strings.Fields(wrote) // written written mine 1
	read, err := p.asking.exec(ctx, "cmd", "/c", `C:\probe.exe open C:\mine.txt & C:\probe.exe regget wrun\demo & C:\probe.exe processes ping.exe`)
	if err != nil {
		return err
	}
	there := strings.Split(strings.TrimSpace(read), "\n") // open: error 2, absent, 1
	if len(own) != 4 || len(there) != 3 {
		return fmt.Errorf("unexpected words of the probes: %q, %q", wrote, read)
	}
	_, missing := os.Stat(filepath.Join(p.layer, "mine.txt"))
	p.prove(p.kind, "file system", own[0] == "written" && there[0] == "open: error 2" && os.IsNotExist(missing), `C:\mine.txt is in one, not in the other and not in the layer`)
	p.prove(p.kind, "registry", own[2] == "mine" && there[1] == "absent", "a key written in one is absent in the other")
	p.prove(p.kind, "process ids", own[3] == "1" && there[2] == "1", "two containers run ping.exe, each sees one")

	var words [5]string
	for i, k := range []struct {
		b    *box
		args []string
	}{
		{p.plain, []string{"mutex", `Global\demo`}}, {p.asking, []string{"mutex", `Global\demo`}}, {p.plain, []string{"mutex", `Global\demo`}},
		{p.plain, []string{"listen", port}}, {p.asking, []string{"listen", port}},
	} {
		if words[i], err = k.b.keep(ctx, append([]string{`C:\probe.exe`}, k.args...)...); err != nil {
			return err
		}
	}
	p.prove(p.kind, "object namespace", words[0] == "made" && words[1] == "made" && words[2] == "there already", `Global\demo can be made once in each`)
	l, err := net.Listen("tcp", ":"+port)
	if err == nil {
		l.Close()
	}
	p.prove(p.kind, "network ports", words[3] == "listening" && words[4] == "listening" && err == nil, "both listen at %s, and the host still can", port)
	return nil
}

// pierced: files are there where they were asked for.
func (p *pair) pierced(ctx context.Context) error {
	say("What is asked for, and only that, is shared.")
	const look = `type C:\Shared\in.txt & C:\probe.exe write C:\Shared\%COMPUTERNAME%.txt x & type C:\host.txt & C:\probe.exe write C:\host.txt x`
	with, err := p.asking.exec(ctx, "cmd", "/c", look)
	if err != nil {
		return err
	}
	without, err := p.plain.exec(ctx, "cmd", "/c", look)
	if err != nil {
		return err
	}
	came, err := os.ReadDir(p.shared)
	if err != nil {
		return err
	}
	arrived := func(name string) bool {
		return slices.ContainsFunc(came, func(f os.DirEntry) bool { return f.Name() == name })
	}
	p.prove(p.kind, "folder of the host", strings.Contains(with, "from the host") && arrived("ASKING.txt") && !strings.Contains(without, "from the host") && !arrived("PLAIN.txt"),
		"read and written when asked for, else absent")
	now, err := os.ReadFile(filepath.Join(p.shared, "file.txt"))
	if err != nil {
		return err
	}
	p.prove(p.kind, "file of the host, read-only", strings.Contains(with, "a file\nwrite: error") && string(now) == "a file\n" && !strings.Contains(without, "a file"),
		"read and not written when asked for, else absent")
	return p.pipe(ctx)
}

// network: a port that is reached from a network that was given, and a network that
// two containers share.
func (p *pair) network(ctx context.Context) error {
	say("A port, through the network that the bundle names; the other container has none.")
	heard, err := reach(p.net.beyond, inside+":"+port)
	fmt.Printf("$ connect to %s:%s from the other end of its network\n", inside, port)
	show(fmt.Sprint(heard, err))
	without, failed := p.plain.exec(ctx, `C:\probe.exe`, "connect", port, inside)
	if failed != nil {
		return failed
	}
	p.prove(p.kind, "port", err == nil && heard == "hello" && !strings.Contains(without, "hello"), "reached at %s:%s when asked for, else no network", inside, port)

	say("The network namespace of another container, by its path%s.", map[int]string{silo: "", vm: " and its pod"}[p.kind])
	pid, err := p.plain.pid(ctx)
	if err != nil {
		return err
	}
	const second = "47081"
	if _, err := p.plain.keep(ctx, `C:\probe.exe`, "listen", second); err != nil {
		return err
	}
	joins, err := p.newBox(p.kind, "joining", func(s *specs.Spec) {
		s.Process.CommandLine = `C:\probe.exe connect ` + second
		s.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: fmt.Sprintf("/proc/%d/ns/net", pid)}
		if p.kind == vm {
			s.Annotations = map[string]string{containerType: "container", sandboxID: p.plain.id}
		}
	})
	if err != nil {
		return err
	}
	fmt.Printf("$ wrun run --bundle %s %s\n", filepath.Base(joins.dir), joins.id)
	heard, code, err := p.output(ctx, "run", "--bundle", joins.dir, joins.id)
	if err != nil {
		return err
	}
	show(heard)
	without, err = p.asking.exec(ctx, `C:\probe.exe`, "connect", second)
	if err != nil {
		return err
	}
	p.prove(p.kind, "network namespace of another", code == 0 && heard == "hello\n" && !strings.Contains(without, "hello"),
		"its loopback is shared when asked for, else not")
	return nil
}

func (b *box) write() error {
	data, err := json.MarshalIndent(b.spec, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "config.json"), data, 0o644)
}
