//go:build ignore

// gentables writes tables.go: the system call numbers of every architecture
// the compiler knows, taken from the kernel headers as Debian packages them.
//
//	apt-get install gcc linux-libc-dev linux-libc-dev-{arm64,armhf,ppc64el,riscv64,s390x}-cross
//	go generate ./libcontainer/silo/seccomp
//
// -root names a directory the packages were unpacked to instead.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// headers says where an architecture's numbers are. The order is the order of
// the columns, which arch.go names.
var headers = []struct {
	column, dir, file string
	define            []string
}{
	{"X86_64", "/usr/include/x86_64-linux-gnu", "asm/unistd_64.h", nil},
	{"X86", "/usr/include/x86_64-linux-gnu", "asm/unistd_32.h", nil},
	{"X32", "/usr/include/x86_64-linux-gnu", "asm/unistd_x32.h", []string{"__X32_SYSCALL_BIT=0"}},
	{"AARCH64", "/usr/aarch64-linux-gnu/include", "asm/unistd.h", nil},
	{"ARM", "/usr/arm-linux-gnueabihf/include", "asm/unistd.h", []string{"__ARM_EABI__"}},
	{"PPC64LE", "/usr/powerpc64le-linux-gnu/include", "asm/unistd_64.h", nil},
	{"RISCV64", "/usr/riscv64-linux-gnu/include", "asm/unistd.h", []string{"__LP64__"}},
	{"S390X", "/usr/s390x-linux-gnu/include", "asm/unistd_64.h", nil},
	{"S390", "/usr/s390x-linux-gnu/include", "asm/unistd_32.h", nil},
}

// newer are the system calls younger than Debian 12's headers. Since number
// 424 the kernel gives one number to all architectures
// (scripts/syscall.tbl: "common").
var newer = []struct {
	name   string
	number int
}{
	{"cachestat", 451}, {"fchmodat2", 452}, {"map_shadow_stack", 453},
	{"futex_wake", 454}, {"futex_wait", 455}, {"futex_requeue", 456},
	{"statmount", 457}, {"listmount", 458}, {"lsm_get_self_attr", 459},
	{"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
	{"setxattrat", 463}, {"getxattrat", 464}, {"listxattrat", 465},
	{"removexattrat", 466}, {"open_tree_attr", 467}, {"file_getattr", 468},
	{"file_setattr", 469}, {"listns", 470}, {"rseq_slice_yield", 471},
}

// newerOf are the younger system calls of single architectures.
var newerOf = []struct {
	column, name string
	number       int
}{
	{"X86_64", "uretprobe", 335}, {"X32", "uretprobe", 335},
	{"X86_64", "uprobe", 336}, {"X32", "uprobe", 336},
	{"RISCV64", "riscv_hwprobe", 258},
	{"S390X", "memfd_secret", 447}, {"S390", "memfd_secret", 447},
}

const (
	none       = 0xffff
	armPrivate = 0x0f0000 // first number of ARM's private calls
	slots      = 1000     // public numbers lie below, ARM's private ones are stored from here on
)

func main() {
	log.SetFlags(0)
	root := flag.String("root", "", "directory the Debian packages were unpacked to")
	flag.Parse()
	table := map[string][]int{}
	set := func(column int, name string, number int) {
		row := table[name]
		if row == nil {
			row = make([]int, len(headers))
			for i := range row {
				row[i] = none
			}
			table[name] = row
		}
		if number >= armPrivate && number < armPrivate+8 {
			number = slots + number - armPrivate
		} else if number < 0 || number >= slots {
			log.Fatalf("%s: number %d does not fit the table", name, number)
		}
		row[column] = number
	}
	for i, h := range headers {
		dir := *root + h.dir
		if _, err := os.Stat(dir); err != nil {
			dir = h.dir
		}
		for name, number := range read(dir, h.file, h.define) {
			set(i, name, number)
		}
		for _, n := range newer {
			set(i, n.name, n.number)
		}
		for _, n := range newerOf {
			if n.column == h.column {
				set(i, n.name, n.number)
			}
		}
	}
	write(table)
}

var define = regexp.MustCompile(`^#define __(?:NR|NR3264|ARM_NR)_(\w+) (.+)$`)

// read asks the C preprocessor for the macros of a header and resolves them.
func read(dir, file string, defines []string) map[string]int {
	args := []string{"-E", "-dM", "-nostdinc", "-I", dir}
	for _, d := range defines {
		args = append(args, "-D"+d)
	}
	cmd := exec.Command("cc", append(args, dir+"/"+file)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		log.Fatalf("preprocess %s/%s: %v", dir, file, err)
	}
	values := map[string]string{}
	for _, d := range defines {
		if k, v, ok := strings.Cut(d, "="); ok {
			values[k] = v
		}
	}
	names := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.SplitN(line, " ", 3); len(f) == 3 {
			values[f[1]] = f[2]
		}
		if m := define.FindStringSubmatch(line); m != nil {
			switch name := m[1]; name {
			case "syscalls", "arch_specific_syscall", "SYSCALL_BASE", "SYSCALL_MASK", "BASE", "OABI_SYSCALL_BASE":
			default:
				names[name] = strings.Fields(line)[1]
			}
		}
	}
	numbers := map[string]int{}
	for name, macro := range names {
		if strings.HasPrefix(macro, "__NR3264_") {
			if _, public := names[name]; public && names[name] != macro {
				continue
			}
			if _, public := values["__NR_"+name]; !public {
				continue // a template both word sizes share; the real name resolves to it
			}
		}
		numbers[name] = eval(macro, values)
	}
	return numbers
}

