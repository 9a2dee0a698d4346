package jsonscan

import (
	"encoding/json"
	"testing"
)

// TestNumber: what Skip passes over as a number is what encoding/json takes for one.
func TestNumber(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "7", "-7", "10", "1234567890123456789012345678901234567890", "0.5", "-0.05", "1.0e5", "1E5", "1e+05", "1e-5", "0e0",
		"", "-", "+1", "01", "-01", "00", ".5", "1.", "-.5", "1.e5", "1e", "1e+", "e5", "1.5.5", "1-2", "--1", "1e5e5", "0x10", "1_0", "1a", "NaN", "Infinity",
	} {
		in := []byte(`{"unknown":` + text + `}`)
		d := Decoder{Text: string(in)}
		got := d.Object(func(d *Decoder, name string) bool { return d.Skip() })
		if want := json.Valid(in); got != want {
			t.Errorf("%s is taken for a number: %v, want %v", text, got, want)
		}
	}
}
