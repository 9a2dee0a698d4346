package hcs

import (
	"encoding/json"
	"fmt"
	"strings"

	"wrun/tests/hcsemu/wire"
)

// The Host Compute Network service: networks, endpoints and namespaces as
// documents with identities. No packet moves.

type hcnVersion struct{ Major, Minor int }

type hcnNetwork struct {
	ID            string            `json:",omitempty"`
	Name          string            `json:",omitempty"`
	Type          string            `json:",omitempty"`
	Policies      []json.RawMessage `json:",omitempty"`
	MacPool       json.RawMessage   `json:",omitempty"`
	DNS           json.RawMessage   `json:"Dns,omitempty"`
	Ipams         []json.RawMessage `json:",omitempty"`
	Flags         uint32
	Health        json.RawMessage `json:",omitempty"`
	SchemaVersion *hcnVersion
}

type hcnEndpoint struct {
	ID                   string            `json:",omitempty"`
	Name                 string            `json:",omitempty"`
	HostComputeNetwork   string            `json:",omitempty"`
	HostComputeNamespace string            `json:",omitempty"`
	Policies             []json.RawMessage `json:",omitempty"`
	IPConfigurations     []hcnIP           `json:"IpConfigurations,omitempty"`
	DNS                  json.RawMessage   `json:"Dns,omitempty"`
	Routes               []json.RawMessage `json:",omitempty"`
	MacAddress           string            `json:",omitempty"`
	Flags                uint32
	Health               json.RawMessage `json:",omitempty"`
	SchemaVersion        *hcnVersion
}

type hcnIP struct {
	IPAddress    string `json:"IpAddress"`
	PrefixLength uint8
}

type hcnNamespace struct {
	ID            string        `json:",omitempty"`
	NamespaceID   uint32        `json:"NamespaceId,omitempty"`
	Type          string        `json:",omitempty"`
	Resources     []hcnResource `json:",omitempty"`
	SchemaVersion *hcnVersion
}

type hcnResource struct {
	Type string
	Data json.RawMessage
}

// networkObject is a network, an endpoint or a namespace; one field is set.
type networkObject struct {
	id        string
	network   *hcnNetwork
	endpoint  *hcnEndpoint
	namespace *hcnNamespace
	builtIn   bool
}

type network struct {
	objects map[string]*networkObject // by id in lower case
	last    uint32                    // compartment, and address, given out
}

// natNetwork is there from the start, as Windows has one.
const natNetwork = "b95d0c5e-57d4-412b-b571-18a81a16e005"

func newNetwork() *network {
	n := &network{objects: map[string]*networkObject{}, last: 1}
	n.objects[natNetwork] = &networkObject{id: natNetwork, builtIn: true, network: &hcnNetwork{
		ID: natNetwork, Name: "nat", Type: "NAT", SchemaVersion: &hcnVersion{2, 0},
		Ipams: []json.RawMessage{json.RawMessage(`{"Type":"Static","Subnets":[{"IpAddressPrefix":"172.25.0.0/16"}]}`)},
	}}
	return n
}

func (o *networkObject) what() string {
	switch {
	case o.network != nil:
		return "Network"
	case o.endpoint != nil:
		return "Endpoint"
	}
	return "Namespace"
}

func (o *networkObject) properties() any {
	switch {
	case o.network != nil:
		return o.network
	case o.endpoint != nil:
		return o.endpoint
	}
	return o.namespace
}

func (o *networkObject) name() string {
	switch {
	case o.network != nil:
		return o.network.Name
	case o.endpoint != nil:
		return o.endpoint.Name
	}
	return ""
}

// find answers an object of a kind; s.mu is held.
func (n *network) find(what, id string) (*networkObject, error) {
	o := n.objects[strings.ToLower(strings.Trim(id, "{}"))]
	if o != nil && o.what() == what {
		return o, nil
	}
	missing := map[string]Result{"Network": hcnNetworkNotFound, "Endpoint": hcnEndpointNotFound, "Namespace": notFound}
	return nil, fail(missing[what], "there is no HCN %s %s", strings.ToLower(what), id)
}

func addNetworkHandlers(m map[string]handler) {
	for _, what := range []string{"Network", "Endpoint", "Namespace"} {
		m["HcnEnumerate"+what+"s"] = hcnEnumerate(what)
		m["HcnCreate"+what] = hcnCreate(what)
		m["HcnOpen"+what] = hcnOpen(what)
		m["HcnQuery"+what+"Properties"] = hcnQuery(what)
		m["HcnDelete"+what] = hcnDelete(what)
	}
	m["HcnModifyNamespace"] = hcnModifyNamespace
	m["HcnModifyEndpoint"] = hcnModifyEndpoint
	m["HcnModifyNetwork"] = hcnModifyNetwork
	m["HNSCall"] = hnsCall
}

func hcnDecode(document string, into any) error {
	if err := decode(document, into); err != nil {
		return fail(hcnInvalidJSON, "%v", err)
	}
	return nil
}

