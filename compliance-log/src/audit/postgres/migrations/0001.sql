CREATE TABLE {p}event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Drawn by whoever inserts: a number from the sequence may be given out twice around a crash of the server.
    token      bytea  NOT NULL UNIQUE CHECK (octet_length(token) = 16),
    body       bytea  CHECK (octet_length(body) BETWEEN 1 AND 1048576),
    added_at   bigint NOT NULL,
    -- The number in the trail, once it is there.
    sequence   bigint,
    drained_at bigint,
    -- Why the trail did not take the body; it stays for inspection then.
    refused    text,
    CHECK ((sequence IS NULL) = (drained_at IS NULL)),
    CHECK (body IS NOT NULL OR sequence IS NOT NULL)
);
CREATE INDEX {p}event_waiting ON {p}event (id) WHERE sequence IS NULL;
CREATE INDEX {p}event_drained ON {p}event (drained_at) WHERE sequence IS NOT NULL;

-- How far the trail is, as the sequencer last said; one row.
CREATE TABLE {p}trail (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch   bigint  NOT NULL,
    records bigint  NOT NULL,
    last    bytea   CHECK (octet_length(last) = 32)
);
INSERT INTO {p}trail (epoch, records) VALUES (0, 0);

-- A commit that returns before it is on disk would be acknowledged and lost. Runs as the last thing before the commit.
CREATE FUNCTION {p}event_durable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER {p}event_durable AFTER INSERT ON {p}event
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {p}event_durable();
