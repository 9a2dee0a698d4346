package libcontainer

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/jsonscan"
)

func fullFacts() *facts {
	return &facts{
		Version:   factsVersion,
		ID:        "c1",
		Bundle:    "/bundles/\"quoted\"\\ \n\t\x01 ünï \u2028",
		Rootfs:    "/bundles/c1/rootfs",
		Isolation: Isolation{Kind: Silo, OS: "linux", Host: "linux", Reason: "no windows.hyperv section"},
		Created:   time.Date(2026, 11, 23, 16, 7, 35, 123456789, time.UTC),
		Boot:      "0f0f",
		NoProcess: true,
		Hooks:     true,
		Complete:  true,
		Annotations: map[string]string{
			"": "", "a": "b", "io.kubernetes.cri.container-type": "sandbox", "\x7f": "<&>",
		},
		Handle: Handle(`{"pid":12,"list":[1,2,{"x":null}],"s":"}"}`),
	}
}

func TestFactsRoundTrip(t *testing.T) {
	for _, f := range []*facts{
		fullFacts(),
		{Version: factsVersion, ID: "c1", Handle: Handle(`0`)},
	} {
		data := f.append(nil)
		if !json.Valid(data) {
			t.Fatalf("no JSON: %s", data)
		}
		d := jsonscan.Decoder{Text: string(data)}
		if !d.Object(new(facts).member) {
			t.Errorf("reading stops at byte %d and leaves the facts to encoding/json: %s", d.At, data)
		}
		got, err := parseFacts(data, "c1")
		if err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if !reflect.DeepEqual(got, f) {
			t.Errorf("got  %+v\nwant %+v", got, f)
		}
	}
}

// A field that is added to facts must be added to append; nothing else would notice.
func TestFactsEncoderKnowsEveryField(t *testing.T) {
	f := fullFacts()
	for i := range reflect.TypeFor[facts]().NumField() {
		if reflect.ValueOf(*f).Field(i).IsZero() {
			t.Errorf("fullFacts leaves %s empty: the round trip does not prove it", reflect.TypeFor[facts]().Field(i).Name)
		}
	}
}

// FuzzFacts: what is read without encoding/json is what it would have read.
func FuzzFacts(f *testing.F) {
	good := string(fullFacts().append(nil))
	f.Add(good)
	f.Add(strings.Replace(good, "c1", "\\u00e9\\ud800", 1))
	f.Add(strings.Replace(good, "true", "null", 1))
	f.Add(`{"version":1.0,"id":"c1","created":"yesterday"}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := decodeFacts([]byte(text))
		want := new(facts)
		if wrong := json.Unmarshal([]byte(text), want); (err != nil) != (wrong != nil) {
			t.Fatalf("%v, encoding/json says %v", err, wrong)
		} else if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestParseFactsRefuses(t *testing.T) {
	good := string(fullFacts().append(nil))
	for name, c := range map[string]struct {
		data, id string
		damaged  bool
	}{
		"empty":             {"", "c1", true},
		"half":              {good[:len(good)/2], "c1", true},
		"zeroes":            {strings.Repeat("\x00", 100), "c1", true},
		"two":               {good + good, "c1", true},
		"no object":         {`[]`, "c1", true},
		"no version":        {`{"id":"c1","handle":{}}`, "c1", true},
		"other id":          {good, "c2", true},
		"no handle":         {`{"version":1,"id":"c1"}`, "c1", true},
		"null handle":       {`{"version":1,"id":"c1","handle":null}`, "c1", true},
		"newer":             {`{"version":2,"id":"c1","handle":{}}`, "c1", false},
		"newer, other type": {`{"version":2,"id":["c1"]}`, "c1", false},
	} {
		f, err := parseFacts([]byte(c.data), c.id)
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, f)
		} else if errors.Is(err, errDamaged) != c.damaged {
			t.Errorf("%s: %v, damaged %v", name, err, !c.damaged)
		} else if !c.damaged && Hint(err) == "" {
			t.Errorf("%s: no cure for %v", name, err)
		}
	}
}

// What decodes must survive being saved again, whoever wrote it.
func FuzzParseFacts(f *testing.F) {
	f.Add(fullFacts().append(nil))
	f.Add((&facts{Version: factsVersion, ID: "c1", Handle: Handle(`{}`)}).append(nil))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"id":"c1","created":"2026-11-23T16:07:35+01:00","handle":[1e999]}`))
	f.Add([]byte(`{"version":1,"id":"c1","annotations":{"\ud800":"\u0000"},"handle":" "}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := parseFacts(data, "c1")
		if err != nil {
			return
		}
		second, err := parseFacts(first.append(nil), "c1")
		if err != nil {
			t.Fatalf("saved again: %v\n%s", err, first.append(nil))
		}
		if !first.Created.Equal(second.Created) {
			t.Errorf("created %v, saved again %v", first.Created, second.Created)
		}
		first.Created, second.Created = time.Time{}, time.Time{} // zones with a name compare by pointer
		if len(first.Annotations) == 0 {
			first.Annotations = nil
		}
		if !reflect.DeepEqual(first, second) {
			t.Errorf("first  %+v\nsecond %+v", first, second)
		}
	})
}

func TestState(t *testing.T) {
	f := fullFacts()
	s := f.state(specs.StateRunning, 7)
	want := map[string]string{AnnotationIsolation: "silo", AnnotationHost: "linux"}
	for k, v := range f.Annotations {
		want[k] = v
	}
	if !reflect.DeepEqual(s.Annotations, want) {
		t.Errorf("annotations %v", s.Annotations)
	}
	if len(f.Annotations) != 4 {
		t.Error("rendering the state changed the facts")
	}
	s.Annotations = nil
	if !reflect.DeepEqual(s, &specs.State{Version: "1.3.0", ID: "c1", Status: "running", Pid: 7, Bundle: f.Bundle}) {
		t.Errorf("%+v", s)
	}
}

func BenchmarkFactsAppend(b *testing.B) {
	f := fullFacts()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		f.append(buf)
	}
}
