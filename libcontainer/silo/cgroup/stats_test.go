package cgroup

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestParseStats(t *testing.T) {
	var b Blkio
	b.ioStat("8:16 rbytes=1459200 wbytes=314 rios=192 wios=3 dbytes=0 dios=0\n253:0\n")
	want := Blkio{
		ServiceBytes: []BlkioEntry{{8, 16, "Read", 1459200}, {8, 16, "Write", 314}},
		Serviced:     []BlkioEntry{{8, 16, "Read", 192}, {8, 16, "Write", 3}},
	}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("io.stat: %+v", b)
	}
	if got := blkioEntries("8:0 Read 5\n8:0 Total 5\n8:1 7\nTotal 5\n"); !reflect.DeepEqual(got, []BlkioEntry{{8, 0, "Read", 5}, {8, 0, "Total", 5}, {8, 1, "", 7}}) {
		t.Errorf("blkio: %+v", got)
	}
	if got := list("0-2,7\n"); !reflect.DeepEqual(got, []uint16{0, 1, 2, 7}) {
		t.Errorf("cpuset: %v", got)
	}
	if got := list("\n"); got != nil {
		t.Errorf("empty cpuset: %v", got)
	}
	p := pressure("some avg10=0.12 avg60=0.05 avg300=0.01 total=8856\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=7\n")
	if !reflect.DeepEqual(p, &Pressure{Stall{0.12, 0.05, 0.01, 8856}, Stall{1, 0, 0, 7}}) {
		t.Errorf("pressure: %+v", p)
	}
	if number("max\n") != 1<<64-1 || number("12\n") != 12 || number("") != 0 {
		t.Error("number")
	}
	var c CPU
	c.perCPU("cpu user system\n0 5 6\n1 7 8\n")
	if !reflect.DeepEqual(c.Usage.PercpuUser, []uint64{5, 7}) || !reflect.DeepEqual(c.Usage.PercpuKernel, []uint64{6, 8}) {
		t.Errorf("per cpu: %+v", c)
	}
	if sum(5, 1<<64-1) != 1<<64-1 || sum(2, 3) != 5 {
		t.Error("sum")
	}
}

// The names are those consumers of `runc events --stats` read.
func TestStatsNames(t *testing.T) {
	s := Stats{Hugetlb: map[string]HugePage{"2MB": {Usage: 1}}}
	s.Pids.Current = 3
	s.CPU.Usage.Total = 4
	s.Blkio.ServiceBytes = []BlkioEntry{{8, 1, "Read", 2}}
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cpu":{"usage":{"total":4,"kernel":0,"user":0},"throttling":{}},` +
		`"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},` +
		`"memory":{"usage":{"limit":0,"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},` +
		`"pids":{"current":3},"blkio":{"ioServiceBytesRecursive":[{"major":8,"minor":1,"op":"Read","value":2}]},` +
		`"hugetlb":{"2MB":{"usage":1,"failcnt":0}},"intel_rdt":{},"network_interfaces":null}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
