import GRDB

extension SQLiteLedger {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(sql: schema1)
        }
        migrator.registerMigration("2") { db in
            try db.execute(sql: "ALTER TABLE job ADD COLUMN audioSHA256 TEXT")
        }
        migrator.registerMigration("3") { db in
            // Whether a drop is over is asked of every open one in each round: without reading its jobs.
            try db.execute(sql: "DROP INDEX jobByDrop")
            try db.execute(sql: "CREATE INDEX jobByDropAndState ON job (\"drop\", state)")
        }
        return migrator
    }

    /// Times are seconds since 1970; texts of structured values are JSON.
    private static let schema1 = """
        CREATE TABLE "drop" (
            id TEXT PRIMARY KEY,
            folder TEXT NOT NULL,
            stem TEXT NOT NULL,
            acceptedAt REAL NOT NULL,
            after TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'closed'))
        );
        CREATE INDEX dropByState ON "drop" (state, acceptedAt);

        CREATE TABLE input (
            "drop" TEXT NOT NULL REFERENCES "drop" (id) ON DELETE CASCADE,
            role TEXT NOT NULL,
            path TEXT NOT NULL,
            name TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            identity TEXT NOT NULL,
            disposition TEXT NOT NULL,
            destination TEXT,
            PRIMARY KEY ("drop", role)
        );
        CREATE INDEX inputByDisposition ON input (disposition, path);

        CREATE TABLE job (
            id TEXT PRIMARY KEY,
            "drop" TEXT NOT NULL REFERENCES "drop" (id) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL,
            siblings INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (
                state IN ('queued', 'running', 'rendered', 'publishing', 'done', 'failed', 'cancelled')),
            priority INTEGER NOT NULL,
            model TEXT NOT NULL,
            settings TEXT,
            seed INTEGER,
            promptGiven TEXT NOT NULL,
            promptUsed TEXT NOT NULL,
            imageSHA256 TEXT,
            createdAt REAL NOT NULL,
            notBefore REAL NOT NULL,
            startedAt REAL,
            finishedAt REAL,
            failures INTEGER NOT NULL DEFAULT 0,
            interruptions INTEGER NOT NULL DEFAULT 0,
            epoch INTEGER NOT NULL DEFAULT 0,
            worker TEXT,
            heartbeatAt REAL,
            cancelRequested INTEGER NOT NULL DEFAULT 0,
            progress TEXT,
            outcome TEXT,
            publication TEXT,
            error TEXT,
            logged INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX jobByState ON job (state, priority DESC, createdAt);
        CREATE INDEX jobByDrop ON job ("drop");
        CREATE INDEX jobByFinish ON job (finishedAt);
        CREATE INDEX jobUnlogged ON job (logged, state);

        CREATE TABLE attempt (
            job TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
            epoch INTEGER NOT NULL,
            worker TEXT NOT NULL,
            startedAt REAL NOT NULL,
            endedAt REAL,
            result TEXT,
            PRIMARY KEY (job, epoch)
        );

        CREATE TABLE event (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            job TEXT NOT NULL,
            kind TEXT NOT NULL,
            detail TEXT NOT NULL
        );
        CREATE INDEX eventByJob ON event (job, number);

        CREATE TABLE memory (
            key TEXT NOT NULL,
            ordinal INTEGER NOT NULL,
            siblings INTEGER NOT NULL,
            job TEXT PRIMARY KEY,
            used INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX memoryByKey ON memory (key, used);

        CREATE TABLE fact (
            name TEXT PRIMARY KEY,
            value TEXT NOT NULL
        );
        """
}
