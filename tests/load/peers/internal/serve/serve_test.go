package serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

func hello() (Server, error) {
	return Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})}, nil
}

func TestItSaysWhereItListensInOneLineAndEndsWhenAsked(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			stdout, writer := io.Pipe()
			closed := false
			ended := make(chan error, 1)
			go func() {
				err := run(nil, writer, func() (Server, error) {
					served, err := hello()
					served.Close = func(context.Context) error { closed = true; return nil }
					return served, err
				})
				_ = writer.Close()
				ended <- err
			}()
			lines := bufio.NewReader(stdout)
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("no line: %v, %v", err, <-ended)
			}
			address, told := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "listening on ")
			if !told || !strings.HasPrefix(address, "127.0.0.1:") {
				t.Fatalf("unexpected line: %q", line)
			}
			if body := get(t, address); body != "hello" {
				t.Fatalf("unexpected answer: %q", body)
			}
			if err := syscall.Kill(syscall.Getpid(), signal); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
				t.Fatalf("more than a line: %q, %v", rest, err)
			}
			if err := <-ended; err != nil || !closed {
				t.Fatalf("ended with %v, closed: %t", err, closed)
			}
		})
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestWhatItCannotDoIsAnError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	broken := errors.New("broken")
	cases := map[string]struct {
		args []string
		open func() (Server, error)
		says string
	}{
		"a flag it does not know":      {[]string{"--port", "1"}, hello, "-port"},
		"an argument it does not know": {[]string{"8000"}, hello, `"8000"`},
		"an address in use":            {[]string{"--listen", taken.Addr().String()}, hello, "already in use"},
		"a server that does not open":  {nil, func() (Server, error) { return Server{}, broken }, "broken"},
	}
	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			var stdout strings.Builder
			err := run(one.args, &stdout, one.open)
			if err == nil || !strings.Contains(err.Error(), one.says) || stdout.Len() > 0 {
				t.Fatalf("%v, and on stdout %q", err, stdout.String())
			}
		})
	}
}
