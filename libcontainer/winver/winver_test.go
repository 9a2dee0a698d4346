package winver

import (
	"errors"
	"strings"
	"testing"
)

func server(build uint16, revision uint32) Host {
	return Host{10, 0, build, revision, true}
}

func client(build uint16) Host { return Host{10, 0, build, 1, false} }

// TestMatrix is Microsoft's table, cell by cell: rows are hosts, columns images
// of Server 2016, 2019, 2022, 2025; p is process isolation, h Hyper-V, - neither.
func TestMatrix(t *testing.T) {
	images := []uint16{Server2016, Server2019, Server2022, Server2025}
	for _, row := range []struct {
		name  string
		host  Host
		cells []string
	}{
		{"Server 2016", server(Server2016, 1), []string{"ph", "-", "-", "-"}},
		{"Server 2019", server(Server2019, 1), []string{"h", "ph", "-", "-"}},
		{"Server 2022", server(Server2022, 1), []string{"h", "h", "ph", "-"}},
		{"Server 2025", server(Server2025, 1), []string{"h", "h", "ph", "ph"}},
		{"Windows 10 1607", client(Server2016), []string{"h", "-", "-", "-"}},
		{"Windows 10 1809", client(Server2019), []string{"h", "ph", "-", "-"}},
		{"Windows 10 1903", client(Build18362), []string{"h", "h", "-", "-"}},
		{"Windows 10 2004", client(Build19041), []string{"h", "h", "-", "-"}},
		{"Windows 10 22H2", client(19045), []string{"h", "h", "-", "-"}},
		{"Windows 11 21H2", client(Win11), []string{"h", "h", "ph", "-"}},
		{"Windows 11 22H2", client(Win11_22H2), []string{"h", "h", "ph", "-"}},
		{"Windows 11 24H2", client(Server2025), []string{"h", "h", "ph", "ph"}},
		{"Windows 11 25H2", client(26200), []string{"h", "h", "ph", "ph"}},
		{"Server 23H2", server(Server23H2, 1), []string{"h", "h", "ph", "-"}},
	} {
		for i, want := range row.cells {
			image := Version{10, 0, images[i], 1}
			got := ""
			if Check(row.host, image, false) == nil {
				got = "p"
			}
			if Check(row.host, image, true) == nil {
				got += "h"
			}
			if got == "" {
				got = "-"
			}
			if got != want {
				t.Errorf("image %d on %s: %s, want %s", images[i], row.name, got, want)
			}
		}
	}
}

// TestRevisions: they count on Server 2016, in process isolation, where both
// are known.
func TestRevisions(t *testing.T) {
	for _, c := range []struct {
		host   Host
		image  Version
		hyperv bool
		ok     bool
	}{
		{server(Server2016, 100), Version{10, 0, Server2016, 100}, false, true},
		{server(Server2016, 100), Version{10, 0, Server2016, 99}, false, false},
		{server(Server2016, 100), Version{10, 0, Server2016, 101}, false, false},
		{server(Server2016, 100), Version{10, 0, Server2016, 99}, true, true},
		{server(Server2016, 100), Version{10, 0, Server2016, 0}, false, true},
		{server(Server2016, 0), Version{10, 0, Server2016, 99}, false, true},
		{server(Server2019, 100), Version{10, 0, Server2019, 99}, false, true},
		{server(Server2019, 100), Version{10, 0, Server2019, 101}, true, true},
		{server(Server2022, 100), Version{10, 0, Server2022, 2000}, false, true},
	} {
		if err := Check(c.host, c.image, c.hyperv); (err == nil) != c.ok {
			t.Errorf("Check(%v, %v, %t) = %v", c.host, c.image, c.hyperv, err)
		}
	}
}

func TestUnknownImage(t *testing.T) {
	for _, h := range []Host{server(Server2016, 1), server(Server2025, 1), client(Win11)} {
		for _, hyperv := range []bool{false, true} {
			if err := Check(h, Version{}, hyperv); err != nil {
				t.Errorf("unknown image on %v: %v", h, err)
			}
		}
	}
	if Check(client(17134), Version{}, false) == nil {
		t.Error("process isolation on Windows 10 1803 passes")
	}
}

