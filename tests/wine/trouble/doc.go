// Package trouble is tests/wine/life's other half: bundles that cannot work, the
// wrong Windows, a service that fails, hangs or goes, a wrun that is killed, and
// the faults of runhcs.
package trouble
