package systemd

import (
	"fmt"
	"testing"
)

func TestAnnotated(t *testing.T) {
	all, err := (Client{}).Annotated(map[string]string{
		"org.systemd.property.TimeoutStopUSec": "uint64 5",
		"org.systemd.property.TimeoutStartSec": "uint64 6",
		"org.systemd.property.JobTimeoutSec":   "1.5",
		"org.systemd.property.CollectMode":     "'inactive-or-failed'",
		"org.systemd.property.After":           "['a.service', 'b.service']",
		"io.podman.something":                  "else",
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{After ["a.service", "b.service"]} {CollectMode "inactive-or-failed"} {JobTimeoutUSec @t 1500000} {TimeoutStartUSec @t 6000000} {TimeoutStopUSec @t 5}]`
	if got := fmt.Sprint(wordAll(all)); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	for key, value := range map[string]string{
		"org.systemd.property.":        "1",
		"org.systemd.property.lower":   "1",
		"org.systemd.property.A":       "1",
		"org.systemd.property.Two.Dot": "1",
		"org.systemd.property.Value":   "uint64",
		"org.systemd.property.StopSec": "'soon'",
		"org.systemd.property.Dict":    "@a{sv} []", // godbus panics
	} {
		if all, err := (Client{}).Annotated(map[string]string{key: value}); err == nil {
			t.Errorf("%s=%s is %v", key, value, all)
		}
	}
}
