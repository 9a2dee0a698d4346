package bundle

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/jsonscan"
)

// corpus is the shared collection of configurations, good and bad.
const corpus = "../../tests/testdata/bundles"

func corpusFiles(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(corpus, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus in %s: %v", filepath.Join(corpus, pattern), err)
	}
	return files
}

// agree holds the generated decoder against encoding/json: where it takes the
// data, both must give the same Spec; it reports whether it took it.
func agree(t *testing.T, data []byte) bool {
	t.Helper()
	if !utf8.Valid(data) {
		return false // refused before the decoder sees it
	}
	var fast, slow specs.Spec
	d := jsonscan.Decoder{Text: string(data)}
	took := d.Peek() == '{' && decSpec(&d, &fast) && d.Peek() == 0 && d.At == len(data)
	if !took {
		return false
	}
	if err := json.Unmarshal(data, &slow); err != nil {
		t.Fatalf("the generated decoder takes what encoding/json refuses: %v\n%s", err, data)
	}
	if !reflect.DeepEqual(fast, slow) {
		t.Fatalf("differs from encoding/json\n%s", data)
	}
	return true
}

func TestDecoderAgreesWithStandard(t *testing.T) {
	for _, f := range corpusFiles(t, "*/*.json") {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		took := agree(t, data)
		if strings.Contains(f, "/good/") && !took && !strings.Contains(f, "fallback") {
			t.Errorf("%s: the generated decoder leaves an ordinary file to encoding/json", f)
		}
	}
}

// fill sets every field of v, so that the round trip below meets each of them.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
		fill(v.Index(1), depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, depth+1)
		v.SetMapIndex(reflect.ValueOf("a \"key\" of \u00e9"), e)
	case reflect.String:
		v.SetString("text <&> \u2028 \"\\\n\t\U0001f600")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]any{"x": []any{"y", 1.5, nil}}))
	default:
		if v.CanInt() {
			v.SetInt(-int64(uint64(1) << (v.Type().Bits() - 1)))
		} else {
			v.SetUint(^uint64(0) >> (64 - v.Type().Bits()))
		}
	}
}

func TestDecoderKnowsEveryField(t *testing.T) {
	var s specs.Spec
	fill(reflect.ValueOf(&s).Elem(), 0)
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if !agree(t, data) {
		t.Fatalf("a Spec with every field set is left to encoding/json:\n%s", data)
	}
	var back specs.Spec
	d := jsonscan.Decoder{Text: string(data)}
	if !decSpec(&d, &back) || !reflect.DeepEqual(back, s) {
		t.Error("a Spec with every field set does not come back as it was")
	}
	if d.Bare {
		t.Error("nothing is missing, yet bare is set")
	}
}

