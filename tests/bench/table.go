//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// median of the wall times; the mean of the middle two if even.
func median(samples []sample) time.Duration {
	wall := make([]time.Duration, len(samples))
	for i, s := range samples {
		wall[i] = s.wall
	}
	slices.Sort(wall)
	middle := len(wall) / 2
	if len(wall)%2 == 1 {
		return wall[middle]
	}
	return (wall[middle-1] + wall[middle]) / 2
}

func minimum(samples []sample) time.Duration {
	return slices.MinFunc(samples, func(a, b sample) int { return int(a.wall - b.wall) }).wall
}

// meanCPU answers the mean user and system times. Where the machine is busy
// they tell more than wall times.
func meanCPU(samples []sample) (user, sys time.Duration) {
	for _, s := range samples {
		user += s.user
		sys += s.sys
	}
	n := time.Duration(len(samples))
	return user / n, sys / n
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func printRows(out io.Writer, rows []row) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "command\truntime\tn\tmedian ms\tminimum ms\tmean user ms\tmean system ms\twrun's median to it\twrun's minimum to it\t")
	for _, r := range rows {
		ofMedian, ofMinimum := "", ""
		for _, own := range rows {
			if own.command == r.command && own.runtime == "wrun" && r.runtime != "wrun" {
				ofMedian = fmt.Sprintf("%.3f", ratio(median(own.samples), median(r.samples)))
				ofMinimum = fmt.Sprintf("%.3f", ratio(minimum(own.samples), minimum(r.samples)))
			}
		}
		user, sys := meanCPU(r.samples)
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.command, r.runtime, len(r.samples),
			ms(median(r.samples)), ms(minimum(r.samples)), ms(user), ms(sys), ofMedian, ofMinimum)
	}
	w.Flush()
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func printMemory(out io.Writer, all map[string]memoryUse) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "runtime\tpeak of run, KiB\tcharged to a created container, KiB\t")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(w, "%s\t%d\t%d\t\n", name, all[name].peak, all[name].charged>>10)
	}
	w.Flush()
}
