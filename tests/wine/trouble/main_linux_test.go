package trouble

import (
	"os"
	"testing"

	"wrun/tests/wine/rig"
)

var site rig.Site

func TestMain(m *testing.M) { os.Exit(site.Main(m)) }
