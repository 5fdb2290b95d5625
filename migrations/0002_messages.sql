-- oldest: 1
-- Messages: what is sent and received, its parts on their way, what is told about it, and what it costs.
-- docs/decisions/0002 counts the rows that a message writes.

ALTER TABLE tally ADD COLUMN messages BIGINT NOT NULL DEFAULT 0;

-- Global: who carries messages.
CREATE TABLE carrier (
    id BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL
) CLUSTERED;
CREATE UNIQUE INDEX carrier_by_name ON carrier (name);
INSERT INTO carrier (id, name, kind) VALUES (1, 'simulated', 'simulated');

-- Global: which carrier takes numbers that begin with the prefix; the empty prefix takes what no other claims.
CREATE TABLE route (
    prefix TEXT NOT NULL,
    carrier BIGINT NOT NULL,
    PRIMARY KEY (prefix, carrier)
) CLUSTERED;
INSERT INTO route (prefix, carrier) VALUES ('', 1);

-- How an account's messages go; an account without a row has the defaults.
CREATE TABLE messaging (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    originator TEXT,
    report_url TEXT,
    inbound_url TEXT,
    time_zone TEXT NOT NULL,
    legacy_signature BOOLEAN NOT NULL,
    retention_days BIGINT,
    -- Texts of messages before this moment are removed.
    forgotten BIGINT NOT NULL,
    PRIMARY KEY (root, account)
) CLUSTERED;

-- What all recipients of a message have in common. Its number of recipients includes those still to be expanded.
CREATE TABLE message (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    direction TEXT NOT NULL,
    kind TEXT NOT NULL,
    originator TEXT NOT NULL,
    body TEXT NOT NULL,
    reference TEXT,
    report_url TEXT,
    validity BIGINT,
    gateway BIGINT NOT NULL,
    coding TEXT NOT NULL,
    class BIGINT NOT NULL,
    length BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    currency TEXT NOT NULL,
    recipients BIGINT NOT NULL,
    hidden BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);
CREATE INDEX message_by_originator ON message (root, account, originator, id);
CREATE INDEX message_hidden ON message (created) WHERE hidden;

CREATE TABLE recipient (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    message BYTEA NOT NULL,
    msisdn BIGINT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    error BIGINT,
    changed BIGINT NOT NULL,
    price BIGINT NOT NULL,
    open BIGINT NOT NULL,
    PRIMARY KEY (root, account, message, msisdn)
) CLUSTERED;
CREATE INDEX recipient_by_msisdn ON recipient (root, account, msisdn, message);

-- Recipients of a large message that have no rows yet: 24 bytes each, number, price, cost and carrier.
CREATE TABLE expansion (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    message BYTEA NOT NULL,
    number BIGINT NOT NULL,
    price BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    recipients BYTEA NOT NULL,
    PRIMARY KEY (root, account, message, number)
) CLUSTERED;

-- Global: the outbox of the carriers. A part of a message from its accepting until nothing more is expected of it.
-- marked: 0 waits, -1 waits for its account to be resumed, else when it was handed over. With a reference the carrier
-- has accepted it; until then its price is held.
CREATE TABLE part (
    carrier BIGINT NOT NULL,
    id BYTEA NOT NULL,
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    message BYTEA NOT NULL,
    msisdn BIGINT NOT NULL,
    number BIGINT NOT NULL,
    currency TEXT NOT NULL,
    price BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    marked BIGINT NOT NULL,
    reference TEXT,
    expires BIGINT NOT NULL,
    PRIMARY KEY (carrier, id)
) CLUSTERED;
-- What waits, and what was handed over and is not answered.
CREATE INDEX part_open ON part (carrier, id) WHERE reference IS NULL AND marked >= 0;
CREATE INDEX part_parked ON part (account, id) WHERE marked = -1;
CREATE UNIQUE INDEX part_by_reference ON part (carrier, reference) WHERE reference IS NOT NULL;
CREATE INDEX part_by_expiry ON part (expires);

-- The outbox of customers' URLs, and the log of what was sent to them. A lane is an account and an origin.
CREATE TABLE callback (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    lane BYTEA NOT NULL,
    kind TEXT NOT NULL,
    message BYTEA NOT NULL,
    msisdn BIGINT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    error BIGINT,
    changed BIGINT NOT NULL,
    price BIGINT NOT NULL,
    url TEXT NOT NULL,
    due BIGINT NOT NULL,
    open BOOLEAN NOT NULL,
    attempts BIGINT NOT NULL,
    log TEXT NOT NULL,
    target TEXT,
    PRIMARY KEY (root, account, id)
);
CREATE INDEX callback_due ON callback (lane, due, id) WHERE open;
CREATE INDEX callback_done ON callback (due) WHERE NOT open;
-- In the order of time over all accounts of a family: with the account before the message, every message of a batch would
-- touch a page of its own.
CREATE INDEX callback_of_message ON callback (root, message, msisdn);

-- Global: which process works on a lane, and until when if it says nothing more.
CREATE TABLE lease (
    lane BYTEA NOT NULL PRIMARY KEY,
    holder BYTEA NOT NULL,
    until BIGINT NOT NULL
) CLUSTERED;

-- Answers kept for repeated requests. The answer is sealed: it may hold a body or a key. Not clustered: the hashes are
-- random, and rows of this size in their order would split a page with every sixth.
CREATE TABLE idempotency (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL,
    status BIGINT NOT NULL,
    answer BYTEA NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (root, account, hash)
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires);
