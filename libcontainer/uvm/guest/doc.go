// Package guest is the agent in a utility VM on Linux: the first process of the
// VM, which makes containers with the very code that makes them on a host, and
// serves that to the host over a virtio-serial port.
package guest

// The virtio-serial ports of a VM and what its directories are called, for both
// ends. By a number the guest finds a port without a look at each one's name.
const (
	AgentPort = 1        // of the protocol in package wire
	FilesPort = 2        // of FUSE messages, served by the host
	FilesDir  = "/files" // where the host's files are in the VM
)

// initProgram is what the kernel calls its first process: argv[0].
const initProgram = "/init"

// TemplateOperand has the agent prepare a VM that becomes a template.
const TemplateOperand = "template"
