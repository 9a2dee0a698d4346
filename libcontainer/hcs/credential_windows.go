package hcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"wrun/libcontainer/hcs/computecore"
	"wrun/libcontainer/hcsdoc"
)

// This file owns the container's instance of the credential guard, which a
// group managed service account needs. Such an instance outlives its container:
// the service keeps it until it is told otherwise.

// credential makes the instance and puts its state into the document. A single
// container under Hyper-V has the credential itself in its document.
func (b *birth) credential(ctx context.Context) error {
	spec, err := hcsdoc.CredentialSpec(b.config.Spec)
	if err != nil || spec == "" || b.choice == hcsdoc.ChoiceSingle {
		return err
	}
	b.h.Guard = b.h.System
	if err := b.record(); err != nil {
		return err
	}
	if err := computecore.ModifyService(ctx, hcsdoc.AddCredential(b.h.Guard, spec, !b.h.Silo)); err != nil {
		return fmt.Errorf("windows.credentialSpec: %w", err)
	}
	answer, err := computecore.ServiceProperties(ctx, hcsdoc.Query("ContainerCredentialGuard"))
	if err != nil {
		return fmt.Errorf("windows.credentialSpec: %w", err)
	}
	state, socket, err := guardState(answer, b.h.Guard)
	if err != nil {
		return fmt.Errorf("windows.credentialSpec: %w", err)
	}
	b.in.Credential = state
	if socket != nil {
		b.in.CredentialSocket = socket
	}
	return nil
}

// guardState finds one instance among all of the machine: its state, and the
// socket by which the guest of a utility VM reaches it.
func guardState(answer []byte, id string) (state, socket json.RawMessage, err error) {
	var all struct {
		Properties []struct {
			Instances []struct {
				Id              string          //nolint:staticcheck // the service's spelling
				CredentialGuard json.RawMessage // as the container's document takes it
				HvSocketConfig  json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, nil, fmt.Errorf("reading the credential guard's instances: %w", err)
	}
	for _, p := range all.Properties {
		for _, i := range p.Instances {
			if i.Id == id {
				return i.CredentialGuard, i.HvSocketConfig, nil
			}
		}
	}
	return nil, nil, fmt.Errorf("%w for container %s", errNoGuard, id)
}

// unguard removes the instance.
func (h *handle) unguard(ctx context.Context) error {
	if h.Guard == "" {
		return nil
	}
	err := computecore.ModifyService(ctx, hcsdoc.RemoveCredential(h.Guard))
	if err != nil && !noProcess(err) && !h.unguarded(ctx) {
		return fmt.Errorf("removing the credential guard's instance of container %s: %w", h.Guard, err)
	}
	h.Guard = ""
	return nil
}

// unguarded looks whether there is no instance to remove: it was announced and
// never made, or this Windows has no credential guard at all. Nobody documents
// with which error an instance that is not there is removed.
func (h *handle) unguarded(ctx context.Context) bool {
	answer, err := computecore.ServiceProperties(ctx, hcsdoc.Query("ContainerCredentialGuard"))
	if err != nil {
		return !unanswered(err)
	}
	_, _, err = guardState(answer, h.Guard)
	return errors.Is(err, errNoGuard)
}

// errNoGuard says that the guard answers, and has no such instance.
var errNoGuard = errors.New("the credential guard has made no instance")
