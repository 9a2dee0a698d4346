//go:build windows

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/Microsoft/hcsshim/hcn"
)

// network does what a CNI plugin does before and after a container: an endpoint
// in the machine's NAT network, or a namespace with an endpoint in it.
func network(args []string) (uint32, error) {
	if len(args) == 0 {
		return 2, errors.New("which of endpoint, namespace, remove, list?")
	}
	switch args[0] {
	case "endpoint":
		e, err := endpoint()
		if err != nil {
			return 1, err
		}
		return 0, say(os.Stdout, e.Id)
	case "namespace":
		e, err := endpoint()
		if err != nil {
			return 1, err
		}
		ns, err := hcn.NewNamespace(hcn.NamespaceTypeHostDefault).Create()
		if err != nil {
			return 1, err
		}
		if err := hcn.AddNamespaceEndpoint(ns.Id, e.Id); err != nil {
			return 1, err
		}
		return 0, say(os.Stdout, ns.Id+" "+e.Id)
	case "remove":
		for _, id := range args[1:] {
			if err := remove(id); err != nil {
				return 1, fmt.Errorf("%s: %w", id, err)
			}
		}
		return 0, nil
	}
	return 2, fmt.Errorf("no %q", args[0])
}

func endpoint() (*hcn.HostComputeEndpoint, error) {
	nat, err := hcn.GetNetworkByName("nat")
	if err != nil {
		return nil, err
	}
	e := &hcn.HostComputeEndpoint{HostComputeNetwork: nat.Id, SchemaVersion: hcn.V2SchemaVersion()}
	return e.Create()
}

func remove(id string) error {
	if e, err := hcn.GetEndpointByID(id); err == nil {
		return e.Delete()
	}
	return (&hcn.HostComputeNamespace{Id: id}).Delete()
}
