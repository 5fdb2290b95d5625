-- oldest: 1
-- The SMPP server: by whom accounts' own systems bind, and the parts of their long messages.

-- Global: a system id is unique among all accounts. What is sealed is the SHA-256 of the password.
CREATE TABLE smpp_user (
    system_id TEXT NOT NULL PRIMARY KEY,
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    mode TEXT NOT NULL,
    binds BIGINT NOT NULL,
    unanswered BIGINT NOT NULL,
    throughput BIGINT,
    created BIGINT NOT NULL,
    revoked BIGINT
) CLUSTERED;
CREATE INDEX smpp_user_by_account ON smpp_user (account, system_id);

-- Parts of long messages that came one by one, each under the id that it was answered with. A part waits until the others
-- are there; then the message has its id here, and the part's content is gone.
CREATE TABLE smpp_waiting (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    system_id TEXT NOT NULL,
    source TEXT NOT NULL,
    destination BIGINT NOT NULL,
    reference BIGINT NOT NULL,
    total BIGINT NOT NULL,
    number BIGINT NOT NULL,
    coding BIGINT NOT NULL,
    header BIGINT NOT NULL,
    octets BYTEA NOT NULL,
    receipts BIGINT NOT NULL,
    waits BOOLEAN NOT NULL,
    message BYTEA,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);
CREATE UNIQUE INDEX smpp_waiting_by_place ON smpp_waiting
    (root, account, system_id, source, destination, reference, total, number) WHERE waits;
CREATE INDEX smpp_waiting_by_message ON smpp_waiting (root, account, message) WHERE message IS NOT NULL;
CREATE INDEX smpp_waiting_by_age ON smpp_waiting (created) WHERE waits;
CREATE INDEX smpp_waiting_done ON smpp_waiting (created) WHERE NOT waits;
