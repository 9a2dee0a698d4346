// Command web is a Windows program that serves HTTP, and asks for it: built with
// GOOS=windows go build.
//
//	web :8080
//	web get http://localhost:8080/
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "get" {
		get(os.Args[2])
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "hello from %s on %s, you asked for %s\n", runtime.GOOS, host, r.URL.Path)
	})
	fmt.Println("listening on", os.Args[1])
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

func get(url string) {
	r, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.Copy(os.Stdout, r.Body); err != nil {
		log.Fatal(err)
	}
}
