package hcs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"wrun/tests/hcsemu/wire"
)

// This file changes networks, endpoints and namespaces, and answers the old door
// HNSCall.

type hcnModify struct {
	ResourceType string
	RequestType  string
	Settings     json.RawMessage
}

func (n *hcnNamespace) index(kind, id string) int {
	return slices.IndexFunc(n.Resources, func(r hcnResource) bool {
		var d struct{ ID string }
		_ = json.Unmarshal(r.Data, &d) // ours
		return r.Type == kind && strings.EqualFold(d.ID, id)
	})
}

func (n *hcnNamespace) remove(kind, id string) {
	if i := n.index(kind, id); i >= 0 {
		n.Resources = slices.Delete(n.Resources, i, i+1)
	}
}

// hcnModifyNamespace puts endpoints and containers into a namespace.
func hcnModifyNamespace(s *Service, c *call) (*wire.Answer, error) {
	var m hcnModify
	if err := hcnDecode(c.Arg(0), &m); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.hcnObject(c, "Namespace")
	if err != nil {
		return nil, err
	}
	ns := o.namespace
	var id string
	var endpoint *networkObject
	switch m.ResourceType {
	case "Endpoint":
		var e struct {
			EndpointID string `json:"EndpointId"`
		}
		if err := hcnDecode(string(m.Settings), &e); err != nil {
			return nil, err
		}
		if endpoint, err = s.network.find("Endpoint", e.EndpointID); err != nil {
			return nil, err
		}
		id = endpoint.id
	case "Container":
		var e struct {
			ContainerID string `json:"ContainerId"`
		}
		if err := hcnDecode(string(m.Settings), &e); err != nil {
			return nil, err
		}
		id = e.ContainerID
	default:
		return nil, fail(invalidParam, "a namespace holds no %q", m.ResourceType)
	}
	has := ns.index(m.ResourceType, id) >= 0
	switch {
	case m.RequestType == "Add" && has:
		return nil, fail(hcnEndpointAttached, "%s %s is in the namespace", m.ResourceType, id)
	case m.RequestType == "Add" && endpoint != nil && endpoint.endpoint.HostComputeNamespace != "":
		return nil, fail(hcnEndpointAttached, "the endpoint %s is in namespace %s", id, endpoint.endpoint.HostComputeNamespace)
	case m.RequestType == "Add":
		ns.Resources = append(ns.Resources, hcnResource{m.ResourceType, json.RawMessage(fmt.Sprintf(`{"ID":%q}`, id))})
		if endpoint != nil {
			endpoint.endpoint.HostComputeNamespace = o.id
		}
	case m.RequestType == "Remove" && !has:
		return nil, fail(notFound, "%s %s is not in the namespace", m.ResourceType, id)
	case m.RequestType == "Remove":
		ns.remove(m.ResourceType, id)
		if endpoint != nil {
			endpoint.endpoint.HostComputeNamespace = ""
		}
	default:
		return nil, fail(invalidParam, "request %q", m.RequestType)
	}
	return nil, nil
}

// hcnModifyEndpoint takes policies; ports are taken and not looked at.
func hcnModifyEndpoint(s *Service, c *call) (*wire.Answer, error) {
	var m hcnModify
	if err := hcnDecode(c.Arg(0), &m); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.hcnObject(c, "Endpoint")
	if err != nil || m.ResourceType != "Policy" {
		return nil, err
	}
	var p struct{ Policies []json.RawMessage }
	if err := hcnDecode(string(m.Settings), &p); err != nil {
		return nil, err
	}
	o.endpoint.Policies = changePolicies(o.endpoint.Policies, p.Policies, m.RequestType)
	return nil, nil
}

func hcnModifyNetwork(s *Service, c *call) (*wire.Answer, error) {
	var m hcnModify
	if err := hcnDecode(c.Arg(0), &m); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.hcnObject(c, "Network")
	if err != nil || m.ResourceType != "Policy" {
		return nil, err
	}
	var p struct{ Policies []json.RawMessage }
	if err := hcnDecode(string(m.Settings), &p); err != nil {
		return nil, err
	}
	o.network.Policies = changePolicies(o.network.Policies, p.Policies, m.RequestType)
	return nil, nil
}

func changePolicies(have, with []json.RawMessage, request string) []json.RawMessage {
	switch request {
	case "Add":
		return append(have, with...)
	case "Remove":
		return slices.DeleteFunc(have, func(p json.RawMessage) bool {
			return slices.ContainsFunc(with, func(w json.RawMessage) bool { return string(w) == string(p) })
		})
	}
	return with
}

// hnsCall is the old door: hcn asks it for the version of the service, and v1
// containers' endpoints can be looked at.
func hnsCall(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	method, path := c.Arg(0), strings.Trim(c.Arg(1), "/")
	if method == "GET" && path == "globals/version" {
		return hnsOutput(hcnVersion{15, 4}), nil
	}
	collection, id, _ := strings.Cut(path, "/")
	what := map[string]string{"endpoints": "Endpoint", "networks": "Network"}[collection]
	if method == "GET" && what != "" {
		if id != "" {
			o, err := s.network.find(what, id)
			if err != nil {
				return value(map[string]any{"Success": false, "Error": "Element not found."}), nil
			}
			return hnsOutput(o.hns()), nil
		}
		list := []any{}
		for _, o := range s.network.objects {
			if o.what() == what {
				list = append(list, o.hns())
			}
		}
		return hnsOutput(list), nil
	}
	return value(map[string]any{"Success": false, "Error": "hcsemu has no " + method + " " + path}), nil
}

func (o *networkObject) hns() map[string]any {
	if o.network != nil {
		return map[string]any{"Id": o.id, "Name": o.network.Name, "Type": o.network.Type}
	}
	return map[string]any{
		"Id": o.id, "Name": o.endpoint.Name, "VirtualNetwork": o.endpoint.HostComputeNetwork,
		"MacAddress": o.endpoint.MacAddress,
	}
}

func hnsOutput(v any) *wire.Answer { return value(map[string]any{"Success": true, "Output": v}) }

func (s *Service) checkNetworking(namespace string, endpoints []string, field string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.networkingIs(namespace, endpoints, field)
}

// networkingIs: what a document names must exist; s.mu is held.
func (s *Service) networkingIs(namespace string, endpoints []string, field string) error {
	if namespace != "" {
		if _, err := s.network.find("Namespace", namespace); err != nil {
			return inside(field+".Namespace", err)
		}
	}
	for _, id := range endpoints {
		if _, err := s.network.find("Endpoint", id); err != nil {
			return inside(field, err)
		}
	}
	return nil
}