// eval resolves a macro made of names, numbers, parentheses and additions.
func eval(expr string, values map[string]string) int {
	sum := 0
	for _, term := range strings.FieldsFunc(expr, func(r rune) bool { return strings.ContainsRune("()+ \t", r) }) {
		if n, err := strconv.ParseInt(term, 0, 64); err == nil {
			sum += int(n)
		} else if v, ok := values[term]; ok {
			sum += eval(v, values)
		} else {
			log.Fatalf("%s in %q is not defined", term, expr)
		}
	}
	return sum
}

func write(table map[string][]int) {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	sort.Strings(names)
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by gentables.go from the kernel's headers; DO NOT EDIT.\n\npackage seccomp\n\n")
	fmt.Fprintf(&b, "const (\n\tnameCount = %d\n\tcolumnCount = %d\n)\n\n", len(names), len(headers))
	fmt.Fprintf(&b, "// names are all names in byte order, one behind the other.\nconst names = \"\" +\n")
	offsets, at := []int{0}, 0
	for i := 0; i < len(names); i += 8 {
		row := strings.Join(names[i:min(i+8, len(names))], "")
		plus := " +"
		if i+8 >= len(names) {
			plus = ""
		}
		fmt.Fprintf(&b, "\t%q%s\n", row, plus)
	}
	for _, n := range names {
		at += len(n)
		offsets = append(offsets, at)
	}
	fmt.Fprintf(&b, "\n// nameEnds[i] is where name i starts in names and name i-1 ends.\nvar nameEnds = [nameCount + 1]uint16{")
	ints(&b, offsets)
	fmt.Fprintf(&b, "}\n\n// numbers[column][i] is the number of name i, or noNumber.\nvar numbers = [columnCount][nameCount]uint16{\n")
	for c, h := range headers {
		fmt.Fprintf(&b, "\t{ // %s", h.column)
		column := make([]int, len(names))
		for i, n := range names {
			column[i] = table[n][c]
		}
		ints(&b, column)
		fmt.Fprintf(&b, "\t},\n")
	}
	fmt.Fprintf(&b, "}\n")
	src, err := format.Source(b.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("tables.go", src, 0o644); err != nil {
		log.Fatal(err)
	}
}

func ints(b *bytes.Buffer, v []int) {
	for i, n := range v {
		if i%24 == 0 {
			b.WriteString("\n\t\t")
		} else {
			b.WriteByte(' ')
		}
		fmt.Fprintf(b, "%d,", n)
	}
	b.WriteString("\n")
}
