// Package oci holds wrun against the Open Container Initiative's own tools.
//
// This test is the second opinion on wrun's bundle check: runtime-tools'
// validate package and the JSON schema of runtime-spec judge the same corpus of
// good and bad config.json files. Where they differ from wrun, the reason
// stands in differences_test.go; a difference that is not listed fails, and so
// does one that is listed and gone.
package oci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"
	rfc2119 "github.com/opencontainers/runtime-tools/error"
	"github.com/opencontainers/runtime-tools/specerror"
	"github.com/opencontainers/runtime-tools/validate"
	"github.com/sirupsen/logrus"
	"github.com/xeipuuv/gojsonschema"

	"wrun/libcontainer/bundle"
)

const corpus = "../testdata/bundles"

// target is what libcontainer.Decide reads off a Spec.
func target(b *bundle.Bundle) bundle.Target {
	t := bundle.Target{OS: "linux", VM: b.Spec.Windows != nil && b.Spec.Windows.HyperV != nil}
	if b.Spec.Linux == nil && b.Spec.Windows != nil {
		t.OS = "windows"
	}
	return t
}

// ours is wrun's verdict, with the system the bundle is for.
func ours(dir string) (platform string, err error) {
	b, err := bundle.Load(dir)
	if err != nil {
		return "linux", err
	}
	t := target(b)
	return t.OS, b.Check(t)
}

// tools is runtime-tools' verdict: all its checks but CheckJSONSchema, which
// downloads the schema, and CheckSemVer, which knows only 1.3.0. What it says
// about a SHOULD does not count.
func tools(dir, platform string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("validate panics: %v", p)
		}
	}()
	v, err := validate.NewValidatorFromPath(dir, false, platform)
	if err != nil {
		return err
	}
	var all *multierror.Error
	for _, check := range []func() error{v.CheckPlatform, v.CheckRoot, v.CheckMandatoryFields, v.CheckMounts, v.CheckProcess, v.CheckLinux, v.CheckAnnotations} {
		all = multierror.Append(all, check())
	}
	if platform == "linux" {
		all = multierror.Append(all, v.CheckHooks())
	}
	levels, err := specerror.SplitLevel(all.ErrorOrNil(), rfc2119.Must)
	if err != nil {
		return err
	}
	return levels.Error.ErrorOrNil()
}

// schemaDir is runtime-spec's schema in the module cache.
func schemaDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Fatalf("find runtime-spec: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "schema")
}

func bySchema(schema *gojsonschema.Schema, data []byte) error {
	result, err := schema.Validate(gojsonschema.NewBytesLoader(data))
	if err != nil {
		return err
	}
	var all []error
	for _, e := range result.Errors() {
		all = append(all, errors.New(e.String()))
	}
	return errors.Join(all...)
}

func verdict(err error) string {
	if err == nil {
		return "accepts"
	}
	return "refuses"
}

func TestSecondOpinion(t *testing.T) {
	logrus.SetOutput(io.Discard)
	schema, err := gojsonschema.NewSchema(gojsonschema.NewReferenceLoader("file://" + filepath.Join(schemaDir(t), "config-schema.json")))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(corpus, "*", "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("only %d files in the corpus: %v", len(files), err)
	}
	unused := map[string]bool{}
	for k := range differences {
		unused[k] = true
	}
	agreed := 0
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file)) + "/" + strings.TrimSuffix(filepath.Base(file), ".json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
			t.Fatal(err)
		}
		platform, our := ours(dir)
		for opinion, their := range map[string]error{
			"tools":  tools(dir, platform),
			"schema": bySchema(schema, data),
		} {
			key := opinion + " " + verdict(their) + " " + name
			_, listed := differences[key]
			delete(unused, key)
			switch differ := (our == nil) != (their == nil); {
			case differ && !listed:
				t.Errorf("%q: wrun %s it\n  wrun: %v\n  %s: %v", key, verdict(our), our, opinion, their)
			case !differ && listed:
				t.Errorf("%q is listed as a difference, but both agree", key)
			case !differ:
				agreed++
			}
		}
	}
	for key := range unused {
		t.Errorf("%q is listed as a difference, but there is no such verdict", key)
	}
	t.Logf("%d files, two other opinions on each: %d agree with wrun, %d differ for listed reasons", len(files), agreed, len(differences))
}
