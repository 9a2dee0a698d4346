// Package netdev moves network devices of the host into a container's network
// namespace (config-linux.md, "Network Devices"). It knows neither bundles nor
// containers: a namespace, a name there and a name here.
package netdev
