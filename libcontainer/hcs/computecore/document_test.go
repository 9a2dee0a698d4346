package computecore

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestTableIsDocumented: docs/windows.md has every row.
func TestTableIsDocumented(t *testing.T) {
	const file, begin, end = "../../../docs/windows.md", "<!-- table -->\n", "<!-- /table -->\n"
	var b strings.Builder
	b.WriteString("| number | name | cause | cure |\n|---|---|---|---|\n")
	for _, r := range Table() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", number8(r.Code), r.Name, r.Cause, r.Cure)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	table, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	if table == b.String() {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is not Table(); -update rewrites it", file)
	}
	if err := os.WriteFile(file, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// number8 is a code as an HRESULT of the service's own family, or Windows'.
func number8(c Code) string { return fmt.Sprintf("0x%08X", 0x8000_0000|uint32(c)) }
