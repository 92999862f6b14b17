package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

type fields map[string]any

var logLock sync.Mutex

// logLine writes one line of JSON to standard output, where the journal reads it.
func logLine(level, message string, more fields) {
	line := fields{"time": time.Now().UTC().Format(time.RFC3339Nano), "level": strings.ToUpper(level), "message": message}
	for key, value := range more {
		line[key] = value
	}
	data, _ := json.Marshal(line)
	logLock.Lock()
	defer logLock.Unlock()
	_, _ = os.Stdout.Write(append(data, '\n'))
}

var bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2.5, 5, 10}

type seen struct {
	method string
	status int
}

// metrics are the counters of this process, as Prometheus reads them.
type metrics struct {
	lock     sync.Mutex
	started  time.Time
	requests map[seen]int
	buckets  []int
	seconds  float64
	count    int
}

func newMetrics() *metrics {
	return &metrics{started: time.Now(), requests: map[seen]int{}, buckets: make([]int, len(bounds))}
}

func (m *metrics) observe(method string, status int, took time.Duration) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.requests[seen{method, status}]++
	m.seconds += took.Seconds()
	m.count++
	for index, bound := range bounds {
		if took.Seconds() <= bound {
			m.buckets[index]++
		}
	}
}

func (m *metrics) render(release release, database *database) string {
	m.lock.Lock()
	defer m.lock.Unlock()
	var text strings.Builder
	write := func(format string, words ...any) { fmt.Fprintf(&text, format+"\n", words...) }
	write("# TYPE app_info gauge\napp_info{version=%q} 1", release.Version)
	write("# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f", float64(m.started.UnixMilli())/1000)
	write("# TYPE http_requests_total counter")
	keys := make([]seen, 0, len(m.requests))
	for key := range m.requests {
		keys = append(keys, key)
	}
	sort.Slice(keys, func(i, j int) bool { return fmt.Sprint(keys[i]) < fmt.Sprint(keys[j]) })
	for _, key := range keys {
		write("http_requests_total{method=%q,status=\"%d\"} %d", key.method, key.status, m.requests[key])
	}
	write("# TYPE http_request_duration_seconds histogram")
	for index, bound := range bounds {
		write("http_request_duration_seconds_bucket{le=\"%s\"} %d", strconv.FormatFloat(bound, 'g', -1, 64), m.buckets[index])
	}
	write("http_request_duration_seconds_bucket{le=\"+Inf\"} %d", m.count)
	write("http_request_duration_seconds_sum %.6f\nhttp_request_duration_seconds_count %d", m.seconds, m.count)
	if database.pool != nil {
		write("# TYPE db_connection_errors_total counter\ndb_connection_errors_total %d", database.lost.Load())
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	for _, gauge := range []struct {
		name  string
		value uint64
	}{
		{"go_goroutines", uint64(runtime.NumGoroutine())},
		{"go_gomaxprocs", uint64(runtime.GOMAXPROCS(0))},
		{"go_memstats_alloc_bytes", memory.Alloc},
		{"go_memstats_sys_bytes", memory.Sys},
		{"go_memstats_heap_alloc_bytes", memory.HeapAlloc},
		{"go_memstats_heap_sys_bytes", memory.HeapSys},
		{"go_memstats_heap_idle_bytes", memory.HeapIdle},
		{"go_memstats_heap_inuse_bytes", memory.HeapInuse},
		{"go_memstats_heap_released_bytes", memory.HeapReleased},
		{"go_memstats_heap_objects", memory.HeapObjects},
		{"go_memstats_stack_inuse_bytes", memory.StackInuse},
		{"go_memstats_next_gc_bytes", memory.NextGC},
		{"go_memstats_gc_sys_bytes", memory.GCSys},
	} {
		write("# TYPE %s gauge\n%s %d", gauge.name, gauge.name, gauge.value)
	}
	return text.String()
}

func (s *service) prometheus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = w.Write([]byte(s.metrics.render(s.release, s.database)))
}

type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// observed measures, counts and logs each request, with the id that it came with or gets.
func (s *service) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := requestID(r.Header.Get("X-Request-ID"))
		w.Header().Set("X-Request-ID", id)
		if s.release.Fault == "slow" {
			time.Sleep(slowBy)
		}
		answer := &watched{ResponseWriter: w, status: 200}
		next.ServeHTTP(answer, r)
		took := time.Since(start)
		s.metrics.observe(r.Method, answer.status, took)
		if answer.status >= 400 || !quiet(r.URL.Path) {
			level := "info"
			if answer.status >= 500 {
				level = "error"
			}
			logLine(level, fmt.Sprintf("request status_code=%d took %dms", answer.status, took.Milliseconds()), fields{
				"request_id": id, "method": r.Method, "path": r.URL.Path, "status": answer.status,
				"duration_ms": float64(took.Microseconds()) / 1000,
			})
		}
	})
}

// quiet: probes come several times a second; they are logged when they fail.
func quiet(path string) bool {
	return strings.HasPrefix(path, "/health") || path == "/metrics" || path == "/version"
}

// requestID is the caller's own where it is one, else a new one.
func requestID(given string) string {
	if len(given) >= 8 && len(given) <= 64 && strings.Trim(given, "0123456789abcdefABCDEF-") == "" {
		return given
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}