// TestMajor: the major and minor numbers come before the build.
func TestMajor(t *testing.T) {
	if Check(server(Server2025, 1), Version{11, 0, 1, 1}, true) == nil {
		t.Error("an image of Windows 11.0 passes on 10.0")
	}
	if err := Check(server(Server2022, 1), Version{6, 3, 30000, 1}, true); err != nil {
		t.Error(err)
	}
	if Check(server(Server2022, 1), Version{6, 3, 30000, 1}, false) == nil {
		t.Error("an image of Windows 6.3 passes as a silo on 10.0")
	}
}

// TestMessages: both versions, the rule, and a cure that fits.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		host       Host
		image      Version
		hyperv     bool
		text, hint string
	}{
		{
			server(Server2019, 55), Version{10, 0, Server2016, 7}, false,
			"an image of Windows 10.0.14393.7 (Windows Server 2016) cannot run in process isolation on a host of Windows 10.0.17763.55 (Windows Server 2019): before build 20348, image and host have to be of the same build",
			"add a windows.hyperv section to run it under Hyper-V isolation, or use an image of build 17763",
		},
		{
			server(Server2025, 1), Version{10, 0, Server2019, 1}, false,
			"images older than build 20348 share no kernel with a later host",
			"Windows Server 2022 (build 20348) or later",
		},
		{
			client(19045), Version{10, 0, Server2022, 1}, true,
			"in Hyper-V isolation on a host of Windows 10.0.19045.1 (Windows 10): the image is newer than the host",
			"update Windows",
		},
		{
			client(17134), Version{10, 0, 17134, 1}, false,
			"an image of Windows 10.0.17134.1 cannot run in process isolation on a host of Windows 10.0.17134.1 (Windows 10): Windows 10 has process isolation from build 17763",
			"under Hyper-V",
		},
		{
			server(Server2016, 100), Version{10, 0, Server2016, 99}, false,
			"10.0.14393.99 (Windows Server 2016) cannot run in process isolation on a host of Windows 10.0.14393.100",
			"revision 100",
		},
	} {
		err := Check(c.host, c.image, c.hyperv)
		var m *Mismatch
		if !errors.As(err, &m) {
			t.Errorf("%v on %v passes", c.image, c.host)
			continue
		}
		if !strings.Contains(err.Error(), c.text) {
			t.Errorf("error %q lacks %q", err, c.text)
		}
		if !strings.Contains(m.Hint(), c.hint) {
			t.Errorf("hint %q lacks %q", m.Hint(), c.hint)
		}
		if c.hyperv && strings.Contains(m.Hint(), "Hyper-V") {
			t.Errorf("hint %q proposes what was asked for", m.Hint())
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		host      Host
		isolation string
		allowed   bool
	}{
		{server(Server2016, 1), "process", true},
		{server(Server2025, 1), "process", true},
		{client(Server2016), "hyperv", false},
		{client(17134), "hyperv", false},
		{client(Server2019), "hyperv", true},
		{client(Win11), "hyperv", true},
	} {
		if got := DefaultIsolation(c.host); got != c.isolation {
			t.Errorf("default isolation of %v is %s, want %s", c.host, got, c.isolation)
		}
		if got := ProcessAllowed(c.host); got != c.allowed {
			t.Errorf("process isolation on %v is allowed: %t, want %t", c.host, got, c.allowed)
		}
	}
}

func TestNames(t *testing.T) {
	for want, got := range map[string]string{
		"unknown":                            Version{}.String(),
		"10.0.19041.1":                       Version{10, 0, 19041, 1}.String(),
		"10.0.20348.1 (Windows Server 2022)": Version{10, 0, Server2022, 1}.String(),
		"10.0.25398.1 (Windows Server 23H2)": Version{10, 0, Server23H2, 1}.String(),
		"10.0.26100.1 (Windows Server 2025)": Version{10, 0, Server2025, 1}.String(),
		"10.0.26100.1 (Windows 11)":          client(Server2025).String(),
		"10.0.18362.2 (Windows Server)":      server(Build18362, 2).String(),
		"6.3.9600.1 (a Windows client)":      Host{6, 3, 9600, 1, false}.String(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