// hcnEnumerate answers ids; the filter is a JSON text in the JSON text.
func hcnEnumerate(what string) handler {
	return func(s *Service, c *call) (*wire.Answer, error) {
		var q struct {
			SchemaVersion *hcnVersion
			Flags         uint32
			Filter        string
		}
		if c.Arg(0) != "" {
			if err := hcnDecode(c.Arg(0), &q); err != nil {
				return nil, err
			}
		}
		filter := map[string]string{}
		if q.Filter != "" {
			if err := hcnDecode(q.Filter, &filter); err != nil {
				return nil, err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		ids := []string{}
		for _, o := range s.network.objects {
			if o.what() != what {
				continue
			}
			match := true
			for key, want := range filter {
				switch key {
				case "ID", "Id":
					match = match && strings.EqualFold(o.id, want)
				case "Name":
					match = match && strings.EqualFold(o.name(), want)
				case "HostComputeNetwork", "VirtualNetwork":
					match = match && o.endpoint != nil && strings.EqualFold(o.endpoint.HostComputeNetwork, want)
				default:
					return nil, fail(hcnInvalidJSON, "no filter by %s", key)
				}
			}
			if match {
				ids = append(ids, o.id)
			}
		}
		return value(ids), nil
	}
}

// hcnCreate: arguments are the id, the settings, and for an endpoint the
// network's handle as the call's.
func hcnCreate(what string) handler {
	return func(s *Service, c *call) (*wire.Answer, error) {
		settings := c.Arg(len(c.Args) - 1)
		o := &networkObject{}
		var named string
		var err error
		switch what {
		case "Network":
			o.network = &hcnNetwork{}
			err = hcnDecode(settings, o.network)
			named = o.network.ID
		case "Endpoint":
			o.endpoint = &hcnEndpoint{}
			err = hcnDecode(settings, o.endpoint)
			named = o.endpoint.ID
		case "Namespace":
			o.namespace = &hcnNamespace{}
			err = hcnDecode(settings, o.namespace)
			named = o.namespace.ID
		}
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		o.id = hcnID(c.Arg(0), named)
		if s.network.objects[o.id] != nil {
			return nil, fail(alreadyExists, "there is an HCN object %s", o.id)
		}
		if err := s.network.complete(o, s.handles[c.Handle]); err != nil {
			return nil, err
		}
		s.network.objects[o.id] = o
		s.newHandle(c, &handle{object: o})
		return nil, nil
	}
}

func hcnID(argument, named string) string {
	const none = "00000000-0000-0000-0000-000000000000"
	for _, id := range []string{named, argument} {
		if id = strings.ToLower(strings.Trim(id, "{}")); id != "" && id != none {
			return id
		}
	}
	return newID()
}

// complete fills in what the service decides.
func (n *network) complete(o *networkObject, of *handle) error {
	n.last++
	switch {
	case o.network != nil:
		o.network.ID = o.id
	case o.endpoint != nil:
		if of == nil || of.object == nil || of.object.network == nil {
			return fail(invalidHandle, "an endpoint needs its network's handle")
		}
		o.endpoint.ID, o.endpoint.HostComputeNetwork = o.id, of.object.id
		if o.endpoint.MacAddress == "" {
			o.endpoint.MacAddress = fmt.Sprintf("00-15-5D-00-%02X-%02X", n.last>>8&0xff, n.last&0xff)
		}
		if len(o.endpoint.IPConfigurations) == 0 {
			o.endpoint.IPConfigurations = []hcnIP{{fmt.Sprintf("172.25.%d.%d", n.last>>8&0xff, n.last&0xff), 16}}
		}
	case o.namespace != nil:
		switch o.namespace.Type {
		case "": // runhcs v0.11 says none
			o.namespace.Type = "HostDefault"
		case "Host", "HostDefault", "Guest", "GuestDefault":
		default:
			return fail(invalidParam, "a namespace of type %q", o.namespace.Type)
		}
		o.namespace.ID, o.namespace.NamespaceID = o.id, n.last
	}
	return nil
}

func hcnOpen(what string) handler {
	return func(s *Service, c *call) (*wire.Answer, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		o, err := s.network.find(what, c.Arg(0))
		if err != nil {
			return nil, err
		}
		s.newHandle(c, &handle{object: o})
		return nil, nil
	}
}

// hcnObject answers what the call's handle is of; s.mu is held.
func (s *Service) hcnObject(c *call, what string) (*networkObject, error) {
	h := s.handles[c.Handle]
	if h == nil || h.object == nil || h.object.what() != what {
		return nil, fail(invalidHandle, "%s: not a handle of an HCN %s", c.Function, strings.ToLower(what))
	}
	return h.object, nil
}

func hcnQuery(what string) handler {
	return func(s *Service, c *call) (*wire.Answer, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		o, err := s.hcnObject(c, what)
		if err != nil {
			return nil, err
		}
		return value(o.properties()), nil
	}
}

// hcnDelete detaches endpoints from the namespace that goes, and an endpoint
// that goes from its namespace. What the real service does is not known here.
func hcnDelete(what string) handler {
	return func(s *Service, c *call) (*wire.Answer, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		o, err := s.network.find(what, c.Arg(0))
		if err != nil {
			return nil, err
		}
		for _, other := range s.network.objects {
			switch {
			case o.network != nil && other.endpoint != nil && other.endpoint.HostComputeNetwork == o.id:
				return nil, fail(hcnHasReferences, "the network %s has endpoints", o.id)
			case o.namespace != nil && other.endpoint != nil && other.endpoint.HostComputeNamespace == o.id:
				other.endpoint.HostComputeNamespace = ""
			case o.endpoint != nil && other.namespace != nil:
				other.namespace.remove("Endpoint", o.id)
			}
		}
		delete(s.network.objects, o.id)
		return nil, nil
	}
}
