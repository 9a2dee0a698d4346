package hcsdoc

// This file makes settings of the service itself, for HcsModifyServiceSettings.

type serviceChange struct {
	PropertyType string
	Settings     guardRequest
}

type guardRequest struct {
	Operation        string
	OperationDetails any
}

type guardInstance struct {
	ID             string `json:"Id"`
	CredentialSpec string `json:",omitempty"`
	Transport      string `json:",omitempty"`
}

// AddCredential makes an instance of the credential guard for container id; a
// process in a utility VM reaches it over a Hyper-V socket.
func AddCredential(id, credentialSpec string, hyperv bool) []byte {
	transport := "LRPC"
	if hyperv {
		transport = "HvSocket"
	}
	return must(&serviceChange{"ContainerCredentialGuard", guardRequest{"AddInstance", guardInstance{id, credentialSpec, transport}}})
}

// RemoveCredential undoes AddCredential.
func RemoveCredential(id string) []byte {
	return must(&serviceChange{"ContainerCredentialGuard", guardRequest{"RemoveInstance", guardInstance{ID: id}}})
}
