package wine

import "bytes"

// profileOf is where a user's files are, as Wine's registry files write it.
func profileOf(u User) string { return `users\\` + u.Name }

// hand makes one user's registry another's: what differs is where their files are.
func hand(registry []byte, from, to User) []byte {
	if from == to {
		return registry
	}
	return bytes.ReplaceAll(registry, []byte(profileOf(from)+`\\`), []byte(profileOf(to)+`\\`))
}

// ownSettings are what a container's user has otherwise than Wine's would: no
// display, and nobody who looks for one.
func ownSettings() []value {
	return []value{{`Software\Wine\Drivers`, "Graphics", text("null")}, {`Software\Wine\Drivers`, "Audio", text("")}}
}

// settings are the same for the machine: two services that nobody asks for anything
// where there are no devices start when they are asked for, and not with each
// container.
func settings() []value {
	const services, demand = `System\CurrentControlSet\Services\`, 3
	return []value{{services + "PlugPlay", "Start", number(demand)}, {services + "Eventlog", "Start", number(demand)}}
}

// empty is a registry file of Wine's without a key, for what is below root.
func empty(root string) []byte {
	return []byte("WINE REGISTRY Version 2\n;; All keys relative to " + root + "\n\n#arch=win64\n")
}
