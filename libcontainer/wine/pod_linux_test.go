package wine

import "testing"

func TestPropagates(t *testing.T) {
	const table = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 22 0:50 / /run/a/wine-drive rw,nosuid shared:7 - overlay overlay rw
91 22 0:51 / /run/b/wine-drive rw,nosuid - overlay overlay rw,lowerdir=/x shared:9
92 22 0:52 / /run/c\040d/wine-drive rw,nosuid shared:8 master:1 - overlay overlay rw
93 22 0:53 / /run/e rw shared:10 - overlay overlay rw
94 93 0:54 / /run/e rw master:1 - overlay overlay rw
`
	for dir, want := range map[string]bool{
		"/run/a/wine-drive": true, "/run/b/wine-drive": false, "/run/c d/wine-drive": true, "/run/e": false, "/run/none": false,
	} {
		if got := propagates(table, dir); got != want {
			t.Errorf("%s: %v, want %v", dir, got, want)
		}
	}
}
