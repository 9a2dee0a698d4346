package hcsemu

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Microsoft/hcsshim"
	"github.com/Microsoft/hcsshim/hcn"
	"github.com/Microsoft/hcsshim/osversion"
)

// The public packages of hcsshim are clients of vmcompute.dll and
// computenetwork.dll that we did not write.

func TestLayers(t *testing.T) {
	dir := t.TempDir()
	base, scratch := filepath.Join(dir, "base"), filepath.Join(dir, "scratch")
	if err := os.Mkdir(base, 0o755); err != nil {
		t.Fatal(err)
	}
	var driver hcsshim.DriverInfo
	if err := hcsshim.ActivateLayer(driver, scratch); err == nil {
		t.Error("a missing layer was activated")
	}
	if err := hcsshim.CreateScratchLayer(driver, scratch, base, []string{base}); err != nil {
		t.Fatal(err)
	}
	// hcsshim then grows the volume itself through virtdisk.dll, which Wine does
	// not have: the call comes, and fails.
	if err := hcsshim.ExpandScratchSize(driver, scratch, 1<<30); err == nil || !strings.Contains(err.Error(), "OpenVirtualDisk") {
		t.Errorf("expand: %v", err)
	}
	if err := hcsshim.PrepareLayer(driver, scratch, []string{base}); err == nil {
		t.Error("a layer was prepared that is not active")
	}
	if err := hcsshim.ActivateLayer(driver, scratch); err != nil {
		t.Fatal(err)
	}
	if err := hcsshim.ActivateLayer(driver, scratch); err == nil {
		t.Error("a layer was activated twice")
	}
	if _, err := hcsshim.GetLayerMountPath(driver, scratch); err == nil {
		t.Error("a layer has a mount path before it is prepared")
	}
	if err := hcsshim.PrepareLayer(driver, scratch, []string{base}); err != nil {
		t.Fatal(err)
	}
	path, err := hcsshim.GetLayerMountPath(driver, scratch)
	if err != nil || !strings.HasPrefix(path, `\\?\Volume{`) {
		t.Errorf("mount path %q, %v", path, err)
	}
	if again, err := hcsshim.GetLayerMountPath(driver, scratch); err != nil || again != path {
		t.Errorf("mount path %q, then %q, %v", path, again, err)
	}
	if err := hcsshim.DeactivateLayer(driver, scratch); err == nil {
		t.Error("a prepared layer was deactivated")
	}
	if left := ctl(t, "leftovers"); !strings.Contains(left, `"Prepared":true`) {
		t.Errorf("the layer is not in %s", left)
	}
	if err := hcsshim.UnprepareLayer(driver, scratch); err != nil {
		t.Error(err)
	}
	if err := hcsshim.DeactivateLayer(driver, scratch); err != nil {
		t.Error(err)
	}
	a, err := hcsshim.NameToGuid("base")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hcsshim.NameToGuid("other")
	if err != nil || a.ToString() == b.ToString() {
		t.Errorf("guids %v and %v, %v", a.ToString(), b.ToString(), err)
	}
	if err := hcsshim.DestroyLayer(driver, scratch); err != nil {
		t.Error(err)
	}
}

func TestVersionOfWindows(t *testing.T) {
	if v := osversion.Build(); v != 20348 {
		t.Errorf("build %d", v)
	}
}

// v1Config is what Docker makes of a container.
func v1Config(t *testing.T, hyperv bool) *hcsshim.ContainerConfig {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"base/UtilityVM", "scratch"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "scratch", "sandbox.vhdx"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "base")
	c := &hcsshim.ContainerConfig{
		SystemType: "Container", Name: "v1", Owner: "docker", LayerFolderPath: filepath.Join(dir, "scratch"), HostName: "h",
		Layers: []hcsshim.Layer{{ID: "11111111-2222-3333-4444-555555555555", Path: base}}, HvPartition: hyperv,
	}
	if hyperv {
		c.HvRuntime = &hcsshim.HvRuntime{ImagePath: filepath.Join(base, "UtilityVM")}
	} else {
		c.VolumePath = `\\?\Volume{aaaaaaaa-2222-3333-4444-555555555555}`
	}
	return c
}

