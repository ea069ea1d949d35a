CREATE TABLE {p}endpoint (
    seq           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            TEXT   NOT NULL UNIQUE,
    tenant        TEXT   NOT NULL,
    url           TEXT   NOT NULL,
    sealed_keys   BYTEA  NOT NULL,
    disabled_code TEXT,
    revision      BIGINT NOT NULL,
    -- No message of it is claimed between these times.
    hold_since    BIGINT NOT NULL DEFAULT 0,
    hold_until    BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    -- Attempts in a minute.
    rate          BIGINT,
    -- What its client has instructed us to send there: 1 confidential, 2 personal, 4 sensitive data, added up.
    classes       BIGINT NOT NULL DEFAULT 0,
    purpose       TEXT,
    recipient     TEXT,
    instructed_by TEXT,
    instructed_at BIGINT,
    -- Under which id requests are signed as RFC 9421 has it, if they are.
    signature_key_id TEXT,
    -- CloudEvents: 0 as enqueued, 1 structured, 2 binary.
    events        BIGINT NOT NULL DEFAULT 0,
    -- When its receiver answered a challenge, and the proof for tenant, URL and key.
    owned_at      BIGINT,
    owned_proof   TEXT
);
CREATE INDEX {p}endpoint_failing ON {p}endpoint (seq) WHERE failing_since IS NOT NULL;

-- What never changes. A sequence number is never used twice, so that a late verdict finds nobody else.
CREATE TABLE {p}message (
    seq             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What `MessageId` and `ContentType` take.
    id              TEXT   NOT NULL
                    CHECK (octet_length(id) BETWEEN 1 AND 128 AND id COLLATE "C" ~ '^[!-~]+$' AND strpos(id, '.') = 0),
    -- No foreign key: it would have every insert write to the endpoint's row, which all inserts share. The insert
    -- statement takes the number from there, and endpoints are not deleted.
    endpoint        BIGINT NOT NULL,
    idempotency_key TEXT,
    content_type    TEXT   NOT NULL
                    CHECK (octet_length(content_type) BETWEEN 3 AND 128 AND content_type ~ '^[^/]+/.'
                        AND content_type COLLATE "C" ~ '^[!-~]+( [!-~]+)*$'),
    payload         BYTEA  NOT NULL CHECK (octet_length(payload) <= {max}),
    -- Of the payload.
    classes         BIGINT  NOT NULL DEFAULT 0,
    purpose         TEXT,
    sealed          BIGINT  NOT NULL DEFAULT 0,
    enqueued_at     BIGINT NOT NULL,
    UNIQUE (id, endpoint)
);
CREATE UNIQUE INDEX {p}message_key ON {p}message (endpoint, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- What changes. State 0 pending, 1 leased, 2 delivered, 3 dead; next_at 0 for a message not tried yet.
CREATE TABLE {p}delivery (
    seq         BIGINT   PRIMARY KEY REFERENCES {p}message (seq) ON DELETE CASCADE,
    endpoint    BIGINT   NOT NULL,
    state       SMALLINT NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 3),
    next_at     BIGINT   NOT NULL DEFAULT 0,
    fence       BIGINT   NOT NULL DEFAULT 0,
    worker      BIGINT,
    attempts    BIGINT   NOT NULL DEFAULT 0,
    settled_at  BIGINT,
    last_status INTEGER,
    last_code   TEXT,
    -- Of the payload.
    size         BIGINT NOT NULL DEFAULT 0,
    ordering_key TEXT,
    -- The first bytes of the last answer.
    excerpt      BYTEA
);
CREATE INDEX {p}delivery_pending ON {p}delivery (endpoint, next_at, seq) WHERE state = 0;
CREATE INDEX {p}delivery_leased ON {p}delivery (worker) WHERE state = 1;
CREATE INDEX {p}delivery_ordered ON {p}delivery (endpoint, ordering_key, seq)
    WHERE ordering_key IS NOT NULL AND state < 2;
CREATE INDEX {p}delivery_settled ON {p}delivery (state, settled_at, seq) WHERE state >= 2;

CREATE TABLE {p}worker (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance TEXT   NOT NULL UNIQUE,
    lease_ms BIGINT NOT NULL,
    until    BIGINT NOT NULL
);

-- Consents that came by callback, by the SHA-256 of the endpoint's URL.
CREATE TABLE {p}consent (
    endpoint BYTEA   PRIMARY KEY,
    -- Requests a minute; null for any number.
    rate     BIGINT,
    -- Until when the callback that was called could be: each is good once.
    callback BIGINT NOT NULL,
    until    BIGINT NOT NULL
);