func TestDecoderEdges(t *testing.T) {
	for _, c := range []struct {
		json string
		took bool
	}{
		{`{}`, true},
		{" \t\r\n{ }\n", true},
		{`{"mounts":[]}`, true},
		{`{"mounts":null,"process":null,"annotations":{}}`, true},
		{`{"annotations":{"a":"\u00e9\ud83d\ude00\ud800\b\f\n\r\t\/"}}`, true},
		{`{"annotations":{"a":"\ud800\u0041"}}`, true},
		{`{"unknown":{"a":[1.5e3,-0,true,null,"\u0000"]}}`, true},
		{`{"process":{"user":{"uid":4294967295}}}`, true},
		{`{"process":{"oomScoreAdj":-0}}`, true},
		{`{"windows":{"credentialSpec":{"a":[1,2]}}}`, true},
		// Left to encoding/json, or wrong.
		{`{"Hostname":"x"}`, false},
		{`{"vm":{"hwConfig":{}}}`, false},
		{`{"hostname":"a","hostname":"b"}`, false},
		{`{"annotations":{"a":"1","a":"2"}}`, false},
		{`{"process":{"user":{"uid":-1}}}`, false},
		{`{"process":{"user":{"uid":4294967296}}}`, false},
		{`{"process":{"user":{"uid":1.0}}}`, false},
		{`{"process":{"user":{"uid":1e3}}}`, false},
		{`{"process":{"user":{"uid":01}}}`, false},
		{`{"process":{"terminal":"true"}}`, false},
		{`{"process":{"terminal":tru}}`, false},
		{`{"mounts":{}}`, false},
		{`{"mounts":[{}`, false},
		{`{"mounts":[{},]}`, false},
		{`{"mounts":[,]}`, false},
		{`{"hostname":"a",}`, false},
		{`{"hostname" "a"}`, false},
		{`{"hostname":"a` + "\n" + `"}`, false},
		{`{"hostname":"\x"}`, false},
		{`{"hostname":"\u12g4"}`, false},
		{`{"hostname":"abc`, false},
		{`{"hostname":"\`, false},
		{`{"unknown":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, false},
		{`{"unknown":1..2}`, false},
		{`{} {}`, false},
		{`[]`, false},
		{``, false},
	} {
		if took := agree(t, []byte(c.json)); took != c.took {
			t.Errorf("%s: taken %v, want %v", c.json, took, c.took)
		}
	}
}

// The walk of explain must know every type of the Spec, and find nothing wrong
// with a Spec that has every field set. No top-level property is a number.
func TestExplainKnowsEveryField(t *testing.T) {
	var s specs.Spec
	fill(reflect.ValueOf(&s).Elem(), 0)
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	absent, problems := explain("", data, reflect.TypeFor[specs.Spec]())
	if len(problems) > 0 || len(absent) > 0 {
		t.Errorf("missing %v, wrong %v", absent, problems)
	}
	for f := range reflect.TypeFor[specs.Spec]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if _, problems := explain("", []byte(`{"`+name+`":1.5}`), reflect.TypeFor[specs.Spec]()); len(problems) != 1 || problems[0].Path != name {
			t.Errorf("%s = 1.5: %v", name, problems)
		}
	}
}

// The slow path must end in the same Spec as encoding/json, too.
func TestFallback(t *testing.T) {
	for _, data := range []string{
		`{"Hostname":"x"}`,
		`{"vm":{"hwConfig":{"vcpus":2},"kernel":{"path":"/k"}}}`,
		`{"annotations":{"a":"\u0000"}}`,
		`{"Windows":{"credentialSpec":{"a":["\u0000"]},"layerFolders":["x"]},"process":{"user":{"username":"x"}}}`,
		`{"unknown":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`,
	} {
		var want specs.Spec
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatal(err)
		}
		b, err := Parse("/bundle", []byte(data))
		if err != nil {
			t.Errorf("%.60s: %v", data, err)
		} else if !reflect.DeepEqual(*b.Spec, want) {
			t.Errorf("%.60s: got %+v, want %+v", data, *b.Spec, want)
		}
	}
}

// The generated file must be what the generator writes for the runtime-spec of
// this module; a new version that adds a field fails here.
func TestGeneratedIsCurrent(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to run the generator with")
	}
	out := filepath.Join(t.TempDir(), "gen.go")
	if msg, err := exec.Command("go", "run", "./internal/gen", "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("decode_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("decode_gen.go is out of date; run go generate ./libcontainer/bundle")
	}
}

// FuzzLoad: whatever the bytes, Parse neither panics nor differs from
// encoding/json where both succeed, and what it refuses has a reason.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(corpus, "*/*.json"))
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && len(data) < 8<<10 {
			f.Add(data)
		}
	}
	f.Add([]byte(`{"process":{"user":{"uid":1},"env":["A=\ud83d\ude00"]},"x":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		agree(t, data)
		b, err := Parse("/bundle", data)
		var want specs.Spec
		std := json.Unmarshal(data, &want)
		if err != nil {
			if e, ok := err.(*Error); !ok || len(e.Problems) == 0 || strings.TrimSpace(e.Error()) == "" {
				t.Fatalf("refused without a reason: %#v", err)
			}
			return
		}
		if std != nil {
			t.Fatalf("accepts what encoding/json refuses: %v", std)
		}
		for _, target := range []Target{{"linux", false}, {"linux", true}, {"windows", false}, {"windows", true}} {
			if err := b.Check(target); err != nil && err.Error() == "" {
				t.Fatal("an error without a text")
			}
		}
	})
}
