-- oldest: 1
-- The rest of the SMS API: binary messages, messages for later, and which network a number is of.

-- User data header of a binary message, in hexadecimal digits.
ALTER TABLE message ADD COLUMN udh TEXT;
-- When it was to be sent; NULL for at once.
ALTER TABLE message ADD COLUMN scheduled BIGINT;
CREATE INDEX message_by_hour ON message (root, account, scheduled) WHERE scheduled IS NOT NULL;

-- Recipients of a message for later, packed as in expansion, with the hold of their price. They have no parts until the
-- hour, so no carrier can see them. Listed ones have rows in recipient already; the others get theirs first.
CREATE TABLE schedule (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    message BYTEA NOT NULL,
    number BIGINT NOT NULL,
    due BIGINT NOT NULL,
    listed BOOLEAN NOT NULL,
    price BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    recipients BYTEA NOT NULL,
    PRIMARY KEY (root, account, message, number)
) CLUSTERED;
CREATE INDEX schedule_by_due ON schedule (due, root, account, message, number);

-- Global: the network of the numbers that begin with a prefix, from the operator's file.
CREATE TABLE network (
    prefix TEXT NOT NULL PRIMARY KEY,
    mcc TEXT NOT NULL,
    mnc TEXT NOT NULL,
    operator TEXT NOT NULL
) CLUSTERED;
