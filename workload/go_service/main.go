// The stand-in for a service in Go: health by real questions, metrics, a line of JSON a request, a graceful end.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	slowBy = 2 * time.Second
	// A proxy that keeps idle connections must not find them closed: longer than any such proxy waits.
	idle = 75 * time.Second
)

func main() {
	host := flag.String("host", "127.0.0.1", "the address to listen on, a loopback one")
	port := flag.Int("port", 0, "the port to listen on")
	drain := flag.Duration("drain", 30*time.Second, "how long requests in flight may take after SIGTERM")
	flag.Parse()
	release, err := readRelease("../release.json")
	if err != nil {
		fatal("release.json: %v", err)
	}
	if release.Fault == "crash" {
		fatal("this build is broken and ends at start")
	}
	if ip := net.ParseIP(*host); ip == nil || !ip.IsLoopback() || *port < 1 {
		fatal("found --host %s --port %d, expected a loopback address and a port", *host, *port)
	}
	database, err := newDatabase(release.Name)
	if err != nil {
		fatal("%v", err)
	}
	cache, err := newCache(release.Name)
	if err != nil {
		fatal("%v", err)
	}
	service := &service{release: release, database: database, cache: cache, metrics: newMetrics()}
	server := &http.Server{
		Addr:              net.JoinHostPort(*host, strconv.Itoa(*port)),
		Handler:           service.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       idle,
	}
	serve(server, service, *drain)
}

// serve answers until SIGTERM or SIGINT, and then until the requests in flight are done.
func serve(server *http.Server, service *service, drain time.Duration) {
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		fatal("%v", err)
	}
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	logLine("info", "serves", fields{"service": service.release.Name, "version": service.release.Version})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		fatal("%v", err)
	case <-stopping.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		logLine("error", "requests were cut off", fields{"error": err.Error()})
	}
	service.database.close()
	service.cache.close()
	logLine("info", "stopped", fields{"service": service.release.Name, "version": service.release.Version})
}

// handler is every path that the service answers.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", s.health)
	mux.HandleFunc("/health/ready", s.healthReady)
	mux.HandleFunc("/health/db", s.healthDB)
	mux.HandleFunc("/health/redis", s.healthRedis)
	mux.HandleFunc("/version", s.version)
	mux.HandleFunc("/metrics", s.prometheus)
	mux.HandleFunc("/api/items", s.items)
	// Only from this host (DF-83): whatever a proxy sends is marked as such.
	mux.HandleFunc("/debug/pprof/", local(pprof.Index))
	mux.HandleFunc("/debug/pprof/profile", local(pprof.Profile))
	mux.HandleFunc("/debug/pprof/trace", local(pprof.Trace))
	mux.HandleFunc("/debug/pprof/symbol", local(pprof.Symbol))
	return s.observed(mux)
}

func local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("X-Real-IP") != "" {
			http.NotFound(w, r)
			return
		}
		next(w, r)
	}
}

func fatal(format string, words ...any) {
	fmt.Fprintf(os.Stderr, "fatal: "+format+"\n", words...)
	os.Exit(3)
}
