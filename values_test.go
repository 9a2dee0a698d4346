package main

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "-1": -1, "1": 1, "512m": 512 << 20, "512M": 512 << 20, "1g": 1 << 30, "1GiB": 1 << 30, "1gb": 1 << 30,
		"2k": 2048, "1.5g": 3 << 29, "100b": 100, "3 mb": 3 << 20, "1t": 1 << 40, "9223372036854771712": 9223372036854771712,
	} {
		if n, err := parseSize(s); err != nil || n != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "lots", "m", "-2", "-1m", "1x", "1mm", "1ibm", "nan", "inf", "9e30", "16p p", "99999999p"} {
		if n, err := parseSize(s); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", s, n)
		}
	}
}

// TestUpdateOptions: each option sets the field that it names and no other.
func TestUpdateOptions(t *testing.T) {
	for option, want := range map[string]string{
		"blkio-weight 500":       `{"blockIO":{"weight":500}}`,
		"cpu-period 100000":      `{"cpu":{"period":100000}}`,
		"cpu-quota -1":           `{"cpu":{"quota":-1}}`,
		"cpu-burst 10":           `{"cpu":{"burst":10}}`,
		"cpu-share 512":          `{"cpu":{"shares":512}}`,
		"cpu-rt-period 1":        `{"cpu":{"realtimePeriod":1}}`,
		"cpu-rt-runtime 2":       `{"cpu":{"realtimeRuntime":2}}`,
		"cpu-idle 1":             `{"cpu":{"idle":1}}`,
		"cpuset-cpus 0-1":        `{"cpu":{"cpus":"0-1"}}`,
		"cpuset-mems 0":          `{"cpu":{"mems":"0"}}`,
		"memory 1m":              `{"memory":{"limit":1048576}}`,
		"memory-reservation 1k":  `{"memory":{"reservation":1024}}`,
		"memory-swap -1":         `{"memory":{"swap":-1}}`,
		"pids-limit 20":          `{"pids":{"limit":20}}`,
		"kernel-memory 1":        `{}`,
		"kernel-memory-tcp 1":    `{}`,
		"l3-cache-schema L3:0=1": "error", "mem-bw-schema MB:0=1": "error",
		"cpu-share x": "error", "cpu-idle x": "error", "pids-limit x": "error", "blkio-weight 70000": "error", "memory x": "error",
	} {
		name, value, _ := cutSpace(option)
		var set func(*specs.LinuxResources, string) error
		for _, l := range limits() {
			if l.option == name {
				set = l.linux
			}
		}
		if set == nil {
			t.Errorf("no option --%s", name)
			continue
		}
		r := &specs.LinuxResources{}
		got := "error"
		if err := set(r, value); err == nil {
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			got = string(data)
		}
		if got != want {
			t.Errorf("--%s: %s, want %s", option, got, want)
		}
	}
}

func cutSpace(s string) (string, string, bool) {
	i := slices.Index([]byte(s), ' ')
	return s[:i], s[i+1:], true
}

func TestFilterByPid(t *testing.T) {
	const table = "UID   PID  PPID CMD\nroot    1     0 init\nroot   12     1 sh -c 99\nroot   99     1 x\n"
	got, err := filterByPid(table, []int{12, 99})
	if want := "UID   PID  PPID CMD\nroot   12     1 sh -c 99\nroot   99     1 x\n"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if got, err = filterByPid(table, nil); err != nil || got != "UID   PID  PPID CMD\n" {
		t.Errorf("a stopped container: %q, %v; want the header alone", got, err)
	}
	if _, err = filterByPid("USER CMD\nroot init\n", []int{1}); err == nil {
		t.Error("a table without pids is no error")
	}
}

func TestParseUser(t *testing.T) {
	for s, want := range map[string]specs.User{
		"":       {UID: 7, GID: 8},
		"0":      {UID: 0, GID: 8},
		"1000":   {UID: 1000, GID: 8},
		"1:2":    {UID: 1, GID: 2},
		"1000:0": {UID: 1000, GID: 0},
	} {
		u := specs.User{UID: 7, GID: 8}
		edit, err := parseUser(s)
		if err != nil {
			t.Errorf("--user %s: %v", s, err)
		} else if edit != nil {
			edit(&u)
		}
		if !reflect.DeepEqual(u, want) {
			t.Errorf("--user %s: %+v, want %+v", s, u, want)
		}
	}
	for _, s := range []string{"root", "1:", ":1", "-1", "4294967296", "1:2:3"} {
		if _, err := parseUser(s); err == nil {
			t.Errorf("--user %s is no error", s)
		}
	}
}

func TestWithEnv(t *testing.T) {
	for _, tt := range []struct {
		os              string
		env, more, want []string
	}{
		{"linux", []string{"A=1", "AB=2", "C=3"}, []string{"A=new", "D=4"}, []string{"AB=2", "C=3", "A=new", "D=4"}},
		{"linux", []string{"Path=1"}, []string{"PATH=2"}, []string{"Path=1", "PATH=2"}},
		{"windows", []string{"Path=1", "PATHEXT=.EXE"}, []string{"PATH=2"}, []string{"PATHEXT=.EXE", "PATH=2"}},
		{"windows", []string{"=C:=C:\\a", "=D:=D:\\"}, []string{"=c:=C:\\b"}, []string{"=D:=D:\\", "=c:=C:\\b"}},
		{"windows", []string{"A=1"}, []string{"a=", ""}, []string{"a=", ""}},
	} {
		if got := withEnv(tt.os, tt.env, tt.more); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.os, got, tt.want)
		}
	}
}

func TestAddCapabilities(t *testing.T) {
	p := &specs.Process{}
	addCapabilities(p, []string{"net_admin"})
	want := []string{"CAP_NET_ADMIN"}
	if c := p.Capabilities; !slices.Equal(c.Bounding, want) || !slices.Equal(c.Effective, want) || !slices.Equal(c.Permitted, want) || c.Ambient != nil {
		t.Errorf("%+v", c)
	}
	p.Capabilities.Inheritable = []string{"CAP_KILL"}
	addCapabilities(p, []string{"CAP_BPF"})
	if c := p.Capabilities; !slices.Equal(c.Ambient, []string{"CAP_BPF"}) {
		t.Errorf("with inheritable capabilities, ambient is %v", c.Ambient)
	}
}

func TestParseCgroups(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want map[string]string
	}{
		{nil, nil},
		{[]string{"/a"}, map[string]string{"": "/a"}},
		{[]string{"cpu,memory:/a", "pids:/b"}, map[string]string{"cpu": "/a", "memory": "/a", "pids": "/b"}},
	} {
		if got, err := parseCgroups(tt.args); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %v, %v; want %v", tt.args, got, err, tt.want)
		}
	}
	for _, args := range [][]string{{"/a", "/b"}, {":/a"}, {"cpu:/a", "cpu:/b"}, {"cpu:/a:b"}, {"cpu,:/a"}} {
		if got, err := parseCgroups(args); err == nil {
			t.Errorf("%v: %v, want an error", args, got)
		}
	}
}
