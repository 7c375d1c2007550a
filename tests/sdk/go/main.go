// Programs that use the Go SDK alone. The first argument says which: a failed check ends it with an error.
package main

import (
	"log"
	"os"
)

func main() {
	log.SetFlags(log.Lshortfile)
	scripts := map[string]func(){"protocol": protocol, "follow": follow, "refresh": refresh}
	script, known := scripts[os.Args[1]]
	check(known, "no such script: %s", os.Args[1])
	script()
}
