package cgroup

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const hybridMounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 23 0:32 /box /srv/box/memory rw - cgroup cgroup rw,memory
`

const hybridSelf = "9:name=systemd:/\n4:memory:/user/me\n5:devices:/\n3:cpuset:/\n1:cpu,cpuacct:/\n0::/\n"

// hybridTracked is hybridSelf on a machine whose systemd knows processes by v2.
var hybridTracked = strings.Replace(hybridSelf, "0::/", "0::/s.scope", 1)

func layout(t *testing.T, mounts, self string) *Layout {
	t.Helper()
	l, err := ParseLayout([]byte(mounts), []byte(self))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParseLayout(t *testing.T) {
	for _, c := range []struct {
		name, mounts, self string
		want               []hierarchy
	}{
		{"hybrid", hybridMounts, hybridSelf, []hierarchy{
			{"name=systemd", "/sys/fs/cgroup/systemd", "/"},
			{"memory", "/sys/fs/cgroup/memory", "/user/me"},
			{"devices", "/sys/fs/cgroup/devices", "/"},
			{"cpuset", "/sys/fs/cgroup/cpuset", "/"},
			{"cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/"},
			{"", "/sys/fs/cgroup/unified", "/"},
		}},
		{
			"pure v2", "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/a.slice/b.scope\n",
			[]hierarchy{{"", "/sys/fs/cgroup", "/a.slice/b.scope"}},
		},
		{"inside a container without cgroup namespace", "1 0 0:1 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/docker/1/sub\n", []hierarchy{{"memory", "/sys/fs/cgroup/memory", "/sub"}}},
		{"moved out of the mount's root", "1 0 0:1 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/docker/12\n", []hierarchy{{"memory", "/sys/fs/cgroup/memory", "/"}}},
		{
			"a later mount hides the earlier ones",
			hybridMounts + "60 23 0:50 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n61 60 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			hybridSelf, []hierarchy{{"memory", "/sys/fs/cgroup/memory", "/user/me"}},
		},
		{"octal escapes", `1 0 0:1 / /a\040b rw - cgroup2 cgroup2 rw`, "0::/\n", []hierarchy{{"", "/a b", "/"}}},
	} {
		if got := layout(t, c.mounts, c.self); !reflect.DeepEqual(got.hierarchies, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got.hierarchies, c.want)
		}
	}
	if _, err := ParseLayout([]byte("1 0 0:1 / / rw - ext4 /dev/x rw\n"), []byte("0::/\n")); err == nil {
		t.Error("a machine without cgroups: no error")
	}
}

func TestUsualLayout(t *testing.T) {
	have := func(dirs ...string) func(string, bool) bool {
		return func(dir string, v2 bool) bool {
			for _, d := range dirs {
				if d == dir {
					return !v2 || !strings.HasSuffix(dir, "memory")
				}
			}
			return false
		}
	}
	const self = "2:name=systemd:/a\n1:memory:/\n0::/b\n"
	for _, c := range []struct {
		name string
		have func(string, bool) bool
		want []hierarchy
	}{
		{"hybrid", have("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"), []hierarchy{
			{"name=systemd", "/sys/fs/cgroup/systemd", "/a"}, {"memory", "/sys/fs/cgroup/memory", "/"}, {"", "/sys/fs/cgroup/unified", "/b"},
		}},
		{"v1", have("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/memory"), []hierarchy{
			{"name=systemd", "/sys/fs/cgroup/systemd", "/a"}, {"memory", "/sys/fs/cgroup/memory", "/"},
		}},
		{"a v1 hierarchy elsewhere", have("/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"), nil},
		{"none", have(), nil},
	} {
		var got []hierarchy
		if l := usualLayout(self, c.have); l != nil {
			got = l.hierarchies
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	l := usualLayout("0::/x\n", have("/sys/fs/cgroup"))
	if l == nil || !l.Pure() || l.hierarchies[0] != (hierarchy{"", "/sys/fs/cgroup", "/x"}) {
		t.Errorf("v2: %+v", l)
	}
}

func TestGroupPath(t *testing.T) {
	hybrid := layout(t, hybridMounts, hybridSelf)
	v2 := layout(t, "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/me.scope\n")
	for _, c := range []struct {
		l          *Layout
		path, want string // want: the memory directory, or v2's
	}{
		{hybrid, "", "/sys/fs/cgroup/memory/user/me/box"},
		{hybrid, "/a/b", "/sys/fs/cgroup/memory/a/b"},
		{hybrid, "/../../a", "/sys/fs/cgroup/memory/a"},
		{hybrid, "a/b", "/sys/fs/cgroup/memory/user/me/a/b"},
		{hybrid, "../../../a", "/sys/fs/cgroup/memory/user/me/a"},
		{hybrid, "k8s-pod.slice:crio:1", "/sys/fs/cgroup/memory/k8s.slice/k8s-pod.slice/crio-1.scope"},
		{hybrid, ":docker:1", "/sys/fs/cgroup/memory/system.slice/docker-1.scope"},
		{hybrid, "-.slice:docker:1", "/sys/fs/cgroup/memory/docker-1.scope"},
		{v2, "", "/sys/fs/cgroup/user.slice/box"},
		{v2, "/a", "/sys/fs/cgroup/a"},
		{v2, "a", "/sys/fs/cgroup/user.slice/a"},
	} {
		g, err := c.l.Group(c.path, "box", nil, false)
		if err != nil {
			t.Errorf("%q: %v", c.path, err)
			continue
		}
		d, ok := g.find("memory")
		if !ok {
			d, _ = g.find("")
		}
		if got := g.dir(d); got != c.want {
			t.Errorf("%q: %s, want %s", c.path, got, c.want)
		}
	}
	for _, bad := range []string{"/", "/..", ".", "a.slice:b:", "noslice:a:b", "a--b.slice:c:d", "-a.slice:b:c", "a.slice:b/c:d"} {
		if g, err := hybrid.Group(bad, "box", nil, false); err == nil {
			t.Errorf("%q: no error, %+v", bad, g)
		}
	}
}

// controllers lists what a group takes part in.
func controllers(g *Group) string {
	var l []string
	for i := range g.Dirs {
		l = append(l, g.Dirs[i].Controllers)
	}
	return strings.Join(l, " ")
}

func TestGroupJoinsWhatIsNeeded(t *testing.T) {
	l := layout(t, hybridMounts, hybridSelf)
	tracked := layout(t, hybridMounts, "9:name=systemd:/s.scope\n4:memory:/\n0::/s.scope\n")
	for _, c := range []struct {
		name string
		l    *Layout
		r    *specs.LinuxResources
		all  bool
		want string
	}{
		{"least", l, nil, false, "memory devices cpu,cpuacct"},
		{"all", l, nil, true, "name=systemd memory devices cpuset cpu,cpuacct"},
		{"cpuset", l, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, false, "memory devices cpuset cpu,cpuacct"},
		{"only v2 has hugetlb", l, &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{}}}, false, "memory devices cpu,cpuacct "},
		{"unified", l, &specs.LinuxResources{Unified: map[string]string{"a.b": "1"}}, false, "memory devices cpu,cpuacct "},
		{"systemd tracks wrun", tracked, nil, false, "name=systemd memory "},
	} {
		g, err := c.l.Group("/x", "x", c.r, c.all)
		if err != nil {
			t.Fatal(err)
		}
		if got := controllers(g); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestGroupJSON(t *testing.T) {
	g, err := layout(t, hybridMounts, hybridSelf).Group("a", "x", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	g.Dirs[1].Made = 1
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"path":"/a","dirs":[{"for":"memory","at":"/sys/fs/cgroup/memory","path":"/user/me/a"},` +
		`{"for":"devices","at":"/sys/fs/cgroup/devices","made":1},{"for":"cpu,cpuacct","at":"/sys/fs/cgroup/cpu,cpuacct"}]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	var back Group
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(&back, g) {
		t.Errorf("read back: %v %+v", err, back)
	}
}

func TestSub(t *testing.T) {
	g, err := layout(t, hybridMounts, hybridTracked).Group("/x", "x", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := g.Sub(map[string]string{"cpuacct": "/one", "": "rest"})
	if err != nil {
		t.Fatal(err)
	}
	for c, want := range map[string]string{"cpu": "/x/one", "memory": "/x/rest", "": "/x/rest"} {
		d, ok := s.find(c)
		if !ok || s.inside(d) != want {
			t.Errorf("%q: %+v, want %s", c, d, want)
		}
	}
	if _, err := g.Sub(map[string]string{"": "a/../../b"}); err == nil {
		t.Error("a path that leads out is no error")
	}
	if _, err := g.Sub(map[string]string{"nosuch": "a"}); err == nil {
		t.Error("an unknown controller: no error")
	}
}

func TestMounts(t *testing.T) {
	g, err := layout(t, hybridMounts, hybridTracked).Group("/x", "x", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{"systemd", nil, "/sys/fs/cgroup/systemd/x", "cgroup", "none,name=systemd"},
		{"memory", nil, "/sys/fs/cgroup/memory/x", "cgroup", "memory"},
		{"devices", nil, "/sys/fs/cgroup/devices/x", "cgroup", "devices"},
		{"cpuset", nil, "/sys/fs/cgroup/cpuset/x", "cgroup", "cpuset"},
		{"cpu,cpuacct", []string{"cpu", "cpuacct"}, "/sys/fs/cgroup/cpu,cpuacct/x", "cgroup", "cpu,cpuacct"},
		{"unified", nil, "/sys/fs/cgroup/unified/x", "cgroup2", ""},
	}
	if got := g.Mounts(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	v2 := layout(t, "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/\n")
	g, err = v2.Group("/x", "x", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Mounts(); !reflect.DeepEqual(got, []Mount{{"", nil, "/sys/fs/cgroup/x", "cgroup2", ""}}) {
		t.Errorf("v2: %+v", got)
	}
}

func FuzzParseLayout(f *testing.F) {
	f.Add(hybridMounts, hybridSelf, "a:b:c")
	f.Add("", "0::/", "/../x")
	f.Add(`1 0 0:1 / /a\777b\04 rw - cgroup2`, "::\n", "")
	f.Fuzz(func(t *testing.T, mounts, self, path string) {
		l, err := ParseLayout([]byte(mounts), []byte(self))
		if err != nil {
			return
		}
		g, err := l.Group(path, "id", nil, true)
		if err != nil {
			return
		}
		for i := range g.Dirs {
			dir := g.dir(&g.Dirs[i])
			if dir == g.Dirs[i].Mount || !strings.HasPrefix(dir, g.Dirs[i].Mount+"/") || strings.Contains(dir[len(g.Dirs[i].Mount):]+"/", "/../") {
				t.Errorf("%q leaves the hierarchy: %q", path, dir)
			}
		}
	})
}
