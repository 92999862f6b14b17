"""What the five runbooks say in numbers, system by system, as a person copied it from them.

A table holds what both environments have, by its path in the inventory; `ALL` what was decided once for all systems,
`STAGING` where staging has something else. A value that is not the runbook's own stands here as it was decided, with
the reason behind it. Of a section that is compared whole, what the inventory leaves to its defaults is left out.

Beside sections, a path may begin with `hosts.ROLE` (how many hosts there are), `in_all.SERVICE` (instances of all hosts
together) or `told.SERVICE` (what a service's first instance finds in its environment, as text).
"""

from __future__ import annotations

from typing import Any

Table = dict[str, Any]

M, G = 1024**2, 1024**3
MINUTE, HOUR, DAY = 60, 3600, 86400

ALL: Table = {
    "secrets.rotation_days": 92,  # quarterly, as EverydayAI's says
    "secrets.overlap_h": 24,  # the life of EverydayAI's tokens, 1440 minutes
    "backup.retention_days": 7,  # as Tchat's says; the others' say nothing
    "backup.keep_min": 3,
    "backup.verify.freshness_h": 26,
    "backup.verify.restore_test": "weekly",  # as TOEIC's says
    "maintenance.announce_h": 48,  # as SpherosegV4's and EverydayAI's say
    "maintenance.post_watch_min": 60,  # as EverydayAI's says
    "nginx.rate_limit": {"enabled": False, "requests_per_s": 50, "burst": 100},  # decided: ready for an incident
    "nginx.upstream_keepalive": 32,  # as TOEIC's says
    "monitoring.retention": 15 * DAY,  # decided: no seed says it
    "rollout.verified_within_h": 24,  # decided
    "gates.staging_verified": True,
    "gates.rollback_plan": True,
}

SUPERINSIGHT: Table = {
    "hosts.web": 1,
    "hosts.app": 2,
    "hosts.db": 1,
    "hosts.cache": 1,
    "hosts.monitoring": 1,
    "legacy_names": {"superinsight-fullstack": "api", "superinsight-api": "api"},
    # Services.
    "services.api.kind": "python",
    "services.api.port": 8000,  # decided: the seed gives none
    "services.api.slots": {"blue": 18000, "green": 28000},
    "in_all.api.base": 4,  # decided (proposed: 3): as many on each of two hosts
    "in_all.api.min": 2,
    "in_all.api.max": 10,
    "scaling.api.counts": {"traffic": 5},
    "scaling.api.least": 2,
    "services.api.limits.memory_max": 1 * G,  # decided (proposed: 2G): five of them fit a host of 8G
    "services.api.limits.cpu_quota_pct": 200,
    "services.api.workers": 1,
    "services.api.pool": 8,  # decided: 2 hosts x 5 instances x 8 = 80, and 87 are there (DF-13)
    "services.api.restart.policy": "on-failure",  # fix: supervisor always restarts
    "services.api.health.0": {"path": "/health", "expect_status": 200},
    "release.strategy": "blue-green",
    "admin_api.api.token": "ADMIN_TOKEN",  # fix: the seed asks for none
    "admin_api.api.calls.maintenance_on": {"method": "POST", "path": "/api/v1/system/maintenance/enable"},
    "admin_api.api.calls.maintenance_off": {"method": "POST", "path": "/api/v1/system/maintenance/disable"},
    # Growing.
    "scaling.api.rules.custom_cpu_rule": {"metric": "cpu_pct", "up": 75, "down": 25, "step_up": 2, "step_down": 1},
    "scaling.api.rules.custom_cpu_rule.enabled": True,
    "scaling.api.rules.memory_scaling": {"metric": "memory_pct", "enabled": False},
    "scaling.api.incident_step": 2,
    "scaling.api.cooldown": 5 * MINUTE,
    # Stores.
    "postgres.major": 15,
    "postgres.port": 5432,
    "postgres.databases.superinsight.owner": "superinsight_owner",  # fix: the superuser postgres
    "postgres.max_connections": 100,  # decided: the seed gives none
    "postgres.roles.superinsight_app.idle_session_timeout": 1 * HOUR,
    "postgres.roles.superinsight_app.connection_limit": 87,
    "postgres.sessions": {"terminate_idle_older": 1 * HOUR},
    "postgres.upkeep": {"vacuum_analyze": "weekly", "reindex": "concurrently", "report_table_sizes": True},
    "redis.port": 6379,
    "redis.maxmemory": 512 * M,
    "redis.policy": "allkeys-lru",
    "redis.persistence": "rdb",
    "storage.provider": "cos",
    "storage.region": "ap-guangzhou",
    "storage.endpoint_url": "https://cos.ap-guangzhou.myqcloud.com",
    "storage.bucket": "superinsight-backups-1250000000",  # a placeholder's, with the APPID behind it
    "storage.prefix": "backups/",
    "storage.addressing": "virtual",
    # Backups.
    "backup.schedule_utc": "0 2 * * *",
    "backup.dir": "/var/backups/superinsight",
    "backup.names.postgres": "backup_%Y%m%d_%H%M%S.sql.gz",  # fix: the seed's second one of a day overwrites the first
    "backup.prefixes": ["manual_"],
    "backup.restore.order": ["postgres", "redis", "releases"],
    # Variables and secrets.
    "services.api.env_vars.SECRET_KEY.type": "hex",
    "services.api.env_vars.SECRET_KEY.min_bytes": 32,
    "services.api.env_vars.SECRET_KEY.differs_between": ["staging", "production"],
    "services.api.env_vars.SECRET_KEY.same_across_instances": True,
    "services.api.env_vars.LOG_LEVEL.allowed": ["DEBUG", "INFO", "WARNING", "ERROR"],
    "services.api.env_vars.LOG_LEVEL.forbidden": ["DEBUG"],
    "told.api.LOG_LEVEL": "INFO",
    "told.api.PGDATABASE": "superinsight",
    # Watching.
    "thresholds.cpu_pct": {"warn": 70, "for": 5 * MINUTE, "action": "scale_up"},
    "thresholds.memory_pct": {"warn": 80},
    "thresholds.p95_ms": {"warn": 500},
    "thresholds.error_rate_pct": {"warn": 1, "crit": 5, "for": 300, "called": "HighErrorRate"},
    "monitoring.routes.critical.receiver": "on-call",
    "monitoring.panels.Active users": "sum(active_users)",
    "monitoring.panels.Annotation throughput": "sum(rate(annotations_total[5m]))",
    "monitoring.panels.Quality scores": "avg(annotation_quality_score)",
    "logs.lines": 100,
    "logs.incident_lines": 500,
    "logs.patterns": ["ERROR"],
    # People and procedures.
    "severity.critical.rank": 0,
    "severity.critical.response": 0,
    "severity.warning": {"rank": 2, "response": 4 * HOUR},
    "incident.escalation": ["on_call", "team_lead", "engineering_manager"],
    "vendors": {"tcb_support": "https://console.cloud.tencent.com/workorder"},
    "maintenance.windows": ["Sun 18:00-20:00 UTC"],  # decided: the seed has none
    "checklists.before_release": ["tests", "changelog", "migrations_tested"],
    "checklists.after_release": ["health", "key_features", "no_error_spike"],
    "checklists.before_maintenance": ["notify_users", "scale_up", "enable_mode"],
    "checklists.rollback": ["identify", "execute", "verify", "root_cause", "document"],
    "gates.tests": ["pytest"],
    "gates.changelog": True,
    "gates.migrations_tested": True,
    "gates.staging_verified": True,
}

