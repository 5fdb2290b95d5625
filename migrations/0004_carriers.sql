-- oldest: 1
-- Carriers that are spoken to: how, by which routes, and what they say before it can be understood.

-- Global: how a carrier is spoken to, by name of the setting. What is not there has its default.
CREATE TABLE carrier_setting (
    carrier BIGINT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (carrier, name)
) CLUSTERED;

-- Global: the number that the latest carrier got, in one row.
CREATE TABLE carrier_number (
    one BIGINT NOT NULL PRIMARY KEY,
    latest BIGINT NOT NULL
);

-- Sealed: what the carrier knows us by.
ALTER TABLE carrier ADD COLUMN secret BYTEA;
-- Since when no message can be given to it, if so.
ALTER TABLE carrier ADD COLUMN down BIGINT;

-- Of the routes of the longest prefix, those of the lowest number come first; among them weight decides.
ALTER TABLE route ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
ALTER TABLE route ADD COLUMN weight BIGINT NOT NULL DEFAULT 1;

-- How often it was handed over again after nobody knew whether its carrier has it.
ALTER TABLE part ADD COLUMN repeats BIGINT NOT NULL DEFAULT 0;

-- Of carriers that are asked: what the carrier called it in its answer, and when it is asked next what became of it.
ALTER TABLE part ADD COLUMN name TEXT;
ALTER TABLE part ADD COLUMN ask BIGINT;
CREATE INDEX part_to_ask ON part (carrier, ask) WHERE ask IS NOT NULL;

-- Global: receipts that came before the answer that names their part.
CREATE TABLE early (
    carrier BIGINT NOT NULL,
    reference TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    error BIGINT,
    received BIGINT NOT NULL,
    PRIMARY KEY (carrier, reference)
) CLUSTERED;
CREATE INDEX early_by_time ON early (received);

-- Global: parts of long messages from phones, until all are there.
CREATE TABLE fragment (
    carrier BIGINT NOT NULL,
    sender TEXT NOT NULL,
    receiver TEXT NOT NULL,
    reference BIGINT NOT NULL,
    total BIGINT NOT NULL,
    number BIGINT NOT NULL,
    coding BIGINT NOT NULL,
    header BIGINT NOT NULL,
    octets BYTEA NOT NULL,
    received BIGINT NOT NULL,
    PRIMARY KEY (carrier, sender, receiver, reference, total, number)
) CLUSTERED;
CREATE INDEX fragment_by_time ON fragment (received);
