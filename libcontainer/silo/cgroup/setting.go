package cgroup

import "strings"

// setting is one value for one control file.
type setting struct {
	controller string // which must be there, else the setting is an error
	file       string
	value      string
}

// fields splits at white space.
func fields(s string) []string { return strings.Fields(s) }