TCHAT: Table = {
    "hosts.web": 2,
    "hosts.app": 3,
    "hosts.db": 1,
    "hosts.db_replica": 2,
    "hosts.cache": 1,
    "hosts.scylla": 3,
    "hosts.monitoring": 1,
    "domain": "api.tchat.sea",
    **{f"monitoring.metrics.{service}": "/metrics" for service in ("auth", "messaging", "payment", "notification")},
    # Services: what all four have is compared of each.
    **{
        f"{place}.{service}.{key}": value
        for service in ("auth", "messaging", "payment", "notification")
        for place, key, value in (
            ("services", "kind", "go"),
            ("services", "health.0.path", "/health/ready"),
            ("services", "health.0.expect_status", 200),
            ("services", "health.1.path", "/health"),
            ("services", "health.1.expect_status", 200),
            ("services", "profile", {"heap": "/debug/pprof/heap"}),
            ("services", "step", 100),
            ("services", "pool", 50),
            ("services", "ready_timeout_s", 300),
            ("services", "limits.cpu_quota_pct", 100),
            ("in_all", "base", 3),
            ("in_all", "max", 12),  # decided (seed: 10): as many on each of three hosts
            ("told", "DB_MAX_OPEN_CONNS", "50"),
            ("told", "DB_MAX_IDLE_CONNS", "10"),
            ("told", "DB_CONN_MAX_LIFETIME", "5m"),
            ("told", "REDIS_POOL_SIZE", "50"),
            ("told", "REDIS_MIN_IDLE_CONNS", "10"),
            ("told", "REDIS_DIAL_TIMEOUT", "5s"),
            ("told", "REDIS_READ_TIMEOUT", "3s"),
            ("told", "REDIS_WRITE_TIMEOUT", "3s"),
            ("told", "HTTP_CLIENT_TIMEOUT", "30s"),
            ("told", "HTTP_CLIENT_MAX_IDLE_CONNS", "100"),
            ("told", "HTTP_CLIENT_MAX_CONNS_PER_HOST", "10"),
            ("told", "GOGC", "100"),
            ("told", "GOMAXPROCS", "1"),  # fix (seed: 2, with a limit of one processor; DF-81)
            ("told", "POSTGRES_DB", f"tchat_{service}"),
            ("told", "POSTGRES_PORT", "6432"),  # fix (seed: 5432, and 400 connections for 200; DF-13)
            ("services", "env_vars.POSTGRES_USER.forbidden", ["postgres"]),
            ("services", "env_vars.POSTGRES_PASSWORD.differs_between", ["staging", "production"]),
        )
    },
    "services.auth.port": 8081,
    "services.messaging.port": 8082,
    "services.payment.port": 8083,
    "services.notification.port": 8084,
    "services.auth.slots": {"blue": 18081, "green": 28081},
    "services.messaging.slots": {"blue": 18082, "green": 28082},
    "services.payment.slots": {"blue": 18083, "green": 28083},
    "services.notification.slots": {"blue": 18084, "green": 28084},
    "services.auth.limits.memory_max": 2 * G,
    "services.auth.limits.memory_low": 1 * G,
    "services.auth.limits.cpu_weight": 50,  # requests half a processor, and 100 is one
    "services.messaging.limits.memory_max": 1 * G,  # decided: the seed limits auth alone
    "services.payment.limits.memory_max": 1 * G,
    "services.notification.limits.memory_max": 1 * G,
    "told.auth.GOMEMLIMIT": "1843MiB",  # 90 % of its limit
    "told.messaging.GOMEMLIMIT": "921MiB",
    # Growing.
    "scaling.auth.counts": {"manual": 3, "incident": 5, "autoscale_most": 10},
    "scaling.auth.least": 3,  # fix (seed: 2): one on each host
    "scaling.auth.incident_memory": 1 * G,
    "scaling.auth.incident_variables": {"GOGC": 50},
    "scaling.auth.rules.cpu": {"metric": "cpu_pct", "target": 70},
    "scaling.auth.rules.memory": {"metric": "memory_pct", "target": 80},
    "release.strategy": "blue-green",
    "release.canary": {"pct": 10, "watch": 600, "poll": 30, "max_error_ratio": 0.01, "min_requests": 200},
    # PostgreSQL.
    "postgres.major": 15,
    "postgres.port": 5432,
    "postgres.databases.tchat_auth.owner": "tchat_auth_owner",
    "postgres.databases.tchat_messaging.owner": "tchat_messaging_owner",
    "postgres.databases.tchat_payment.owner": "tchat_payment_owner",
    "postgres.databases.tchat_notification.owner": "tchat_notification_owner",
    "postgres.max_connections": 200,
    "postgres.settings.shared_buffers": "256MB",
    "postgres.settings.effective_cache_size": "1GB",
    "postgres.settings.maintenance_work_mem": "64MB",
    "postgres.settings.random_page_cost": 1.1,
    "postgres.settings.seq_page_cost": 1.0,
    "postgres.settings.wal_buffers": "16MB",
    "postgres.settings.checkpoint_completion_target": 0.9,
    "postgres.allow_restart": False,  # fix: three of these need a restart, which waits for the window
    "postgres.migrations.dir": "migrations/{database}",  # fix (seed: migrations/postgres for all four)
    "replication.user": "replicator",  # fix (seed: the superuser)
    "replication.max_lag": 10,  # decided
    "pgbouncer.port": 6432,
    "pgbouncer.mode": "transaction",
    # Redis and ScyllaDB.
    "redis.port": 6379,
    "redis.maxmemory": 1 * G,
    "redis.policy": "noeviction",
    "redis.persistence": "rdb",
    "scylla.cql_port": 9042,
    "scylla.datacenter": "dc1",
    "scylla.keyspaces.tchat_auth": {"replicas": {"dc1": 3}, "durable_writes": True},
    "scylla.keyspaces.tchat_payment": {"replicas": {"dc1": 3}, "durable_writes": True},
    "scylla.keyspaces.tchat_notification": {"replicas": {"dc1": 3}, "durable_writes": True},
    "scylla.keyspaces.tchat_messaging.replicas": {"dc1": 3},  # fix of the class (seed: SimpleStrategy)
    "scylla.keyspaces.tchat_messaging.durable_writes": True,
    "scylla.keyspaces.tchat_messaging.tables.messages.compaction": {
        "class": "SizeTieredCompactionStrategy",
        "bucket_high": 2.0,
        "bucket_low": 0.5,
    },
    "scylla.keep_snapshots": 7 * DAY,  # fix: as for backups, and nobody removed them
    # Backups.
    "storage.provider": "aws",
    "storage.bucket": "tchat-backups",
    "backup.schedule_utc": "0 1 * * *",  # decided: the seed gives no time
    "backup.targets": ["postgres", "scylla", "redis"],
    "backup.extras": ["config"],
    "backup.dir": "/backups",
    "backup.names": {
        "postgres": "{database}_%Y%m%d_%H%M%S.sql.gz",
        "scylla": "snapshot_%Y%m%d_%H%M%S",
        "redis": "redis_%Y%m%d_%H%M%S.rdb",
    },
    "backup.folder": "%Y%m%d_%H%M%S/",  # fix (seed: the day; DF-02)
    "backup.retention_days": 7,
    "backup.manifest": [
        "timestamp",
        "version",
        "services.auth",
        "services.messaging",
        "services.payment",
        "services.notification",
    ],
    "backup.restore.order": ["config", "postgres", "scylla", "redis", "releases"],
    "backup.restore.ready_timeout": 600,
    "certificates": {
        "method": "webroot",
        "webroot": "/var/www/html",
        "live_dir": "/etc/letsencrypt/live/{domain}",
        "reload": "nginx",  # fix (seed: the ingress is restarted)
    },
    "scaling.auth.cooldown": 5 * MINUTE,
    # Watching.
    "thresholds.error_rate_pct": {"crit": 5, "for": 300},
    "thresholds.db_connection_errors_per_s": {"crit": 0.1, "for": 300},
    "thresholds.p95_ms": {"warn": 1000, "for": 5 * MINUTE},
    "thresholds.memory_pct": {"warn": 80, "action": "scale_up"},
    "thresholds.unit_memory_pct": {"warn": 80, "action": "scale_up"},
    "thresholds.disk_pct": {"warn": 85, "action": "clean_or_grow"},
    # seed: down for more than 60 s; fix: twice in two minutes, so that a target that is gone counts (DF-32)
    "alerts.P0.0": {"name": "service_down", "rule": "health fails 2 times in 2m"},
    "monitoring.routes.critical.receiver": "page",
    "monitoring.routes.warning.hours": "business",
    "monitoring.receivers.incidents.channel": "#incidents",
    # People and procedures.
    "severity.P0": {"rank": 0, "text": "Complete service outage, data loss", "response": 0, "first": "on_call"},
    "severity.P1.rank": 1,
    "severity.P1.text": "Major functionality broken, significant user impact",
    "severity.P2.rank": 2,
    "severity.P2.text": "Minor functionality issues, limited user impact",
    "severity.P2.response": "business_hours",
    "severity.P3": {"rank": 3, "text": "Cosmetic issues, no user impact", "response": "business_hours"},
    "incident.phases": [
        {"name": "immediate", "until": 5 * MINUTE},
        {"name": "investigation", "until": 15 * MINUTE},
        {"name": "mitigation", "until": 30 * MINUTE},
        {"name": "communication"},
    ],
    "incident.security_phases": [
        {"name": "immediate", "until": 15 * MINUTE},
        {"name": "investigation", "until": 60 * MINUTE},
        {"name": "containment", "until": 4 * HOUR},
        {"name": "recovery", "until": 24 * HOUR},
        {"name": "post_incident", "until": 7 * DAY},
    ],
    "incident.tell": ["status_page", "stakeholders"],
    "incident.channel": "#incidents",
    "contacts": {
        "on_call": "vault",
        "tech_lead": "vault",
        "sre": "sre@tchat.sea",
        "security": "security@tchat.sea",
        "management": "management@tchat.sea",
    },
    "checklists.security": [
        "exposed_secrets",
        "privileges",
        "network_policy",
        "unit_hardening",
        "privileged_units",
    ],
    "maintenance.windows": ["Sun 03:00-05:00 UTC"],  # decided: the seed has none
}

