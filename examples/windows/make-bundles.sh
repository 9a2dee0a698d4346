#!/bin/sh
# make-bundles.sh DIRECTORY builds the three Windows programs of this folder, each
# in a bundle of its own: DIRECTORY/web (Go), DIRECTORY/hello (C), DIRECTORY/batch.
# It needs Go and mingw: sh tests/setup.sh gcc-mingw-w64-x86-64-win32.
set -eu

[ $# = 1 ] || { echo "usage: make-bundles.sh DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
cd -P "$(dirname "$0")" # for go, which looks for go.mod above

for name in web hello batch; do
	mkdir -p "$to/$name/app"
	cp $name/config.json "$to/$name/"
done
GOOS=windows GOARCH=amd64 CGO_ENABLED=0 go build -buildvcs=false -ldflags='-s -w' -o "$to/web/app/web.exe" ./web
x86_64-w64-mingw32-gcc -municode -O2 -s -o "$to/hello/app/hello.exe" hello/hello.c -ladvapi32
cp batch/check.bat "$to/batch/app/"
