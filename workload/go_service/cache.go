package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/gomodule/redigo/redis"
)

type cache struct {
	pool *redis.Pool
	name string
}

// newCache reads REDIS_URL, else REDIS_HOST and its sisters; it connects when it is first asked.
func newCache(name string) (*cache, error) {
	address, host := os.Getenv("REDIS_URL"), os.Getenv("REDIS_HOST")
	if address == "" && host == "" {
		return &cache{}, nil
	}
	db, err := strconv.Atoi(first("0", "REDIS_DB"))
	if err != nil {
		return nil, errors.New("REDIS_DB is no whole number")
	}
	options := []redis.DialOption{
		redis.DialConnectTimeout(span(time.Second, "REDIS_DIAL_TIMEOUT")),
		redis.DialReadTimeout(span(time.Second, "REDIS_READ_TIMEOUT")),
		redis.DialWriteTimeout(span(time.Second, "REDIS_WRITE_TIMEOUT")),
	}
	if address == "" {
		options = append(options, redis.DialUsername(os.Getenv("REDIS_USERNAME")),
			redis.DialPassword(os.Getenv("REDIS_PASSWORD")), redis.DialDatabase(db))
	}
	dial := func(ctx context.Context) (redis.Conn, error) {
		if address != "" {
			return redis.DialURL(address, options...)
		}
		return redis.DialContext(ctx, "tcp", net.JoinHostPort(host, first("6379", "REDIS_PORT")), options...)
	}
	return &cache{name: name, pool: &redis.Pool{
		DialContext: dial,
		MaxActive:   number(2, "REDIS_POOL_SIZE"),
		MaxIdle:     number(2, "REDIS_MIN_IDLE_CONNS"),
		IdleTimeout: 5 * time.Minute,
		Wait:        true,
		// A kept connection dies with a restart of the server.
		TestOnBorrow: func(c redis.Conn, since time.Time) error {
			if time.Since(since) < time.Second {
				return nil
			}
			_, err := c.Do("PING")
			return err
		},
	}}, nil
}

// probe is a real PING, SET and GET.
func (c *cache) probe(ctx context.Context) error {
	if c.pool == nil {
		return errNotUsed
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	token := hex.EncodeToString(random)
	key := c.name + ":probe:" + token // one a probe: two at a time must not read each other's value
	return c.with(ctx, func(conn redis.Conn) error {
		if _, err := conn.Do("PING"); err != nil {
			return err
		}
		if _, err := conn.Do("SET", key, token, "EX", 10); err != nil {
			return err
		}
		back, err := redis.String(conn.Do("GET", key))
		if err == nil && back != token {
			err = errors.New("another value came back than was set")
		}
		return err
	})
}

// count adds one to a counter; without a cache there is none to count in.
func (c *cache) count(ctx context.Context, name string) (int64, error) {
	if c.pool == nil {
		return 0, nil
	}
	var total int64
	err := c.with(ctx, func(conn redis.Conn) (err error) {
		total, err = redis.Int64(conn.Do("INCR", c.name+":"+name))
		return err
	})
	return total, err
}

func (c *cache) with(ctx context.Context, do func(redis.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := c.pool.GetContext(ctx)
	if err == nil {
		err = do(conn)
		_ = conn.Close()
	}
	if err != nil {
		logLine("error", "Redis connection or command failed", fields{"error": err.Error()})
	}
	return err
}

func (c *cache) close() {
	if c.pool != nil {
		_ = c.pool.Close()
	}
}
