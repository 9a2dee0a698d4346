package computecore

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseResult(t *testing.T) {
	for _, test := range []struct {
		name, document string
		hresult        uint32
		message        string
		events         []Event
	}{
		{"none", "", 0, "", nil},
		{"null", "null", 0, "", nil},
		{"signed", `{"Error":-2147024894,"ErrorMessage":"m"}`, 0x80070002, "m", nil},
		{"unsigned", `{"Error":3224830223,"ErrorMessage":"m"}`, 0xC037010F, "m", nil},
		{"unknown fields", `{"Error":1,"New":{"a":[1]},"ErrorEvents":[{"Message":"e","Newer":true}]}`, 1, "", []Event{{Message: "e"}}},
		{"wrong types", `{"Error":"?","ErrorMessage":7,"ErrorEvents":[{"Message":{"a":1},"EventId":"x"}]}`, 0, "7", []Event{{Message: `{"a":1}`}}},
		{"everything", `{"ErrorEvents":[{"Message":"e","StackTrace":"s","Provider":"p","EventId":11,"Flags":2,"Source":"f.cpp","Data":[{"Type":"String","Value":"v"},"bare",5]}]}`,
			0, "", []Event{{"e", "s", "p", 11, 2, "f.cpp", []Datum{{"String", "v"}, {"", "bare"}, {"", "5"}}}}},
		{"data without a list", `{"ErrorEvents":[{"Message":"e","Data":"v"}]}`, 0, "", []Event{{Message: "e", Data: []Datum{{"", "v"}}}}},
		{"not JSON", "catastrophe", 0, "catastrophe", nil},
		{"another document", `[1]`, 0, "[1]", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			hresult, message, events := parseResult([]byte(test.document))
			if hresult != test.hresult || message != test.message || !reflect.DeepEqual(events, test.events) {
				t.Errorf("0x%08X %q %+v", hresult, message, events)
			}
		})
	}
}

func TestParseResultIsBounded(t *testing.T) {
	document := `{"ErrorMessage":"` + strings.Repeat("m", 1<<20) + `","ErrorEvents":[` + strings.Repeat(`{"Message":"e","Data":[`+strings.Repeat("1,", 99)+`1]},`, 999) + `{}]}`
	_, message, events := parseResult([]byte(document))
	if len(message) > maxTextBytes+len("…") || len(events) != maxEvents+1 || len(events[0].Data) != maxData {
		t.Errorf("%d bytes, %d events, %d data", len(message), len(events), len(events[0].Data))
	}
	if got := events[maxEvents].Message; got != "968 more events" {
		t.Error(got)
	}
}

func TestParseProcessExit(t *testing.T) {
	for document, want := range map[string]processExit{
		`{"ProcessId":7,"Exited":true,"ExitCode":3221225786,"LastWaitResult":0}`:           {true, 0xC000013A, 0},
		`{"ProcessId":7,"Exited":true,"ExitCode":-1073741510}`:                             {true, 0xC000013A, 0},
		`{"ProcessId":7,"Exited":false,"ExitCode":259}`:                                    {false, 259, 0},
		`{"ProcessId":7,"Exited":true,"ExitCode":0,"LastWaitResult":-2143878903,"New":[]}`: {true, 0, 0x80370109},
	} {
		if got, ok := parseProcessExit([]byte(document)); !ok || got != want {
			t.Errorf("%s: %+v, %v", document, got, ok)
		}
	}
	for _, document := range []string{"", "{", "7", "{}", `{"Exited":true}`} {
		if got, ok := parseProcessExit([]byte(document)); ok {
			t.Errorf("%s: %+v", document, got)
		}
	}
}

func TestParseSystemExit(t *testing.T) {
	for document, want := range map[string]SystemExit{
		`{"Status":0,"ExitType":"GracefulExit"}`:             {Type: "GracefulExit"},
		`{"Status":-1070137082,"ExitType":"UnexpectedExit"}`: {Status: 0xC0370106, Type: "UnexpectedExit"},
		``: {Type: "Unknown"},
	} {
		if got := parseSystemExit([]byte(document)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", document, got)
		}
	}
	for document, want := range map[string]bool{
		`{"Id":"c1","State":"Stopped","ExitType":"ForcedExit"}`: true,
		`{"Id":"c1","Stopped":true}`:                            true,
		`{"Id":"c1","State":"Running","Stopped":false}`:         false,
		``: false,
	} {
		if _, got := stoppedSystem([]byte(document)); got != want {
			t.Errorf("%s: %v", document, got)
		}
	}
}

func FuzzParseResult(f *testing.F) {
	f.Add(`{"Error":-2147024894,"ErrorMessage":"m","ErrorEvents":[{"Message":"e","Data":[{"Type":"a","Value":1},null]}]}`)
	f.Add(`{"ErrorEvents":[null]}`)
	f.Fuzz(func(t *testing.T, document string) {
		hresult, message, events := parseResult([]byte(document))
		if len(events) > maxEvents+1 || len(message) > maxTextBytes+len("…") {
			t.Errorf("%d events, %d bytes", len(events), len(message))
		}
		text := (&Error{Op: "o", HRESULT: hresult, Message: message, Events: events}).Error()
		if strings.ContainsAny(text, "\r\n") {
			t.Errorf("more than one line: %q", text)
		}
		if utf8.ValidString(document) && strings.Count(text, "\x00") > strings.Count(document, "\x00")+strings.Count(document, `\u0000`) {
			t.Errorf("bytes from nowhere: %q", text)
		}
		parseProcessExit([]byte(document))
		parseSystemExit([]byte(document))
		stoppedSystem([]byte(document))
	})
}
