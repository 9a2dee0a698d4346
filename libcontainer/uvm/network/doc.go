// Package network gives a utility VM the network of a namespace on the host: the
// interfaces that somebody (a CNI plugin, an engine) has put into the container's
// network namespace appear in the VM with their names, hardware addresses, MTUs,
// addresses, routes and permanent neighbours.
//
// On the host, in the namespace: [Tap] makes network card n of the VM, whose
// descriptor QEMU gets, with [DeviceMAC] as its address; it needs no interface
// yet. [Scan] tells what interfaces there are; [Join] ties one to a card, both
// ways, by filters at their ingress. That is the first thing that a frame meets:
// the namespace's own IP stack and its netfilter rules see none. It keeps its
// addresses and answers for none of them. [Disconnect] undoes what outlives the
// tap. In the VM: [Configure] makes its cards what Scan has found.
//
// What can be carried is any virtual Ethernet device that is up: veth, macvlan,
// bridge (these were run), ipvlan in its L2 modes, vlan, dummy, netkit in its L2
// mode, an emulator's tap (these were not). Left out without a word are loopback,
// what is down (such as the tunnels that the kernel makes in every namespace),
// ports of a bridge or bond, our own taps, and what cannot be carried but has no
// address. An interface with an address that cannot be carried is an error: a
// physical device (the namespace is then as good as certainly the host's own,
// which would lose its network to the VM) and what does not speak Ethernet with
// ARP, such as a tun, WireGuard or an ipvlan in an L3 mode.
//
// Not carried: addresses of the loopback interface, temporary (privacy) addresses
// of IPv6, link-local ones of IPv6 (the VM makes its own), lifetimes, labels,
// rules and all routing tables but main, routes without an interface (blackhole),
// attributes of a route other than the fields of [Route], and what changes after
// Scan. Routes with several next hops, into a tunnel, by source or by type of
// service are an error.
//
// The host's kernel needs tun, sch_ingress, cls_u32 and act_mirred.
package network
