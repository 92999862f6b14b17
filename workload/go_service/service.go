package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	largestBody = 64 * 1024
	patience    = 2 * time.Second
)

// release is what the artefact says of itself; the same program is every service and every version.
type release struct {
	System  string `json:"system"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Fault   string `json:"fault"`
}

type service struct {
	release  release
	database *database
	cache    *cache
	metrics  *metrics
}

func readRelease(path string) (release, error) {
	var found release
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	return found, err
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

type said map[string]string

func (s *service) health(w http.ResponseWriter, _ *http.Request) {
	if s.release.Fault == "health" {
		answer(w, 500, said{"status": "unhealthy"})
		return
	}
	answer(w, 200, said{"status": "healthy"})
}

// connected is how a dependency answers: a service that has no variables for it does not use it.
func connected(err error) (string, bool) {
	switch {
	case err == nil:
		return "connected", true
	case errors.Is(err, errNotUsed):
		return "not used", true
	}
	return "disconnected", false
}

func (s *service) dependency(w http.ResponseWriter, err error) {
	word, ok := connected(err)
	status := 200
	if !ok {
		status = 503
	}
	answer(w, status, said{"status": word})
}

func (s *service) healthDB(w http.ResponseWriter, r *http.Request) {
	s.dependency(w, s.database.probe(r.Context()))
}

func (s *service) healthRedis(w http.ResponseWriter, r *http.Request) {
	s.dependency(w, s.cache.probe(r.Context()))
}

func (s *service) healthReady(w http.ResponseWriter, r *http.Request) {
	asked := make(chan error, 1)
	go func() { asked <- s.cache.probe(r.Context()) }()
	db, dbOK := connected(s.database.probe(r.Context()))
	redis, redisOK := connected(<-asked)
	body := said{"status": "ready", "db": db, "redis": redis}
	if !dbOK || !redisOK || s.release.Fault == "health" {
		body["status"] = "not ready"
		answer(w, 503, body)
		return
	}
	answer(w, 200, body)
}

func (s *service) version(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, said{"version": s.release.Version})
}

func (s *service) items(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*patience)
	defer cancel()
	switch r.Method {
	case http.MethodGet:
		s.listItems(ctx, w)
	case http.MethodPost:
		s.addItem(ctx, w, r)
	default:
		answer(w, 405, said{"error": "expected GET or POST"})
	}
}

func (s *service) listItems(ctx context.Context, w http.ResponseWriter) {
	items, err := s.database.items(ctx)
	if err == nil {
		var reads int64
		if reads, err = s.cache.count(ctx, "items:reads"); err == nil {
			answer(w, 200, map[string]any{"items": items, "reads": reads})
			return
		}
	}
	s.unavailable(w, err)
}

func (s *service) addItem(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, largestBody+1))
	if len(body) > largestBody {
		answer(w, 413, said{"error": "too large"})
		return
	}
	var item struct {
		Name string `json:"name"`
	}
	if err != nil || json.Unmarshal(body, &item) != nil || item.Name == "" || len(item.Name) > 200 {
		answer(w, 422, said{"error": "expected a name of 1 to 200 characters"})
		return
	}
	id, err := s.database.addItem(ctx, item.Name)
	if err == nil {
		var writes int64
		if writes, err = s.cache.count(ctx, "items:writes"); err == nil {
			answer(w, 201, map[string]any{"id": id, "writes": writes})
			return
		}
	}
	s.unavailable(w, err)
}

func (s *service) unavailable(w http.ResponseWriter, err error) {
	if errors.Is(err, errNotUsed) {
		answer(w, 501, said{"error": "this service uses no database"})
		return
	}
	answer(w, 503, said{"error": "a dependency does not answer"})
}
