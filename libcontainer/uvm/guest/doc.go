// Package guest is the agent in a utility VM on Linux: the first process of the
// VM, which makes containers with the very code that makes them on a host, and
// serves that to the host over a virtio-serial port.
package guest

// What the ports and directories of a VM are called, for both ends.
const (
	AgentPort = "wrun.agent" // virtio-serial port of the protocol in package wire
	FilesPort = "wrun.files" // of FUSE messages, served by the host
	FilesDir  = "/files"     // where the host's files are in the VM
)

// TemplateOperand has the agent prepare a VM that becomes a template.
const TemplateOperand = "template"
