package hcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// decode reads a document into a schema struct and refuses what the schema
// does not have: a field with another name (also in another case, which
// encoding/json would take), a value of another type, a variant that is not
// listed, something after the document. Errors are invalidJSON and name the
// field by its path.
func decode(document string, into any) error {
	var tree any
	d := json.NewDecoder(strings.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return refuse("", "the document is no JSON: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return refuse("", "something follows the document")
	}
	if _, isObject := tree.(map[string]any); !isObject && reflect.TypeOf(into).Elem().Kind() == reflect.Struct {
		return refuse("", "the document is no object")
	}
	if err := check(tree, reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(document), into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return refuse(wrong.Field, "a JSON %s is no %s", wrong.Value, wrong.Type)
		}
		return refuse("", "%v", err)
	}
	return nil
}

func refuse(field, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if field == "" {
		return &failure{result: invalidJSON, text: text}
	}
	return &failure{result: invalidJSON, text: "field " + field + ": " + text, data: []string{field}}
}

// variants is a string of the schema with a closed set of values.
type variants interface{ variants() []string }

var rawMessage = reflect.TypeFor[json.RawMessage]()

// check walks a document along the type that it should have.
func check(tree any, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if tree == nil || t == rawMessage || t.Kind() == reflect.Interface {
		return nil
	}
	if v, closed := reflect.Zero(t).Interface().(variants); closed {
		s, _ := tree.(string)
		if !slices.Contains(v.variants(), s) {
			return refuse(path, "%v is none of %s", tree, strings.Join(v.variants(), ", "))
		}
		return nil
	}
	switch node := tree.(type) {
	case map[string]any:
		return checkObject(node, t, path)
	case []any:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			return refuse(path, "an array where a %s should be", t)
		}
		if t.Kind() == reflect.Array && len(node) != t.Len() {
			return refuse(path, "%d elements, want %d", len(node), t.Len())
		}
		for i, element := range node {
			if err := check(element, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkObject(node map[string]any, t reflect.Type, path string) error {
	var field func(name string) (reflect.Type, bool)
	switch t.Kind() {
	case reflect.Map:
		field = func(string) (reflect.Type, bool) { return t.Elem(), true }
	case reflect.Struct:
		field = func(name string) (reflect.Type, bool) { return fieldType(t, name) }
	default:
		return refuse(path, "an object where a %s should be", t)
	}
	for name, value := range node {
		at := name
		if path != "" {
			at = path + "." + name
		}
		ft, known := field(name)
		if !known {
			return refuse(at, "the schema has no such field")
		}
		if err := check(value, ft, at); err != nil {
			return err
		}
	}
	return nil
}

func fieldType(t reflect.Type, name string) (reflect.Type, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			tag = f.Name
		}
		if tag == name {
			return f.Type, true
		}
	}
	return nil, false
}

// isObject says that a document that may be anything is an object.
func isObject(document []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(document), []byte("{"))
}
