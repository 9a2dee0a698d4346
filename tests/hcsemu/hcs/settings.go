package hcs

import (
	"encoding/json"
	"slices"
	"strings"

	"wrun/tests/hcsemu/wire"
)

// The service's own properties and settings, and the access of VMs to files.

type serviceProperty string

func (serviceProperty) variants() []string {
	return []string{"Basic", "CpuGroup", "ProcessorTopology", "ContainerCredentialGuard", "QoSCapabilities"}
}

type credentialInstance struct {
	ID              string `json:"Id"`
	CredentialGuard credentialGuardState
	HvSocketConfig  *struct {
		ServiceID     string `json:"ServiceId"`
		ServiceConfig hvSocketService
	} `json:",omitempty"`
}

func serviceProperties(s *Service, c *call) (*wire.Answer, error) {
	var q struct{ PropertyTypes []serviceProperty }
	if err := decodeOptional(c.Arg(0), &q); err != nil {
		return nil, err
	}
	if len(q.PropertyTypes) == 0 {
		q.PropertyTypes = []serviceProperty{"Basic"}
	}
	var answer struct{ Properties []any }
	for _, p := range q.PropertyTypes {
		switch p {
		case "Basic":
			answer.Properties = append(answer.Properties, map[string]any{"SupportedSchemaVersions": []version{{1, 0}, {2, 5}}})
		case "ProcessorTopology":
			answer.Properties = append(answer.Properties, s.topology())
		case "ContainerCredentialGuard":
			answer.Properties = append(answer.Properties, map[string]any{"Instances": s.instances()})
		case "QoSCapabilities":
			answer.Properties = append(answer.Properties, map[string]any{"ProcessorQoSSupported": true})
		case "CpuGroup":
			answer.Properties = append(answer.Properties, map[string]any{"CpuGroups": []any{}})
		}
	}
	return value(answer), nil
}

func (s *Service) topology() any {
	type processor struct {
		LpIndex     int
		NodeNumber  int
		PackageID   int `json:"PackageId"`
		CoreID      int `json:"CoreId"`
		RootVpIndex int
	}
	n := s.machine.Processors()
	list := make([]processor, n)
	for i := range list {
		list[i].LpIndex, list[i].CoreID, list[i].RootVpIndex = i, i, i
	}
	return map[string]any{"LogicalProcessorCount": n, "LogicalProcessors": list}
}

func (s *Service) instances() []*credentialInstance {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*credentialInstance{}
	for _, i := range s.credentials {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b *credentialInstance) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func modifyService(s *Service, c *call) (*wire.Answer, error) {
	var r struct {
		PropertyType string
		Settings     json.RawMessage
	}
	if err := decode(c.Arg(0), &r); err != nil {
		return nil, err
	}
	if r.PropertyType != "ContainerCredentialGuard" {
		return nil, fail(notSupported, "%s cannot be modified here", r.PropertyType)
	}
	var o struct {
		Operation        string
		OperationDetails json.RawMessage
	}
	if err := settingsOf(r.Settings, &o); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch o.Operation {
	case "AddInstance":
		var add struct {
			ID             string `json:"Id"`
			CredentialSpec string
			Transport      credentialTransport
		}
		if err := inside("Settings.OperationDetails", decode(string(o.OperationDetails), &add)); err != nil {
			return nil, err
		}
		if add.ID == "" || add.Transport == "" || !json.Valid([]byte(add.CredentialSpec)) {
			return nil, refuse("Settings.OperationDetails", "wants Id, Transport and a CredentialSpec that is JSON")
		}
		if s.credentials[add.ID] != nil {
			return nil, fail(alreadyExists, "the credential guard instance %s exists", add.ID)
		}
		i := &credentialInstance{ID: add.ID, CredentialGuard: credentialGuardState{
			Cookie: newID(), RPCEndpoint: "hcsemu-" + newID(), Transport: add.Transport, CredentialSpec: add.CredentialSpec,
		}}
		if add.Transport == "HvSocket" {
			i.HvSocketConfig = &struct {
				ServiceID     string `json:"ServiceId"`
				ServiceConfig hvSocketService
			}{newID(), hvSocketService{AllowWildcardBinds: true}}
		}
		s.credentials[add.ID] = i
		return nil, nil
	case "RemoveInstance":
		var remove struct {
			ID string `json:"Id"`
		}
		if err := inside("Settings.OperationDetails", decode(string(o.OperationDetails), &remove)); err != nil {
			return nil, err
		}
		if s.credentials[remove.ID] == nil {
			return nil, fail(notFound, "there is no credential guard instance %s", remove.ID)
		}
		delete(s.credentials, remove.ID)
		return nil, nil
	}
	return nil, refuse("Settings.Operation", "%q is none of AddInstance, RemoveInstance", o.Operation)
}

// checkCredentials: a container names an instance by its cookie.
func (s *Service) checkCredentials(g *credentialGuardState, field string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.credentials {
		if i.CredentialGuard == *g {
			return nil
		}
	}
	return fail(notFound, "%s: no instance has this state", field)
}

// grantAccess: the VM need not exist, but the file must.
func grantAccess(s *Service, c *call) (*wire.Answer, error) {
	c.entry.System = c.Arg(0)
	if c.Arg(0) == "" {
		return nil, fail(invalidParam, "no VM id")
	}
	if !s.machine.IsFile(c.Arg(1)) && !s.machine.IsDir(c.Arg(1)) {
		return nil, fail(fileNotFound, "there is no file %s", c.Arg(1))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access[c.Arg(0)+" "+c.Arg(1)] = true
	return nil, nil
}

func revokeAccess(s *Service, c *call) (*wire.Answer, error) {
	c.entry.System = c.Arg(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := c.Arg(0) + " " + c.Arg(1)
	if !s.access[key] {
		return nil, fail(notFound, "%s has no access to %s", c.Arg(0), c.Arg(1))
	}
	delete(s.access, key)
	return nil, nil
}

func grantGroupAccess(s *Service, c *call) (*wire.Answer, error) {
	if !s.machine.IsFile(c.Arg(0)) && !s.machine.IsDir(c.Arg(0)) {
		return nil, fail(fileNotFound, "there is no file %s", c.Arg(0))
	}
	return nil, nil
}