SPHEROSEG: Table = {
    "hosts.web": 2,  # decided (proposed: 1): either may fail
    "hosts.app": 2,  # decided (proposed: 1)
    "hosts.ml": 1,
    "hosts.db": 1,
    "hosts.cache": 1,
    "hosts.monitoring": 1,
    # Services.
    "services.frontend.kind": "static",
    "services.backend.kind": "node",
    "services.backend.entry": "dist/server.js",
    "services.backend.port": 5001,  # decided: the seed gives none
    "services.backend.slots": {"blue": 15001, "green": 25001},
    "services.backend.pool": 10,  # decided: 2 hosts x 3 instances x 10 = 60, and 187 are there (DF-13)
    "services.backend.limits.memory_max": 512 * M,  # decided: three fit a host of 2G
    "services.ml.limits.memory_max": 4 * G,  # decided: the checkpoint, and what PyTorch holds beside the GPU
    "services.backend.health.0.path": "/health",
    "services.backend.health.0.expect_status": 200,
    "services.ml.kind": "python",
    "services.ml.port": 5002,
    "services.ml.health.0.path": "/health",
    "services.ml.health.0.expect_status": 200,
    "in_all.backend.base": 2,  # decided (proposed: 1): one on each host
    "in_all.backend.max": 6,
    "scaling.backend.counts": {"high_load": 3},
    "in_all.ml.base": 1,
    "in_all.ml.max": 2,
    "scaling.ml.counts": {"high_load": 2},
    "ml.gpu.required": True,
    "ml.gpu.min_free_mib": 8192,
    "ml.model.name": "checkpoint_epoch_9.pth.tar",
    "release.strategy": "rolling",
    "release.order": ["backend", "ml", "frontend"],
    "release.pause": 30,
    # Stores.
    "postgres.major": 15,
    "postgres.port": 5432,
    "postgres.databases.spheroseg.owner": "spheroseg_owner",  # fix: the superuser postgres
    "postgres.max_connections": 200,
    "postgres.sessions": {"report_older": 5 * MINUTE, "terminate_idle_older": 10 * MINUTE},
    "postgres.roles.spheroseg_app.idle_session_timeout": 10 * MINUTE,
    "postgres.upkeep.report_tables": ["users", "images"],
    "postgres.migrations.command": "npm run db:migrate",
    "postgres.indexes.idx_images_user_status": {
        "database": "spheroseg",
        "table": "images",
        "columns": ["user_id", "segmentation_status"],
        "where": "deleted_at IS NULL",
    },
    "redis.port": 6379,
    "redis.maxmemory": 512 * M,
    "redis.policy": "allkeys-lru",
    "redis.users.spheroseg.rules": ["+@all", "-@admin", "-@dangerous", "+info"],  # KEYS and FLUSHALL are dangerous
    "storage.provider": "aws",
    "storage.prefix": "database-backups/",
    "storage.bucket": "spheroseg-production-backups",  # fix: the seed's is a placeholder
    # Backups.
    "backup.schedule_utc": "0 2 * * *",
    "backup.names.postgres": "spheroseg_backup_%Y%m%d_%H%M%S.sql.gz",
    "backup.legacy_names": ["spheroseg_backup_20240710_020000.sql.gz"],
    "backup.marker": "/var/backups/spheroseg/last_backup_timestamp",
    "backup.verify.tables": ["users"],
    "backup.extras": ["config", "secrets", "certificates", "uploads"],
    "backup.restore.order": ["config", "secrets", "certificates", "postgres", "uploads", "releases"],
    # Variables and secrets.
    "services.backend.env_vars.JWT_SECRET.type": "base64",
    "services.backend.env_vars.JWT_SECRET.min_bytes": 64,
    "services.backend.env_vars.JWT_SECRET.same_across_instances": True,
    "services.backend.env_vars.JWT_SECRET.differs_between": ["staging", "production"],
    "services.backend.env_vars.SESSION_SECRET.type": "base64",
    "services.backend.env_vars.SESSION_SECRET.min_bytes": 64,
    "services.backend.env_vars.SESSION_SECRET.same_across_instances": True,
    "services.backend.env_vars.SESSION_SECRET.differs_between": ["staging", "production"],
    "told.backend.NODE_ENV": "production",
    "services.backend.env_vars.NODE_OPTIONS.forbidden_pattern": "--(prof|inspect|expose[-_]gc|trace[-_]gc)",
    "services.ml.env_vars.FLASK_ENV.forbidden": ["development"],
    "services.ml.env_vars.FLASK_DEBUG.production_const": "0",
    "told.ml.FLASK_DEBUG": "0",
    "told.backend.PGPORT": "5432",
    "told.backend.REDIS_PORT": "6379",
    "told.backend.ML_PORT": "5002",
    "secrets.generators.JWT_SECRET": {"encoding": "base64", "bytes": 64},
    "secrets.generators.SESSION_SECRET": {"encoding": "base64", "bytes": 64},
    "legacy_names": {"db": "postgres", "jwt_secret": "JWT_SECRET", "session_secret": "SESSION_SECRET"},
    # Watching.
    "monitoring.ports.prometheus": 9090,
    "monitoring.ports.alertmanager": 9093,  # of Grafana's 3001 nothing is left: Prometheus has consoles
    "monitoring.panels.Active users": "sum(spheroseg_active_users)",
    "monitoring.panels.Images processed a second": "sum(rate(spheroseg_images_processed_total[1h]))",
    "thresholds.error_rate_pct": {
        "warn": 1,
        "crit": 5,
        "for": 300,
        "called": "HighErrorRate",
        "action": "check_logs",
    },
    "thresholds.p95_ms": {"warn": 500, "crit": 1000, "for": 300, "action": "check_logs"},
    "thresholds.cpu_pct": {"warn": 70, "crit": 90, "action": "scale"},
    "thresholds.memory_pct": {"warn": 80, "crit": 90, "action": "restart_one_instance"},
    "thresholds.disk_pct": {"warn": 80, "crit": 90, "action": "clean_logs_backups"},
    "nginx.sites.site.preload": ["/static/css/main.css", "/static/js/main.js"],
    "logs.lines": 100,
    "logs.since": 12 * HOUR,
    "logs.search_since": 1 * HOUR,
    "logs.export_name": "logs_%Y%m%d_%H%M%S.txt",
    "logs.patterns": ["ERROR", "CRITICAL", "Failed login"],
    # People and procedures.
    "checklists.daily": [
        "health",
        "overnight_alerts",
        "backup_marker",
        "error_logs",
        "disk",
        "performance_metrics",
    ],
    "checklists.before_maintenance": [
        "backup_database",
        "test_in_staging",
        "rollback_plan",
        "notify_users",
        "status_page",
    ],
    "checklists.security": [
        "dependency_audit",
        "access_log_review",
        "failed_logins",
        "certificate_dates",
        "filesystem_scan",
    ],
    "maintenance.announce_h": 48,
    "maintenance.duration_h": {"min": 2, "max": 4},
    "maintenance.windows": ["Sun 04:00-08:00 UTC"],  # decided: the seed has none
    "severity.P1": {
        "rank": 0,
        "text": "Complete service outage, data loss risk",
        "first": "on_call",
        "escalation": {"after": 15 * MINUTE, "to": ["team_lead", "cto"]},
    },
    "severity.P2": {
        "rank": 1,
        "text": "Major feature unavailable, significant performance degradation",
        "first": "on_call",
        "escalation": {"after": 30 * MINUTE, "to": ["team_lead"]},
    },
    "severity.P3": {
        "rank": 2,
        "text": "Minor feature issues, moderate performance impact",
        "first": "support",
        "escalation": {"after": 2 * HOUR, "to": ["senior_engineer"]},
    },
    "severity.P4": {
        "rank": 3,
        "text": "Cosmetic issues, minimal user impact",
        "first": "support",
        "escalation": {"after": "next_business_day", "to": ["engineer"]},
    },
    "incident.phases": [
        {"name": "immediate", "until": 5 * MINUTE},
        {"name": "assessment", "until": 15 * MINUTE},
        {"name": "mitigation", "until": 30 * MINUTE},
        {"name": "resolution"},
        {"name": "post_incident", "until": "next_business_day"},
    ],
    "incident.update_every": 30 * MINUTE,
    "incident.escalation": ["team_lead", "cto"],
    "incident.postmortem_within": 48 * HOUR,
    "incident.messages": ["start", "update", "resolved"],
    "incident.statuses": ["Investigating", "Identified", "Monitoring"],
    "contacts.team_lead": "lead@spheroseg.com",
    "contacts.cto": "cto@spheroseg.com",
    "contacts.security": "security@spheroseg.com",
    "oncall.on_call": ["vault", "vault"],
    # The seed's [Account ID] and [Support URL] are places without a value.
    "vendors": {"aws": None, "registrar": None, "ssl": "https://community.letsencrypt.org"},
}

