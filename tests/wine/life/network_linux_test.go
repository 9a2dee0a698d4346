package life

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// TestEndpoints: endpoints reach a container of schema v2 through a namespace,
// which wrun makes and removes; the endpoints are somebody else's and stay.
func TestEndpoints(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V2}, func(t *rig.Test, kind rig.Kind) {
		endpoint := t.Endpoint()
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{endpoint}, AllowUnqualifiedDNSQuery: true, DNSSearchList: []string{"a.example", "b.example"}}
		b.Create()
		made := t.Left().Namespaces
		if len(made) != 1 {
			t.Fatalf("namespaces: %v", made)
		}
		document := t.SystemDocument()
		container := "Container"
		if kind == rig.V2 {
			container = "HostedSystem.Container"
		}
		net, ok := t.Field(document, container+".Networking").(map[string]any)
		if !ok || !strings.EqualFold(net["Namespace"].(string), made[0]) || net["AllowUnqualifiedDnsQuery"] != true || net["DnsSearchList"] != "a.example,b.example" {
			t.Errorf("networking in the document: %v; the namespace is %s", net, made[0])
		}
		t.OK("start", t.ID)
		t.OK("delete", "--force", t.ID)
		left := t.Left()
		if len(left.Namespaces) != 0 || !slices.Contains(left.Endpoints, endpoint) {
			t.Errorf("after delete: namespaces %v, endpoints %v", left.Namespaces, left.Endpoints)
		}
	})
}

// TestEndpointsV1: schema v1 names endpoints itself and needs no namespace.
func TestEndpointsV1(t *testing.T) {
	x := site.New(t)
	endpoint := x.Endpoint()
	b := x.Bundle(rig.V1, "sleep", "1000")
	b.Spec.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{endpoint}}
	b.Create()
	x.Equal("endpoints", x.Text(x.Field(x.SystemDocument(), "EndpointList")), `["`+endpoint+`"]`)
	if made := x.Left().Namespaces; len(made) != 0 {
		x.Errorf("namespaces: %v", made)
	}
}

// TestNamespaceBrought: a namespace that the engine made is used and stays.
func TestNamespaceBrought(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V2}, func(t *rig.Test, kind rig.Kind) {
		namespace, endpoint := t.Namespace()
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: namespace}
		calls := t.Since(func() {
			b.Started()
			t.OK("delete", "--force", t.ID)
		})
		changed := calls.Named("HcnCreateNamespace", "HcnDeleteNamespace", "HcnCreateEndpoint", "HcnDeleteEndpoint", "HcnModifyNamespace")
		if len(changed) != 0 {
			t.Errorf("wrun changed the engine's network: %s", changed)
		}
		if !strings.Contains(strings.ToLower(t.SystemDocument()), strings.ToLower(namespace)) {
			t.Errorf("the namespace %s is not in the document %s", namespace, t.SystemDocument())
		}
		left := t.Left()
		if !slices.Contains(left.Namespaces, namespace) || !slices.Contains(left.Endpoints, endpoint) {
			t.Errorf("after delete: namespaces %v, endpoints %v", left.Namespaces, left.Endpoints)
		}
	})
}

// TestEndpointMissing: a network that cannot be made leaves no container.
func TestEndpointMissing(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V2}, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "true")
		b.Spec.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{"6f3c1b0e-0000-4000-8000-000000000000"}}
		t.Refused([]string{"endpointList", "6f3c1b0e"}, b.Args("create")...)
		t.Is(t.ID, "")
		t.Nothing()
	})
}

// TestEndpointGone: an endpoint that went before its container is no reason to
// keep the container.
func TestEndpointGone(t *testing.T) {
	x := site.New(t)
	endpoint := x.Endpoint()
	b := x.Bundle(rig.Silo, "true")
	b.Spec.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{endpoint}}
	b.Create()
	x.Withdraw(endpoint)
	x.OK("delete", "--force", x.ID)
}
