// Package signals lets a command read the signals it gets.
package signals
