package silo

// mkdirNumber: there is none here.
const mkdirNumber = -1
