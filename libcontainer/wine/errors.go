package wine

import "errors"

var (
	errNotC = errors.New(`is not on drive C:, the only one that a container has`)
	errName = errors.New(`has a character that no file name on Windows has`)
)
