package main

// hostCommands are those that only this operating system's hosts need: a silo's
// own first process is what engines wait for.
func hostCommands() []command { return nil }
