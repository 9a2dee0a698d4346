package wine

import (
	"strings"

	"wrun/libcontainer"
)

// User is one of the two accounts that every Windows container has.
type User struct {
	Name string `json:"name"`
	ID   uint32 `json:"id"` // as user and group of Linux
	// Administrator may write all of drive C:, whoever owns it.
	Administrator bool `json:"administrator,omitempty"`
}

// The ids recall the security identifiers S-1-5-93-2-1 and S-1-5-93-2-2, and are
// nobody's on a usual host: what a container writes belongs to them.
var (
	Administrator = User{Name: "ContainerAdministrator", ID: 59321, Administrator: true}
	Ordinary      = User{Name: "ContainerUser", ID: 59322}
)

// domain is the one that Windows puts before their names.
const domain = `User Manager\`

// findUser reads process.user.username. Without one it is who runs programs in
// images of Windows Server.
func findUser(name string) (User, error) {
	bare := name
	if len(name) > len(domain) && strings.EqualFold(name[:len(domain)], domain) {
		bare = name[len(domain):]
	}
	switch {
	case name == "", strings.EqualFold(bare, Administrator.Name):
		return Administrator, nil
	case strings.EqualFold(bare, Ordinary.Name):
		return Ordinary, nil
	}
	return User{}, libcontainer.WithHint(bad("process.user.username", "%q is no account of a Windows container on Linux", name),
		Administrator.Name+" or "+Ordinary.Name)
}
