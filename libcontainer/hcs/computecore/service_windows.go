package computecore

// This file owns what wrun asks of the service itself.

import (
	"context"
)

// ServiceProperties answers a Service_PropertyQuery document, nil for none,
// with a ServiceProperties document.
func ServiceProperties(ctx context.Context, query []byte) ([]byte, error) {
	const op = "query the compute service"
	q, err := utf16Of(op, "", query)
	if err != nil {
		return nil, err
	}
	return plain(ctx, op, "", &procGetServiceProperties, func() (uint32, []byte) { return getServiceProperties(q) })
}

// ModifyService carries out a ModificationRequest document.
func ModifyService(ctx context.Context, settings []byte) error {
	const op = "modify the compute service"
	s, err := utf16Of(op, "", settings)
	if err != nil {
		return err
	}
	_, err = plain(ctx, op, "", &procModifyServiceSettings, func() (uint32, []byte) { return modifyServiceSettings(s) })
	return err
}

// GrantVMAccess adds to the file's access control list the account under which
// the utility VM with the id vm runs.
func GrantVMAccess(vm, path string) error {
	return vmAccess("grant access to "+path+" to", vm, path, &procGrantVMAccess, grantVMAccess)
}

// RevokeVMAccess undoes GrantVMAccess.
func RevokeVMAccess(vm, path string) error {
	return vmAccess("revoke access to "+path+" from", vm, path, &procRevokeVMAccess, revokeVMAccess)
}

func vmAccess(op, vm, path string, p *proc, call func(vm, path *uint16) uint32) error {
	id, err := utf16Of(op, vm, []byte(vm))
	if err != nil {
		return err
	}
	file, err := utf16Of(op, vm, []byte(path))
	if err != nil {
		return err
	}
	_, err = plain(context.Background(), op, vm, p, func() (uint32, []byte) { return call(id, file), nil })
	return err
}

// plain carries out a function that neither an operation nor a handle belongs
// to.
func plain(ctx context.Context, op, object string, p *proc, call func() (uint32, []byte)) ([]byte, error) {
	if err := need(op, object, p); err != nil {
		return nil, err
	}
	r := bounded(ctx, limits, nil, nil, call)
	return r.document, r.err(op, object)
}
