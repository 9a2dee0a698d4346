package hcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/Microsoft/hcsshim/hcn"
	"golang.org/x/sys/windows"

	"wrun/libcontainer/hcsdoc"
)

// This file owns the network namespace that wrun makes for a container which
// brought endpoints and no namespace. Endpoints belong to whoever made them,
// usually a CNI plugin: they are put in and taken out, never deleted.

// network gives the container its namespace. A single container under Hyper-V
// names its endpoints in its document and needs none.
func (b *birth) network(ctx context.Context) error {
	w := b.config.Spec.Windows
	if w == nil || w.Network == nil || b.choice == hcsdoc.ChoiceSingle {
		return nil
	}
	b.in.Namespace = w.Network.NetworkNamespace
	if b.in.Namespace == "" && len(w.Network.EndpointList) > 0 {
		if err := b.connect(ctx, w.Network.EndpointList); err != nil {
			return err
		}
	}
	if b.in.Namespace == "" || b.h.Silo {
		return nil
	}
	// A guest has to be told.
	return bounded(ctx, "HcnQueryNamespaceProperties", b.in.Namespace, func() error { return b.describe(b.in.Namespace) })
}

// connect makes a namespace of the endpoints.
func (b *birth) connect(ctx context.Context, endpoints []string) error {
	kind := hcn.NamespaceTypeHost
	if !b.h.Silo {
		kind = hcn.NamespaceTypeGuest
	}
	b.h.Net = &network{Endpoints: endpoints}
	if err := b.record(); err != nil {
		return err
	}
	var made *hcn.HostComputeNamespace
	err := bounded(ctx, "HcnCreateNamespace", b.h.System, func() (err error) {
		made, err = hcn.NewNamespace(kind).Create()
		return err
	})
	if err != nil {
		return err
	}
	b.h.Net.Namespace, b.h.Net.Made = made.Id, true
	b.in.Namespace = made.Id
	if err := b.record(); err != nil {
		return err
	}
	for _, id := range endpoints {
		err := bounded(ctx, "HcnModifyNamespace", made.Id, func() error { return hcn.AddNamespaceEndpoint(made.Id, id) })
		if err != nil {
			return fmt.Errorf("windows.network.endpointList: adding endpoint %s to the container's namespace: %w", id, err)
		}
	}
	return nil
}

// describe reads what a utility VM's guest has to know of the namespace. An
// endpoint's adapter in the VM gets the endpoint's own id: it is unique there,
// and the same for every container of a pod.
func (b *birth) describe(namespace string) error {
	ns, err := hcn.GetNamespaceByID(namespace)
	if err != nil {
		return fmt.Errorf("windows.network.networkNamespace: %w", err)
	}
	settings, err := json.Marshal(ns)
	if err != nil {
		return err
	}
	n := &hcsdoc.Network{Namespace: json.RawMessage(settings)}
	ids, err := hcn.GetNamespaceEndpointIds(namespace)
	if err != nil {
		return fmt.Errorf("reading the endpoints of namespace %s: %w", namespace, err)
	}
	for _, id := range ids {
		e, err := hcn.GetEndpointByID(id)
		if err != nil {
			return fmt.Errorf("reading endpoint %s: %w", id, err)
		}
		settings, err := json.Marshal(e)
		if err != nil {
			return err
		}
		n.Endpoints = append(n.Endpoints, hcsdoc.Endpoint{ID: e.Id, Adapter: e.Id, MAC: e.MacAddress, Settings: json.RawMessage(settings)})
	}
	b.in.Network = n
	return nil
}

// disconnect takes the endpoints out of the namespace and deletes it. What is
// gone already is no error: endpoints may go before their container.
func (h *handle) disconnect(ctx context.Context) error {
	if h.Net == nil || !h.Net.Made {
		return nil
	}
	ns := h.Net.Namespace
	var errs error
	for _, id := range h.Net.Endpoints {
		err := bounded(ctx, "HcnModifyNamespace", ns, func() error { return absent(hcn.RemoveNamespaceEndpoint(ns, id)) })
		if err != nil {
			errs = join(errs, fmt.Errorf("removing endpoint %s from namespace %s: %w", id, ns, err))
		}
	}
	err := bounded(ctx, "HcnDeleteNamespace", ns, func() error { return absent((&hcn.HostComputeNamespace{Id: ns}).Delete()) })
	if err != nil {
		return join(errs, fmt.Errorf("deleting network namespace %s: %w", ns, err))
	}
	h.Net = nil // with the namespace its endpoints' membership is gone, too
	return nil
}

// absent forgives that there is nothing to remove.
func absent(err error) error {
	var namespace hcn.NamespaceNotFoundError
	var endpoint hcn.EndpointNotFoundError
	if errors.As(err, &namespace) || errors.As(err, &endpoint) || hcn.IsNotFoundError(err) || hcn.IsElementNotFoundError(err) ||
		hcn.CheckErrorWithCode(err, hcn.ErrorCode(windows.HCN_E_ENDPOINT_NOT_FOUND)) {
		return nil
	}
	return err
}