func TestV1(t *testing.T) {
	for _, hyperv := range []bool{false, true} {
		t.Run(fmt.Sprintf("hyperv=%v", hyperv), func(t *testing.T) {
			id := fmt.Sprintf("v1-%v", hyperv)
			c, err := hcsshim.CreateContainer(id, v1Config(t, hyperv))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			defer c.Terminate()
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err == nil {
				t.Error("a second start succeeded")
			}
			if list, err := hcsshim.GetContainers(hcsshim.ComputeSystemQuery{IDs: []string{id}}); err != nil || len(list) != 1 || list[0].State != "Running" {
				t.Errorf("containers %+v, %v", list, err)
			}
			p, err := c.CreateProcess(&hcsshim.ProcessConfig{CommandLine: `sh -c "read x; echo got $x; exit 300"`, CreateStdInPipe: true, CreateStdOutPipe: true})
			if err != nil {
				t.Fatal(err)
			}
			in, out, _, err := p.Stdio()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write([]byte("it\n")); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(out); err != nil || string(b) != "got it\n" {
				t.Errorf("output %q, %v", b, err)
			}
			if err := p.WaitTimeout(20 * time.Second); err != nil {
				t.Fatal(err)
			}
			if code, err := p.ExitCode(); err != nil || code != 300 {
				t.Errorf("code %d, %v", code, err)
			}
			p.Close()
			if _, err := c.CreateProcess(&hcsshim.ProcessConfig{CommandLine: "nosuch"}); err == nil {
				t.Error("a missing program runs")
			}
			sleeper, err := c.CreateProcess(&hcsshim.ProcessConfig{CommandLine: "sleep 1000"})
			if err != nil {
				t.Fatal(err)
			}
			if list, err := c.ProcessList(); err != nil || len(list) != 1 || int(list[0].ProcessId) != sleeper.Pid() {
				t.Errorf("processes %+v, %v", list, err)
			}
			if err := c.Pause(); (err == nil) != hyperv {
				t.Errorf("pause: %v", err)
			}
			if hyperv {
				if err := c.Resume(); err != nil {
					t.Error(err)
				}
			}
			if _, err := hcsshim.OpenContainer("none"); !hcsshim.IsNotExist(err) {
				t.Errorf("open of none: %v", err)
			}
			if err := c.Shutdown(); !hcsshim.IsPending(err) {
				t.Errorf("shutdown: %v", err)
			}
			if err := c.WaitTimeout(20 * time.Second); err != nil {
				t.Errorf("wait: %v", err)
			}
			if err := sleeper.WaitTimeout(20 * time.Second); err != nil {
				t.Errorf("wait for the process: %v", err)
			}
			sleeper.Close()
		})
	}
}

func TestNetwork(t *testing.T) {
	if err := hcn.V2ApiSupported(); err != nil {
		t.Fatal(err)
	}
	n, err := hcn.GetNetworkByName("nat")
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := n.CreateEndpoint(&hcn.HostComputeEndpoint{Name: "e1", SchemaVersion: hcn.V2SchemaVersion()})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []hcn.NamespaceType{hcn.NamespaceTypeHost, hcn.NamespaceTypeGuest, ""} {
		ns, err := hcn.NewNamespace(kind).Create()
		if err != nil {
			t.Fatal(err)
		}
		if err := hcn.AddNamespaceEndpoint(ns.Id, endpoint.Id); err != nil {
			t.Fatal(err)
		}
		if kind == "" {
			kind = hcn.NamespaceTypeHostDefault
		}
		got, err := hcn.GetNamespaceByID(ns.Id)
		if err != nil || got.Type != kind {
			t.Errorf("namespace %+v, %v", got, err)
		}
		if ids, err := hcn.GetNamespaceEndpointIds(ns.Id); err != nil || len(ids) != 1 || !strings.EqualFold(ids[0], endpoint.Id) {
			t.Errorf("endpoints %v, %v", ids, err)
		}
		if e, err := hcn.GetEndpointByID(endpoint.Id); err != nil || !strings.EqualFold(e.HostComputeNamespace, ns.Id) {
			t.Errorf("endpoint %+v, %v", e, err)
		}
		if err := hcn.RemoveNamespaceEndpoint(ns.Id, endpoint.Id); err != nil {
			t.Error(err)
		}
		if err := ns.Delete(); err != nil {
			t.Error(err)
		}
		if _, err := hcn.GetNamespaceByID(ns.Id); !hcn.IsNotFoundError(err) {
			t.Errorf("a namespace that is gone: %v", err)
		}
	}
	if list, err := hcn.ListEndpoints(); err != nil || len(list) != 1 {
		t.Errorf("endpoints %v, %v", list, err)
	}
	if err := endpoint.Delete(); err != nil {
		t.Error(err)
	}
	if _, err := hcn.GetEndpointByID(endpoint.Id); !hcn.IsNotFoundError(err) {
		t.Errorf("an endpoint that is gone: %v", err)
	}
}