TOEIC: Table = {
    "hosts.web": 1,
    "hosts.app": 3,
    "hosts.db": 1,
    "hosts.cache": 1,
    "hosts.monitoring": 1,
    "domain": "api.toeic-app.com",
    # Services.
    "services.app.kind": "go",
    "services.app.port": 8000,
    "services.app.slots": {"blue": 18000, "green": 28000},
    "services.app.pool": 100,
    "services.app.limits.memory_max": 1 * G,  # decided: above the 512 MB of CACHE_MAX_MEMORY_USAGE
    "in_all.app.base": 3,
    "in_all.app.min": 3,
    "in_all.app.max": 6,
    "scaling.app.counts": {"memory_relief": 4, "stressed": 5, "emergency": 6},
    "scaling.app.least": 3,
    "scaling.app.watch_every": 30,
    "services.app.health.0": {"path": "/health", "expect_json": {"status": "healthy"}, "timeout_s": 10},
    "monitoring.metrics.app": "/metrics",
    "admin_api.app.token": "ADMIN_TOKEN",
    "admin_api.app.calls.cache_stats.path": "/api/v1/admin/cache/stats",
    "admin_api.app.calls.cache_advanced_stats.path": "/api/v1/admin/cache/advanced-stats",
    "admin_api.app.calls.cache_warm.path": "/api/v1/admin/cache/warm",
    "admin_api.app.calls.cache_warm.body": {"patterns": ["users:*", "auth:*", "content:*"]},
    "admin_api.app.calls.sessions.path": "/api/v1/admin/sessions",
    "release.strategy": "blue-green",  # fix (seed: rolling; and three replicas for no downtime)
    "release.confirm": {"times": 5, "every": 10},
    "release.pipeline": [
        "staging_validate",
        "integration_tests",
        "staging_health",
        "backup",
        "deploy_production",
        "monitor",
    ],
    "release.hotfix": {
        "branch": "hotfix/critical-fix",
        "may_skip": ["integration_tests", "monitor"],  # fix (seed: everything); full tests and bake time
        "never_skip": ["staging_validate", "staging_health", "backup"],
    },
    "gates.tests": ["go -C tests/integration test -v ./..."],
    "nginx.upstream_keepalive": 32,
    "nginx.weights": {},  # 1, as for each host that is not named
    # Stores.
    "postgres.major": 15,
    "postgres.databases.toeic_db": {"owner": "toeic_owner", "extensions": ["pg_stat_statements"]},  # fix (seed: root)
    "postgres.sessions": {"report_older": 5 * MINUTE, "cancel_older": 10 * MINUTE},  # fix (seed: terminated)
    "postgres.roles.toeic_app.statement_timeout": 10 * MINUTE,
    "postgres.upkeep.report_tables": ["users", "user_sessions"],
    "postgres.max_connections": 200,  # decided: for 3 x 100 and more, with the pooler before it
    "pgbouncer.port": 6432,
    "pgbouncer.mode": "transaction",
    "redis.port": 6379,
    "redis.maxmemory": 512 * M,
    "redis.policy": "allkeys-lru",
    "redis.persistence": "rdb",
    # Variables and secrets.
    "told.app.DB_MAX_CONNECTIONS": "100",
    "told.app.DB_MIN_CONNECTIONS": "10",
    "services.app.env_vars.DB_MIN_CONNECTIONS.le": "DB_MAX_CONNECTIONS",
    "told.app.DB_MAX_IDLE_TIME": "5m",
    "told.app.DB_MAX_LIFETIME": "1h",
    "told.app.CACHE_MAX_MEMORY_USAGE": "536870912",
    "told.app.PGDATABASE": "toeic_db",
    "services.app.env_vars.PGUSER.forbidden": ["postgres", "root"],
    "services.app.env_vars.ADMIN_TOKEN.required": True,
    "services.app.env_vars.ADMIN_TOKEN.differs_between": ["staging", "production"],
    "monitoring.receivers.webhook": {"kind": "slack", "url": "ALERT_WEBHOOK_URL"},  # its payload is {text: message}
    # Watching.
    "monitoring.interval": 15,  # fix (seed: 300 s; what lasts five minutes was one look)
    "thresholds.cpu_pct": {"warn": 70, "crit": 85, "action": "scale_up"},
    # fix (seed: restart_services, all at once; CX-12)
    "thresholds.memory_pct": {"warn": 80, "crit": 90, "action": "restart_one_instance"},
    "thresholds.disk_pct": {"warn": 75, "crit": 85, "action": "clean_logs_backups"},
    "thresholds.p95_ms": {"warn": 200, "crit": 500, "action": "check_cache_db"},
    "thresholds.error_rate_pct": {"warn": 1, "crit": 5, "action": "investigate_logs"},
    "thresholds.cache_hit_pct": {"warn": 90, "crit": 80, "action": "warm_cache"},
    # Backups.
    "backup.schedule_utc": "0 2 * * *",
    "backup.dir": "/var/backups/toeic",
    "backup.legacy_names": [
        "latest-backup.sql.gz",
        "pre_deploy_backup.sql.gz",
        "known_good_backup.sql.gz",
        "production-backup.sql.gz",
        "disaster-recovery-backup.sql.gz",
        "selective-backup.sql",
    ],
    "backup.before_release": True,
    "backup.point_in_time": True,  # fix: the runbook promises it, and nothing of it makes it so
    "backup.verify.newest": 5,
    "backup.verify.restore_test": "weekly",
    "backup.verify.anonymise": True,  # fix (seed: people as they are)
    "backup.verify.tables": ["users", "user_sessions"],
    "certificates": {
        "method": "webroot",  # fix (seed: a dry run, which renews nothing; DF-68)
        "webroot": "/var/www/acme",
        "live_dir": "/etc/letsencrypt/live/{domain}",  # fix (seed: ssl/cert.pem, a copy; DF-69)
        "reload": "nginx",
    },
    # People and procedures.
    "checklists.weekly": ["cleanup", "update_dependencies", "performance_review", "restore_test"],
    "checklists.daily": ["status", "health", "overnight_errors", "newest_backups"],
    "checklists.security": ["failed_logins", "security_headers", "certificate_dates", "dependency_audit"],
    "severity.P1": {
        "rank": 0,
        "text": "Critical",
        "response": 0,
        "includes": ["complete_outage", "data_loss_or_corruption", "security_breach"],
    },
    "severity.P2": {
        "rank": 1,
        "text": "High",
        "response": 1 * HOUR,
        "includes": ["significant_degradation", "partial_unavailability", "failed_deployments"],
    },
    "severity.P3": {
        "rank": 2,
        "text": "Medium",
        "response": 4 * HOUR,
        "includes": ["minor_performance", "non_critical_features", "monitoring_alerts"],
    },
    "severity.P4": {
        "rank": 3,
        "text": "Low",
        "response": "next_business_day",
        "includes": ["enhancements", "documentation", "scheduled_maintenance"],
    },
    "incident.phases": [
        {"name": "assessment"},
        {"name": "impact"},
        {"name": "mitigation"},
        {"name": "communication"},
    ],
    "incident.tell": ["status_page", "stakeholders", "timeline"],
    "incident.escalation": ["primary_sre", "backup_sre"],
    "logs.since": 12 * HOUR,
    "contacts": {"primary_sre": "vault", "backup_sre": "vault", "database_admin": "vault", "security": "vault"},
    "maintenance.windows": ["Sun 04:00-06:00 UTC"],  # decided: the seed has none
}

