package main

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// errNotUsed: the service has no variables for this dependency.
var errNotUsed = errors.New("not used")

const createItems = `CREATE TABLE IF NOT EXISTS items (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created timestamptz NOT NULL DEFAULT now()
)`

type database struct {
	pool *sql.DB
	// connections that were refused or broke off, as Prometheus reads it.
	lost atomic.Int64
}

type item struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Created string `json:"created"`
}

// newDatabase reads DATABASE_URL, else POSTGRES_*, DB_* or libpq's PG*; it connects when it is first asked.
func newDatabase(name string) (*database, error) {
	address := databaseURL()
	if address == "" {
		return &database{}, nil
	}
	// Statements with parameters in one message: a pooler may send the next one to another connection.
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("DATABASE_URL is no address")
	}
	query := parsed.Query()
	for key, value := range map[string]string{
		"binary_parameters": "yes", "connect_timeout": "2", "application_name": name,
		"sslmode": first("disable", "PGSSLMODE", "POSTGRES_SSLMODE", "DB_SSLMODE"),
	} {
		if query.Get(key) == "" {
			query.Set(key, value)
		}
	}
	parsed.RawQuery = query.Encode()
	pool, err := sql.Open("postgres", parsed.String())
	if err != nil {
		return nil, errors.New("the database's variables make no address")
	}
	pool.SetMaxOpenConns(number(2, "DB_MAX_OPEN_CONNS", "DB_MAX_CONNECTIONS", "DB_POOL_SIZE"))
	pool.SetMaxIdleConns(number(2, "DB_MAX_IDLE_CONNS", "DB_MIN_CONNECTIONS"))
	pool.SetConnMaxLifetime(span(5*time.Minute, "DB_CONN_MAX_LIFETIME", "DB_MAX_LIFETIME"))
	pool.SetConnMaxIdleTime(span(5*time.Minute, "DB_MAX_IDLE_TIME"))
	return &database{pool: pool}, nil
}

func databaseURL() string {
	if address := os.Getenv("DATABASE_URL"); address != "" {
		return address
	}
	host := first("", "POSTGRES_HOST", "DB_HOST", "PGHOST")
	if host == "" {
		return ""
	}
	user := first("postgres", "POSTGRES_USER", "DB_USER", "PGUSER")
	made := url.URL{
		Scheme: "postgres",
		User:   url.UserPassword(user, first("", "POSTGRES_PASSWORD", "DB_PASSWORD", "PGPASSWORD")),
		Host:   host + ":" + first("5432", "POSTGRES_PORT", "DB_PORT", "PGPORT"),
		Path:   "/" + first(user, "POSTGRES_DB", "DB_NAME", "PGDATABASE"),
	}
	return made.String()
}

func (d *database) probe(ctx context.Context) error {
	if d.pool == nil {
		return errNotUsed
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var sessions int
	err := d.pool.QueryRowContext(
		ctx, "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()").Scan(&sessions)
	return d.failed(err)
}

func (d *database) items(ctx context.Context) ([]item, error) {
	found := []item{}
	err := d.withItems(ctx, func() error {
		rows, err := d.pool.QueryContext(ctx, "SELECT id, name, created FROM items ORDER BY id DESC LIMIT 20")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var one item
			var created time.Time
			if err := rows.Scan(&one.ID, &one.Name, &created); err != nil {
				return err
			}
			one.Created = created.Format(time.RFC3339)
			found = append(found, one)
		}
		return rows.Err()
	})
	return found, err
}

func (d *database) addItem(ctx context.Context, name string) (int64, error) {
	var id int64
	err := d.withItems(ctx, func() error {
		return d.pool.QueryRowContext(ctx, "INSERT INTO items (name) VALUES ($1) RETURNING id", name).Scan(&id)
	})
	return id, err
}

// withItems does something with the table, which is made first where it is not there and this role may.
func (d *database) withItems(ctx context.Context, do func() error) error {
	if d.pool == nil {
		return errNotUsed
	}
	err := do()
	var refused *pq.Error
	if errors.As(err, &refused) && refused.Code == "42P01" {
		if _, err = d.pool.ExecContext(ctx, createItems); err == nil {
			err = do()
		}
	}
	return d.failed(err)
}

func (d *database) failed(err error) error {
	if err != nil {
		logLine("error", "Database connection or query failed", fields{"error": err.Error()})
		if !ofStatement(err) {
			d.lost.Add(1)
		}
	}
	return err
}

// ofStatement: the server took the connection and refused what was asked, or nobody waits any more.
func ofStatement(err error) bool {
	var refused *pq.Error
	if errors.As(err, &refused) {
		switch refused.Code.Class() {
		// Connection, authorization, too many of them, shutting down.
		case "08", "28", "53", "57":
			return false
		}
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrNoRows)
}

func (d *database) close() {
	if d.pool != nil {
		_ = d.pool.Close()
	}
}

// first is the first of these variables that is set.
func first(otherwise string, names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return otherwise
}

func number(otherwise int, names ...string) int {
	if value, err := strconv.Atoi(first("", names...)); err == nil {
		return value
	}
	return otherwise
}

func span(otherwise time.Duration, names ...string) time.Duration {
	if value, err := time.ParseDuration(first("", names...)); err == nil {
		return value
	}
	return otherwise
}
