package life

import (
	"testing"

	"wrun/tests/wine/rig"
)

// TestRunhcsClient: Microsoft's public Go client of runhcs drives wrun under the
// name runhcs.exe through a whole life: create, state, list, start, ps, exec,
// kill, delete, with the options that it sends.
func TestRunhcsClient(t *testing.T) {
	x := site.New(t)
	const client, runhcs = `C:\client\client.exe`, `C:\client\runhcs.exe`
	x.BuildModule("../client", client)
	x.Install(x.Host.Unix(rig.Wrun), runhcs)
	dir := x.Dir + `\files`
	x.Must(x.MkdirAll(dir))
	b := x.Bundle(rig.Silo, "sleep", "1000")
	if r := x.Do(rig.Call{Program: client, Args: []string{b.Save(), x.Root, dir}}); r.Code != 0 {
		x.Errorf("the client: %s", r)
	}
	document := x.Document(x.Journal("by-client"), "HcsCreateComputeSystem")
	if owner := x.Field(document, "Owner"); owner != "client" {
		x.Errorf("the owner that the service was told is %v", owner)
	}
	x.Equal("containers", x.OK("list", "-q").Stdout, "")
}