EVERYDAYAI: Table = {
    "hosts.web": 2,  # decided (proposed: 1): either may fail
    "hosts.app": 3,  # decided (proposed: 1)
    "hosts.db": 1,
    "hosts.cache": 1,
    "hosts.monitoring": 1,
    # Services.
    "services.frontend.kind": "static",
    "frontend.build_env": {"VITE_API_BASE_URL": "https://{api_domain}/api"},
    "frontend.keep_assets_days": 7,
    "services.backend.user": "everydayai",  # fix (seed: www-data)
    "services.backend.description": "EverydayAI Backend",
    "services.backend.exec": "venv/bin/uvicorn {entry} --host 127.0.0.1 --port {port} --workers {workers}",
    "services.backend.entry": "main:app",
    "services.backend.port": 8000,
    "services.backend.workers": 4,
    "services.backend.restart.policy": "on-failure",  # fix (seed: always)
    "services.backend.restart.sec": 5,
    "services.backend.slots": {"blue": 18000, "green": 28000},  # decided: 8000 is nginx's
    "services.backend.pool": 2,  # decided: 3 hosts x 2 instances x 4 workers x 2 = 48, and 87 are there (DF-13)
    "services.backend.limits.memory_max": 512 * M,  # decided: two in both slots fit a host of 4G
    "services.backend.restart.burst": 5,
    "in_all.backend.base": 3,  # the seed's one on each of three hosts
    "in_all.backend.max": 6,  # decided: one more on each
    "services.backend.health.0": {"path": "/health", "expect_json": {"status": "healthy"}},
    "services.backend.health.1": {"path": "/health/db", "expect_json": {"status": "connected"}},
    "services.backend.health.2": {"path": "/health/redis", "expect_json": {"status": "connected"}},
    # Stores.
    "postgres.managed": False,  # fix (seed: Supabase; CX-21)
    "postgres.max_connections": 100,  # decided: PostgreSQL's default
    "postgres.pooler.enabled": False,  # fix (seed: PgBouncer; 48 connections fit without)
    "postgres.migrations.dir": "docs/database/migrations",
    "postgres.migrations.name_pattern": r"\d{8}_[a-z0-9_]+\.sql",
    "redis.managed": False,  # fix (seed: Upstash; CX-21)
    "redis.maxmemory": 512 * M,  # decided: a quarter of the host
    "redis.policy": "noeviction",  # decided: tasks are there
    "redis.persistence": "aof",  # decided
    "redis.port": 6379,
    "storage.provider": "oss",
    "storage.region": "cn-hangzhou",
    "storage.native_endpoint": "oss-cn-hangzhou.aliyuncs.com",
    "storage.endpoint_url": "https://s3.oss-cn-hangzhou.aliyuncs.com",  # fix (seed: the native one; TP-01)
    "storage.addressing": "virtual",
    "storage.signature": "s3",
    # Variables and secrets.
    "services.backend.env_vars.SUPABASE_URL.pattern": r"https://[a-z0-9-]+\.supabase\.co",
    "services.backend.env_vars.SUPABASE_SERVICE_ROLE_KEY.not_equal": "SUPABASE_ANON_KEY",
    "services.backend.env_vars.JWT_SECRET_KEY.min_len": 32,
    "services.backend.env_vars.JWT_SECRET_KEY.same_across_instances": True,
    "services.backend.env_vars.JWT_SECRET_KEY.differs_between": ["staging", "production"],
    "services.backend.env_vars.JWT_ALGORITHM.allowed": ["HS256"],
    "told.backend.JWT_ALGORITHM": "HS256",
    "told.backend.JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
    "told.backend.REDIS_PORT": "6379",
    "told.backend.REDIS_DB": "0",
    "services.backend.env_vars.REDIS_DB.min": 0,
    "services.backend.env_vars.REDIS_DB.max": 15,
    "told.backend.REDIS_SSL": "false",  # fix (seed: true, for Upstash; ours is in the private network)
    "services.backend.env_vars.ALIYUN_SMS_TEMPLATE_REGISTER.pattern": r"SMS_\d+",
    "services.backend.env_vars.ALIYUN_SMS_TEMPLATE_RESET_PWD.pattern": r"SMS_\d+",
    "services.backend.env_vars.ALIYUN_SMS_TEMPLATE_BIND_PHONE.pattern": r"SMS_\d+",
    "told.backend.OSS_ENDPOINT": "oss-cn-hangzhou.aliyuncs.com",
    "services.backend.env_vars.OSS_ENDPOINT.must_contain": "OSS_REGION",
    "told.backend.OSS_REGION": "cn-hangzhou",
    "told.backend.KIE_BASE_URL": "https://api.kie.ai/v1",
    "told.backend.APP_DEBUG": "false",
    "services.backend.env_vars.APP_DEBUG.production_const": False,
    "told.backend.APP_HOST": "127.0.0.1",  # fix (seed: 0.0.0.0)
    "told.backend.APP_PORT": "8000",
    "told.backend.RATE_LIMIT_GLOBAL_TASKS": "15",
    "told.backend.RATE_LIMIT_CONVERSATION_TASKS": "5",
    "services.backend.env_vars.RATE_LIMIT_CONVERSATION_TASKS.le": "RATE_LIMIT_GLOBAL_TASKS",
    # Getting a version out.
    "gates.tests": ["npm run test:run", "pytest"],
    "gates.coverage_min_pct": 80,
    "gates.migrations_tested": True,
    "gates.env_example": ".env.example",
    "gates.api_backward_compatible": True,
    "gates.secret_scan": True,
    "gates.staging_verified": True,
    "gates.rollback_plan": True,
    "rollback_sla_s": {"frontend": 300, "backend": 600, "database": 1800},
    # Watching.
    "thresholds.p95_ms": {"warn": 500, "crit": 1000, "action": "check_db_cache"},
    "thresholds.error_rate_pct": {"warn": 1, "crit": 5, "action": "check_logs_deployments"},
    "thresholds.request_rate_per_min": {"warn": 10000, "crit": 50000, "action": "scale_and_rate_limit"},
    "thresholds.cpu_pct": {"warn": 70, "crit": 90, "action": "scale"},
    "thresholds.memory_pct": {"warn": 80, "crit": 95, "action": "check_leaks_restart"},
    # fix (seed: increase_pool, which makes it worse; DF-13)
    "thresholds.db_pool_pct": {"warn": 70, "crit": 90, "action": "check_pool_budget"},
    "thresholds.db_query_ms": {"warn": 100, "crit": 500, "action": "analyse_and_index"},
    "thresholds.db_disk_pct": {"warn": 80, "crit": 95, "action": "archive_or_grow"},
    "thresholds.redis_memory_pct": {"warn": 80, "crit": 95, "action": "ttl_and_eviction"},
    "thresholds.redis_connections_pct": {"warn": 80, "crit": 95, "action": "increase_limit"},
    "thresholds.redis_evictions_per_s": {"warn": 100, "crit": 1000, "action": "increase_memory"},
    "alerts.P0": [
        {"name": "service_down", "rule": "health fails 3 times in 5m"},
        {"name": "error_rate", "above_pct": 5, "for": 5 * MINUTE},
        {"name": "database_lost"},
        {"name": "redis_lost"},
    ],
    "alerts.P1": [
        {"name": "p95", "above_ms": 1000, "for": 10 * MINUTE},
        {"name": "error_rate", "above_pct": 1, "for": 10 * MINUTE},
        {"name": "disk", "above_pct": 95},
        {"name": "memory", "above_pct": 95},
    ],
    "alerts.P2": [
        {"name": "p95", "above_ms": 500, "for": 15 * MINUTE},
        {"name": "cpu", "above_pct": 70, "for": 15 * MINUTE},
        {"name": "memory", "above_pct": 80, "for": 15 * MINUTE},
    ],
    "logs.files": {"backend": "/var/log/everydayai/backend.log"},
    "logs.patterns": [
        "Authentication failed",
        "Database connection",
        "status_code=5",
        "Rate limit exceeded",
        "KIE API error",
    ],
    # Backups: the runbook has none.
    "backup.schedule_utc": "15 1 * * *",
    # People and procedures.
    "maintenance.windows": ["Sun 02:00-04:00 UTC"],
    "maintenance.announce_h": 48,
    "maintenance.banner": True,
    "maintenance.smoke_tests": True,
    "maintenance.post_watch_min": 60,
    "severity.P0": {"rank": 0, "response": 0},
    "severity.P1": {"rank": 1, "response": 30 * MINUTE},
    "severity.P2": {"rank": 2, "response": 2 * HOUR},
    "oncall": {
        "backend": ["vault", "vault"],
        "frontend": ["vault", "vault"],
        "database": ["vault", "vault"],
        "devops": ["vault", "vault"],
    },
    "vendors": {
        "supabase": "support@supabase.io",
        "upstash": "support@upstash.com",
        "aliyun": "+65 6591 7888",
        "kie": None,
    },
}

