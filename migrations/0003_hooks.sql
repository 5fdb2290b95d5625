-- oldest: 1
-- Numbers that phones write to, who wants nothing more, endpoints that fail, and signing keys that are to come.

-- Global: numbers that phones write to, and whose they are. One of fewer than seven digits is a short code.
CREATE TABLE number (
    msisdn BIGINT NOT NULL PRIMARY KEY,
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    inbound_url TEXT,
    inbound_form TEXT,
    created BIGINT NOT NULL
) CLUSTERED;
CREATE INDEX number_by_account ON number (account, msisdn);

-- Global: the first words of texts that lead to another account than the number's own.
CREATE TABLE keyword (
    msisdn BIGINT NOT NULL,
    word TEXT NOT NULL,
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    inbound_url TEXT,
    inbound_form TEXT,
    created BIGINT NOT NULL,
    PRIMARY KEY (msisdn, word)
) CLUSTERED;

-- Global: how much came to numbers that nobody has.
CREATE TABLE stray (
    carrier BIGINT NOT NULL,
    msisdn BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    latest BIGINT NOT NULL,
    PRIMARY KEY (carrier, msisdn)
) CLUSTERED;

-- Global: the carriers' own names of what they have brought, so that what is brought twice counts once.
CREATE TABLE brought (
    carrier BIGINT NOT NULL,
    reference TEXT NOT NULL,
    brought BIGINT NOT NULL,
    PRIMARY KEY (carrier, reference)
) CLUSTERED;
CREATE INDEX brought_by_time ON brought (brought);

-- Who wants nothing more from an account.
CREATE TABLE opt_out (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    msisdn BIGINT NOT NULL,
    source TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, account, msisdn)
) CLUSTERED;
ALTER TABLE tally ADD COLUMN opt_outs BIGINT NOT NULL DEFAULT 0;

ALTER TABLE messaging ADD COLUMN inbound_form TEXT;
ALTER TABLE messaging ADD COLUMN stop_words TEXT;
ALTER TABLE messaging ADD COLUMN start_words TEXT;

-- The key that callbacks will be signed with, and from when on.
ALTER TABLE signing_key ADD COLUMN next BYTEA;
ALTER TABLE signing_key ADD COLUMN next_at BIGINT;
CREATE INDEX signing_key_to_come ON signing_key (next_at) WHERE next_at IS NOT NULL;

-- Global: lanes of the outbox whose calls fail at present. A lane that is paused is tried by one call at its next probe.
CREATE TABLE endpoint (
    lane BYTEA NOT NULL PRIMARY KEY,
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    origin TEXT NOT NULL,
    failures BIGINT NOT NULL,
    since BIGINT NOT NULL,
    latest BIGINT NOT NULL,
    answer TEXT NOT NULL,
    paused BIGINT,
    probes BIGINT NOT NULL,
    probe BIGINT
) CLUSTERED;
CREATE INDEX endpoint_by_account ON endpoint (account, lane);
