package main

import (
	"encoding/json"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v2"
)

func featuresCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:  "features",
		Usage: "print what this build of wrun recognizes (features.md of the runtime specification)",
		Action: func(c *cli.Context) error {
			if err := between(c, 0, 0); err != nil {
				return err
			}
			// CRI-O parses stdout and stderr together: nothing else may be printed.
			e := json.NewEncoder(c.App.Writer)
			e.SetIndent("", "  ")
			return e.Encode(supported())
		},
	}
}

// supported is known when wrun is compiled; it never looks at the machine.
// features.md: a value that is left out means "unknown", so what is not built
// says false.
func supported() features.Features {
	f := features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		Annotations: map[string]string{
			"org.wrun.version": version,
			"org.wrun.commit":  commit,
		},
	}
	if runtime.GOOS == "windows" {
		// features.md has no object for Windows. These annotations of a bundle
		// can weaken its isolation: they size and open the utility VM.
		f.PotentiallyUnsafeConfigAnnotations = []string{"io.microsoft.", "org.wrun.hyperv."}
	}
	addHostFeatures(&f)
	return f
}
