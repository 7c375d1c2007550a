// Package serve runs an HTTP handler as a program that a benchmark starts and stops.
//
// The program says on stdout when it accepts, in one line and no other, and ends when it is asked to.
package serve

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// How long the connections that are open get to be closed in good order.
const closeWait = 10 * time.Second

// Main is a program's main: it serves what open gives until SIGTERM or SIGINT and exits with 0, or with 1
// if it cannot, saying why on stderr.
func Main(open func() (Server, error)) {
	if err := run(os.Args[1:], os.Stdout, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Server is what is served.
type Server struct {
	Handler http.Handler
	// Close ends the connections that the handler has taken over. Nil if their end may be that of the process.
	Close func(context.Context) error
}

func run(args []string, stdout io.Writer, open func() (Server, error)) error {
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	address := flags.String("listen", "127.0.0.1:0", "address to listen on; port 0 is any that is free")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w; the only argument is --listen ADDRESS:PORT", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; the only argument is --listen ADDRESS:PORT", flags.Arg(0))
	}
	asked, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	served, err := open()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	return serve(asked, listener, stdout, served)
}

// serve serves until asked is done.
func serve(asked context.Context, listener net.Listener, stdout io.Writer, served Server) error {
	server := &http.Server{Handler: served.Handler}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(stdout, "listening on %s\n", listener.Addr()); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-asked.Done():
	}
	if served.Close != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		if err := served.Close(ctx); err != nil {
			return fmt.Errorf("closing connections: %w", err)
		}
	}
	return server.Close()
}
