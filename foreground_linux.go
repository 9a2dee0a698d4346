package main

import "wrun/libcontainer/signals"

type signalSource = *signals.Pipe

func collectSignals() (signalSource, error) { return signals.Collect() }
