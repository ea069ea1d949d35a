CREATE TABLE {p}endpoint (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT    NOT NULL UNIQUE,
    tenant        TEXT    NOT NULL,
    url           TEXT    NOT NULL,
    sealed_keys   BLOB    NOT NULL,
    disabled_code TEXT,
    revision      INTEGER NOT NULL,
    -- No message of it is claimed between these times.
    hold_since    INTEGER NOT NULL DEFAULT 0,
    hold_until    INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    -- Attempts in a minute.
    rate          INTEGER,
    -- What its client has instructed us to send there: 1 confidential, 2 personal, 4 sensitive data, added up.
    classes       INTEGER NOT NULL DEFAULT 0,
    purpose       TEXT,
    recipient     TEXT,
    instructed_by TEXT,
    instructed_at INTEGER,
    -- Under which id requests are signed as RFC 9421 has it, if they are.
    signature_key_id TEXT,
    -- CloudEvents: 0 as enqueued, 1 structured, 2 binary.
    events        INTEGER NOT NULL DEFAULT 0,
    -- When its receiver answered a challenge, and the proof for tenant, URL and key.
    owned_at      INTEGER,
    owned_proof   TEXT
) STRICT;
CREATE INDEX {p}endpoint_failing ON {p}endpoint (failing_since) WHERE failing_since IS NOT NULL;

-- What never changes. A sequence number is never used twice, so that a late verdict finds nobody else.
CREATE TABLE {p}message (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL,
    endpoint        INTEGER NOT NULL REFERENCES {p}endpoint (seq),
    idempotency_key TEXT,
    ordering_key    TEXT,
    content_type    TEXT    NOT NULL,
    payload         BLOB    NOT NULL CHECK (octet_length(payload) <= {max}),
    -- Of the payload.
    classes         INTEGER NOT NULL DEFAULT 0,
    purpose         TEXT,
    sealed          INTEGER NOT NULL DEFAULT 0,
    enqueued_at     INTEGER NOT NULL,
    UNIQUE (id, endpoint)
) STRICT;
CREATE UNIQUE INDEX {p}message_key ON {p}message (endpoint, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- What changes. State 0 pending, 1 leased, 2 delivered, 3 dead; next_at 0 for a message not tried yet.
CREATE TABLE {p}delivery (
    seq         INTEGER PRIMARY KEY REFERENCES {p}message (seq) ON DELETE CASCADE,
    endpoint    INTEGER NOT NULL,
    state       INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 3),
    next_at     INTEGER NOT NULL DEFAULT 0,
    fence       INTEGER NOT NULL DEFAULT 0,
    worker      INTEGER,
    attempts    INTEGER NOT NULL DEFAULT 0,
    settled_at  INTEGER,
    last_status INTEGER,
    last_code   TEXT,
    -- Of the payload.
    size         INTEGER NOT NULL DEFAULT 0,
    ordering_key TEXT,
    -- The first bytes of the last answer.
    excerpt      BLOB
) STRICT;
CREATE INDEX {p}delivery_pending ON {p}delivery (endpoint, next_at) WHERE state = 0;
CREATE INDEX {p}delivery_leased ON {p}delivery (worker) WHERE state = 1;
CREATE INDEX {p}delivery_ordered ON {p}delivery (endpoint, ordering_key, seq)
    WHERE ordering_key IS NOT NULL AND state < 2;
CREATE INDEX {p}delivery_settled ON {p}delivery (state, settled_at) WHERE state >= 2;

-- So that one insert statement enqueues.
CREATE TRIGGER {p}message_enqueued AFTER INSERT ON {p}message
BEGIN
    INSERT INTO {p}delivery (seq, endpoint, size, ordering_key)
    VALUES (NEW.seq, NEW.endpoint, octet_length(NEW.payload), NEW.ordering_key);
END;

CREATE TABLE {p}worker (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    instance TEXT    NOT NULL UNIQUE,
    lease_ms INTEGER NOT NULL,
    until    INTEGER NOT NULL
) STRICT;

-- Consents that came by callback, by the SHA-256 of the endpoint's URL.
CREATE TABLE {p}consent (
    endpoint BLOB    PRIMARY KEY,
    -- Requests a minute; null for any number.
    rate     INTEGER,
    -- Until when the callback that was called could be: each is good once.
    callback INTEGER NOT NULL,
    until    INTEGER NOT NULL
) STRICT;
