package computecore

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// Every HCS code there is, in both families, and the Win32 numbers that users
// of HCS meet.
func TestTableIsComplete(t *testing.T) {
	// 0x103 and 0x104 exist in the old family only, and winerror.h has nothing
	// between 0x11F and the codes of virtual networks.
	for low := uint32(0x100); low <= 0x11F; low++ {
		name, cause, _, ok := Describe(0x8037_0000 | low)
		if !ok || cause == "" || !(strings.HasPrefix(name, "HCS_E_") || low == 0x103 || low == 0x104) {
			t.Errorf("0x8037%04X: %q, %q", low, name, cause)
		}
		if old, _, _, _ := Describe(0xC037_0000 | low); old != name {
			t.Errorf("0xC037%04X is %q, 0x8037%04X %q", low, old, low, name)
		}
	}
	for _, win32 := range []uint32{2, 3, 5, 6, 0x20, 0x32, 0x57, 0x70, 0x7E, 0x7F, 0x10B, 0x422, 0x424, 0x426, 0x490, 0x5B4, 0x6BA, 0x6BE} {
		name, _, _, ok := Describe(0x8007_0000 | win32)
		if !ok {
			t.Errorf("0x8007%04X is not in the table", win32)
		}
		if plain, _, _, _ := Describe(win32); plain != name {
			t.Errorf("%d is %q, 0x8007%04X %q", win32, plain, win32, name)
		}
	}
}

func TestTableIsSorted(t *testing.T) {
	table := Table()
	names := map[string]bool{}
	for i, row := range table {
		if i > 0 && table[i-1].Code >= row.Code {
			t.Errorf("%s (0x%08X) is out of order", row.Name, uint32(row.Code))
		}
		if got, ok := lookup(row.Code); !ok || got != row {
			t.Errorf("%s is not found", row.Name)
		}
		if row.Name == "" || row.Cause == "" || names[row.Name] {
			t.Errorf("0x%08X: %+v", uint32(row.Code), row)
		}
		names[row.Name] = true
		for _, text := range []string{row.Cause, row.Cure} {
			if strings.HasSuffix(text, ".") || strings.ContainsAny(text, "\r\n") {
				t.Errorf("%s: %q", row.Name, text)
			}
		}
	}
	table[0].Name = "changed"
	if Table()[0].Name == "changed" {
		t.Error("Table hands out the table itself")
	}
}

func TestCodeOf(t *testing.T) {
	for hresult, want := range map[uint32]Code{
		0x8037010E: ErrSystemNotFound,
		0xC037010E: ErrSystemNotFound,
		0x80070490: ErrNotFound,
		0x490:      ErrNotFound,
		0x8007010B: 0x0007_010B, // ERROR_DIRECTORY, not HCS_E_UNKNOWN_MESSAGE
		0x8037010B: 0x0037_010B,
		0x80004001: 0x0000_4001,
		0x80010108: 0x0001_0108,
		0xC000013A: 0xC000_013A, // STATUS_CONTROL_C_EXIT is no Win32 error 0x13A
		0xD0000034: 0xD000_0034,
		0:          0,
	} {
		if got := CodeOf(hresult); got != want {
			t.Errorf("CodeOf(0x%08X) = 0x%08X, want 0x%08X", hresult, uint32(got), uint32(want))
		}
	}
}

func TestErrorIs(t *testing.T) {
	for _, test := range []struct {
		hresult uint32
		is      Code
		isNot   Code
	}{
		{0xC037010E, ErrSystemNotFound, ErrNotFound},
		{0x8037010E, ErrSystemNotFound, ErrAlreadyStopped},
		{0x8037010F, ErrSystemAlreadyExists, ErrSystemNotFound},
		{0xC0370110, ErrAlreadyStopped, ErrProcessAlreadyStopped},
		{0x80370105, ErrInvalidState, ErrAlreadyStopped},
		{0x8037011F, ErrProcessAlreadyStopped, ErrAlreadyStopped},
		{0x80070490, ErrNotFound, ErrSystemNotFound},
		{0x80070005, ErrAccessDenied, ErrNotSupported},
		{0x8037011B, ErrAccessDenied, ErrNotFound},
		{0x80370114, ErrServiceNotAvailable, ErrServiceDisconnect},
		{0x80070426, ErrServiceNotAvailable, ErrTimeout},
		{0x8007007E, ErrServiceNotAvailable, ErrNotSupported},
		{0x800706BA, ErrServiceNotAvailable, ErrServiceDisconnect},
		{0x800706BE, ErrServiceDisconnect, ErrServiceNotAvailable},
		{0x8037011E, ErrServiceDisconnect, ErrTimeout},
		{0x80370118, ErrTimeout, ErrPending},
		{0xC0370109, ErrTimeout, ErrServiceDisconnect},
		{0x800705B4, ErrTimeout, ErrPending},
		{0xC0370103, ErrPending, ErrTimeout},
		{0x80370117, ErrPending, ErrTimeout},
		{0x80070032, ErrNotSupported, ErrAccessDenied},
		{0x8007007F, ErrNotSupported, ErrServiceNotAvailable},
		{0x8007010B, 0x0007_010B, 0x0037_010B},
	} {
		err := fmt.Errorf("starting: %w", &Error{Op: "start", HRESULT: test.hresult})
		if !errors.Is(err, test.is) {
			t.Errorf("0x%08X is not %v", test.hresult, test.is)
		}
		if errors.Is(err, test.isNot) {
			t.Errorf("0x%08X is %v", test.hresult, test.isNot)
		}
		if errors.Is(err, io.EOF) {
			t.Errorf("0x%08X is io.EOF", test.hresult)
		}
	}
}

// The messages users read, and the table that docs/windows.md shows.
func TestMessagesGolden(t *testing.T) {
	var b strings.Builder
	for _, e := range []*Error{
		{Op: "create compute system", Object: "c1", HRESULT: 0xC037010F},
		{Op: "list compute systems", HRESULT: 0x80070426},
		{Op: "start compute system", Object: "c1", HRESULT: 0x80371234},
		{Op: "start compute system", Object: "c1", HRESULT: 0x80370118, Message: "no answer within 2s", InFlight: true},
		{Op: "create process in compute system", Object: "c1", HRESULT: 0x80070002, Message: "The system cannot find the file specified.\r\n", Events: []Event{
			{Message: "Failed to start.", Provider: "{80CE50DE-D264-4581-950D-ABADEEE0D340}", EventID: 1, Source: "onecore\\vm\\compute.cpp:12"},
			{Message: "", StackTrace: "a\nb", Data: []Datum{{"", "x.exe"}, {"Parameter0", "7"}}},
		}},
	} {
		fmt.Fprintf(&b, "%v\n\thint: %s\n", e, e.Hint())
	}
	b.WriteString("\n")
	for _, row := range Table() {
		fmt.Fprintf(&b, "%08X %s: %s (%s)\n", uint32(row.Code), row.Name, row.Cause, row.Cure)
	}
	const golden = "testdata/messages.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("the messages changed; run with -update and read them:\n%s", b.String())
	}
}

func TestCodePrints(t *testing.T) {
	if s := ErrSystemNotFound.Error(); s != "HCS_E_SYSTEM_NOT_FOUND" {
		t.Error(s)
	}
	if s := Code(0x0037_0999).Error(); s != "HRESULT 0x80370999" {
		t.Error(s)
	}
}
