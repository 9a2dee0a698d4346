package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/urfave/cli/v2"
)

func specCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:  "spec",
		Usage: "write a config.json to start from",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "directory to write it to (default: the working directory)"},
			&cli.BoolFlag{Name: "rootless", Usage: "for a container of an ordinary user (linux)"},
			&cli.StringFlag{Name: "os", Value: runtime.GOOS, Usage: "operating system in the container: linux or windows"},
			&cli.StringFlag{Name: "isolation", Value: "default", Usage: "process, hyperv or default (" + defaultIsolation() + ")"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 0, 0); err != nil {
				return err
			}
			config, err := template(c.String("os"), isolationFor(c.String("os"), c.String("isolation")), c.Bool("rootless"))
			if err != nil {
				return err
			}
			data, err := json.MarshalIndent(config, "", "\t")
			if err != nil {
				return err
			}
			return writeNew(filepath.Join(c.String("bundle"), "config.json"), append(data, '\n'))
		},
	}
}

// isolationFor resolves "default". Windows runs its own bundles as its edition
// does it, and those for Linux only in a utility VM, with their own kernel.
func isolationFor(goos, isolation string) string {
	switch {
	case isolation != "default":
		return isolation
	case runtime.GOOS == "windows" && goos == "linux":
		return "hyperv"
	}
	return defaultIsolation()
}

// writeNew never replaces a file: config.json may be somebody's work.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("File %s exists. Remove it first", filepath.Base(path)) //nolint:staticcheck // runc's text
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
