import Foundation
import GRDB

extension SQLiteLedger {
    public func revision() throws -> LedgerRevision {
        try look { db in
            let foreign = try Int.fetchOne(db.cachedStatement(sql: "PRAGMA data_version")) ?? 0
            return LedgerRevision(foreign: foreign, own: db.totalChangesCount)
        }
    }

    public func concernsService() throws -> Bool {
        try read { db in
            try Bool.fetchOne(
                db,
                sql: """
                    SELECT EXISTS (SELECT 1 FROM job WHERE state IN ('running', 'rendered', 'publishing'))
                        OR EXISTS (SELECT 1 FROM job WHERE state = 'failed' AND logged = 0)
                        OR EXISTS (
                            SELECT 1 FROM "drop" WHERE state = 'open' AND NOT EXISTS (
                                SELECT 1 FROM job WHERE job."drop" = "drop".id
                                    AND job.state NOT IN ('done', 'failed', 'cancelled')))
                    """) ?? true
        }
    }

    public func pauseReason() throws -> String? {
        try read { db in try String.fetchOne(db, sql: "SELECT value FROM fact WHERE name = 'pause'") }
    }

    public func setPause(_ reason: String?) throws {
        try setFact("pause", reason)
    }

    private func setFact(_ name: String, _ value: String?) throws {
        try write { db in
            if let value {
                try db.execute(
                    sql:
                        "INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    arguments: [name, value])
            } else {
                try db.execute(sql: "DELETE FROM fact WHERE name = ?", arguments: [name])
            }
        }
    }

    public func counts() throws -> [JobState: Int] {
        try read { db in
            var counts: [JobState: Int] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT state, count(*) AS number FROM job GROUP BY state") {
                if let state = JobState(rawValue: row["state"]) { counts[state] = row["number"] }
            }
            return counts
        }
    }

    public func recentlyFinished(limit: Int) throws -> [JobRecord] {
        try read { db in
            try Self.fetchJobs(
                db,
                "WHERE job.finishedAt IS NOT NULL AND job.state <> 'cancelled' ORDER BY job.finishedAt DESC LIMIT ?",
                [limit])
        }
    }

    public func neededSnapshots() throws -> Set<String> {
        try read { db in
            try Set(
                String.fetchAll(
                    db,
                    sql: """
                        WITH open AS (
                            SELECT imageSHA256, audioSHA256 FROM job
                            WHERE state IN ('queued', 'running', 'rendered', 'publishing'))
                        SELECT imageSHA256 FROM open WHERE imageSHA256 IS NOT NULL
                        UNION SELECT audioSHA256 FROM open WHERE audioSHA256 IS NOT NULL
                        """))
        }
    }

    public func history(of job: JobID) throws -> [String] {
        try read { db in
            try Row.fetchAll(
                db, sql: "SELECT kind, detail FROM event WHERE job = ? ORDER BY number", arguments: [job.text]
            ).map { row in
                let detail: String = row["detail"]
                return (row["kind"] as String) + (detail.isEmpty ? "" : ": \(detail)")
            }
        }
    }

    // MARK: Rebuilding

    public func remember(published: [PublishedMemory], rebuiltAt: Date) throws {
        try write { db in
            for memory in published {
                try db.execute(
                    sql: "INSERT OR IGNORE INTO memory (key, ordinal, siblings, job) VALUES (?, ?, ?, ?)",
                    arguments: [memory.key, memory.ordinal, memory.siblings, memory.jobID.text])
            }
            try db.execute(
                sql: "INSERT OR REPLACE INTO fact (name, value) VALUES ('rebuiltAt', ?)",
                arguments: [String(rebuiltAt.timeIntervalSince1970)])
        }
    }

    public func recall(key: String) throws -> [PublishedMemory] {
        try read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM memory WHERE key = ? AND used = 0 ORDER BY job", arguments: [key]
            ).compactMap { row in
                guard let job = JobID(row["job"] as String) else { return nil }
                return PublishedMemory(key: key, ordinal: row["ordinal"], siblings: row["siblings"], jobID: job)
            }
        }
    }

    public func rebuiltAt() throws -> Date? {
        try read { db in try String.fetchOne(db, sql: "SELECT value FROM fact WHERE name = 'rebuiltAt'") }
            .flatMap(Double.init).map(Date.init(timeIntervalSince1970:))
    }
}
