package cgroup

import (
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func entry(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	d := specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: access}
	if major >= 0 {
		d.Major = &major
	}
	if minor >= 0 {
		d.Minor = &minor
	}
	return d
}

var denyAll = entry(false, "", -1, -1, "rwm")

func lines(t *testing.T, list []specs.LinuxDeviceCgroup) []string {
	t.Helper()
	rules, err := deviceRules(list)
	if err != nil {
		t.Fatal(err)
	}
	var l []string
	for _, w := range deviceWrites(rules) {
		l = append(l, map[bool]string{true: "+", false: "-"}[w.allow]+w.line)
	}
	return l
}

func TestDeviceWrites(t *testing.T) {
	defaults := []string{
		"+c *:* m", "+b *:* m", "+c 1:3 rwm", "+c 1:5 rwm", "+c 1:7 rwm", "+c 1:8 rwm", "+c 1:9 rwm",
		"+c 5:0 rwm", "+c 5:1 rwm", "+c 5:2 rwm", "+c 136:* rwm",
	}
	for _, c := range []struct {
		name string
		list []specs.LinuxDeviceCgroup
		want []string
	}{
		{"none", nil, append([]string{"-a"}, defaults...)},
		{"listed order, then the defaults", []specs.LinuxDeviceCgroup{
			denyAll, entry(true, "c", 10, 229, "rwm"), entry(true, "b", 8, 20, "rw"), entry(false, "b", 10, 200, "r"), entry(true, "u", 7, -1, "wr"),
		}, append([]string{"-a", "+c 10:229 rwm", "+b 8:20 rw", "-b 10:200 r", "+c 7:* rw"}, defaults...)},
		{"what a rule about everything overrules is dropped", []specs.LinuxDeviceCgroup{entry(true, "c", 10, 229, "rwm"), denyAll}, append([]string{"-a"}, defaults...)},
		{"privileged", []specs.LinuxDeviceCgroup{denyAll, entry(true, "a", -1, -1, "rwm")}, []string{"+a"}},
		{"all, but for some", []specs.LinuxDeviceCgroup{entry(true, "a", -1, -1, ""), entry(false, "b", -1, -1, "w")}, append([]string{"+a", "-b *:* w"}, defaults...)},
		{"both kinds, not everything", []specs.LinuxDeviceCgroup{entry(true, "", -1, -1, "r")}, append([]string{"-a", "+c *:* r", "+b *:* r"}, defaults...)},
	} {
		if got := lines(t, c.list); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %v\nwant %v", c.name, got, c.want)
		}
	}
	for _, bad := range []specs.LinuxDeviceCgroup{entry(true, "p", 1, 1, "r"), entry(true, "c", 1, 1, "x"), entry(true, "c", 1<<40, 1, "r")} {
		if _, err := deviceRules([]specs.LinuxDeviceCgroup{denyAll, bad}); err == nil || !strings.Contains(err.Error(), "devices[1]") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// interpret runs a device program as the kernel would, and fails on whatever
// its verifier would not take.
func interpret(t *testing.T, p []instruction, kind, access uint32, major, minor uint32) bool {
	t.Helper()
	context := map[int16]uint64{0: uint64(access<<16 | kind), 4: uint64(major), 8: uint64(minor)}
	var reg [11]uint64
	set := [11]bool{regContext: true}
	for pc := 0; ; pc++ {
		if pc >= len(p) {
			t.Fatal("the program does not end")
		}
		i := p[pc]
		dst, src := i.regs&15, i.regs>>4
		need := func(r byte) {
			if !set[r] {
				t.Fatalf("instruction %d reads r%d, which is not set", pc, r)
			}
		}
		switch i.code {
		case opLoadWord:
			v, ok := context[i.off]
			if src != regContext || !ok {
				t.Fatalf("instruction %d loads from r%d+%d", pc, src, i.off)
			}
			reg[dst], set[dst] = v, true
		case opMoveImm:
			reg[dst], set[dst] = uint64(int64(i.imm)), true
		case opMoveReg:
			need(src)
			reg[dst], set[dst] = reg[src], true
		case opAndImm:
			need(dst)
			reg[dst] &= uint64(int64(i.imm))
		case opShiftImm:
			need(dst)
			reg[dst] >>= uint64(i.imm)
		case opTimesImm:
			need(dst)
			reg[dst] *= uint64(int64(i.imm))
		case opAddImm:
			need(dst)
			reg[dst] += uint64(int64(i.imm))
		case opOrImm:
			need(dst)
			reg[dst] |= uint64(int64(i.imm))
		case opXorImm:
			need(dst)
			reg[dst] ^= uint64(int64(i.imm))
		case opOrReg:
			need(dst)
			need(src)
			reg[dst] |= reg[src]
		case opAndReg:
			need(dst)
			need(src)
			reg[dst] &= reg[src]
		case opExit:
			need(regAnswer)
			if reg[regAnswer] > 1 {
				t.Fatalf("the answer is %d, which the kernel does not take", reg[regAnswer])
			}
			return reg[regAnswer] == 1
		default:
			t.Fatalf("instruction %d has unknown code %#x", pc, i.code)
		}
	}
}

// decide is what the rules mean, said plainly: for each access asked for, the
// last rule that matches.
func decide(rules []rule, kind byte, access byte, major, minor int64) bool {
	for bit := accessMknod; bit <= accessWrite; bit <<= 1 {
		if access&bit == 0 {
			continue
		}
		allowed := false
		for _, r := range rules {
			if (r.kind == 'a' || r.kind == kind) && (r.major == all || r.major == major) && (r.minor == all || r.minor == minor) && r.access&bit != 0 {
				allowed = r.allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

var deviceLists = [][]specs.LinuxDeviceCgroup{
	nil,
	{denyAll},
	{entry(true, "a", -1, -1, "rwm")},
	{denyAll, entry(true, "c", 10, 229, "rw"), entry(true, "b", 8, -1, "r"), entry(false, "b", 8, 1, "r")},
	{entry(true, "a", -1, -1, "rwm"), entry(false, "b", -1, -1, "w"), entry(true, "b", 8, 1, "w")},
	{denyAll, entry(true, "c", 10, 200, "r"), entry(true, "c", 10, 200, "w"), entry(false, "", 8, -1, "m")},
	{entry(true, "", -1, -1, "r"), entry(false, "c", -1, 3, "rwm")},
}

func TestDeviceProgram(t *testing.T) {
	for n, list := range deviceLists {
		rules, err := deviceRules(list)
		if err != nil {
			t.Fatal(err)
		}
		p := deviceProgram(rules)
		yes := 0
		for kind, code := range map[byte]uint32{'c': kindChar, 'b': kindBlock} {
			for access := byte(1); access <= accessAll; access++ {
				for _, major := range []uint32{1, 5, 8, 10, 136, 300} {
					for _, minor := range []uint32{0, 1, 2, 3, 200, 229} {
						got := interpret(t, p, code, uint32(access), major, minor)
						want := decide(rules, kind, access, int64(major), int64(minor))
						if got != want {
							t.Errorf("list %d: %c %d:%d access %d: %v, want %v", n, kind, major, minor, access, got, want)
						}
						if got {
							yes++
						}
					}
				}
			}
		}
		if yes == 0 {
			t.Errorf("list %d allows nothing, not even the defaults", n)
		}
	}
}
