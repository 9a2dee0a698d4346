//go:build linux && !wrunfault

package sysmon

func spread() {}