BOTH: dict[str, Table] = {
    "superinsight": ALL | SUPERINSIGHT,
    "tchat": ALL | TCHAT,
    "spheroseg": ALL | SPHEROSEG,
    "toeic": ALL | TOEIC,
    "everydayai": ALL | EVERYDAYAI,
}

# Staging has one host a role, and names of its own; all else is as above.
STAGING: dict[str, Table] = {
    "superinsight": {
        "hosts.app": 1,
        "in_all.api.base": 1,
        "in_all.api.min": 1,
        "in_all.api.max": 3,  # what one host of 4G holds
        "scaling.api.counts": {"traffic": 3},
        "scaling.api.least": 1,
        "storage.bucket": "superinsight-staging-1250000000",
    },
    "tchat": {
        "hosts.web": 1,
        "hosts.app": 1,
        "hosts.db_replica": 1,
        "hosts.scylla": 1,
        "domain": "api.staging.tchat.sea",
        **{f"in_all.{name}.base": 1 for name in ("auth", "messaging", "payment", "notification")},
        **{f"in_all.{name}.max": 2 for name in ("auth", "messaging", "payment", "notification")},
        "scaling.auth.counts": {"incident": 2},
        "scaling.auth.least": 1,
        "postgres.allow_restart": True,
        "redis.maxmemory": 512 * M,
        "scylla.keyspaces.tchat_auth": {"replicas": {"dc1": 1}, "durable_writes": True},
        "scylla.keyspaces.tchat_payment": {"replicas": {"dc1": 1}, "durable_writes": True},
        "scylla.keyspaces.tchat_notification": {"replicas": {"dc1": 1}, "durable_writes": True},
        "scylla.keyspaces.tchat_messaging.replicas": {"dc1": 1},
        "storage.bucket": "tchat-backups-staging",
    },
    "spheroseg": {
        "hosts.web": 1,
        "hosts.app": 1,
        "in_all.backend.base": 1,
        "in_all.backend.max": 3,
        "in_all.ml.max": 1,  # one GPU
        "scaling.ml.counts": {"high_load": 1},
        "ml.gpu.min_free_mib": 4096,
        "storage.bucket": "spheroseg-staging-backups",
    },
    "toeic": {
        "hosts.app": 1,
        "domain": "api.staging.toeic.test",
        "in_all.app.base": 1,
        "in_all.app.min": 1,
        "in_all.app.max": 2,
        "scaling.app.counts": {"stressed": 2},
        "scaling.app.least": 1,
    },
    "everydayai": {
        "hosts.web": 1,
        "hosts.app": 1,
        "in_all.backend.base": 1,
        "in_all.backend.max": 2,
        "redis.maxmemory": 256 * M,
    },
}
