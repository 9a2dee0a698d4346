package wire

import (
	"bytes"
	"reflect"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	text, empty := "grüße 🐳", ""
	var b bytes.Buffer
	q := &Request{PID: 7, Handle: 1 << 40, Fresh: 3, Number: 4, DLL: "d", Function: "F", Args: []*string{&text, nil, &empty}}
	if err := WriteRequest(&b, q); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadRequest(&b); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("request %+v, %v; want %+v", got, err, q)
	}
	a := &Answer{HR: 0x80370105, Numbers: [5]uint64{1, 2, 3, 4, 1 << 63}, Result: &text}
	if err := WriteAnswer(&b, a); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadAnswer(&b); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("answer %+v, %v; want %+v", got, err, a)
	}
	e := &Event{Type: 1, Status: 2, Data: &text}
	if err := WriteEvent(&b, e); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadEvent(&b); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("event %+v, %v; want %+v", got, err, e)
	}
}

// A frame of whatever bytes is an error or a request, never a panic.
func FuzzReadRequest(f *testing.F) {
	text := "x"
	var b bytes.Buffer
	if err := WriteRequest(&b, &Request{DLL: "d", Function: "F", Args: []*string{&text, nil}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{4, 0, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := ReadRequest(bytes.NewReader(data))
		if (q == nil) == (err == nil) {
			t.Errorf("request %v, error %v", q, err)
		}
	})
}
